r"""The text of a table: a line per row, cells separated by tabs, the first line with the names of the columns.

Escapes in a cell: \n line feed, \t tab, \p vertical bar, \\ backslash.
"""

import re
from collections.abc import Iterable, Sequence

# Names of the months in English, folded: other languages' dates are read as the numbers in them.
MONTHS = (
    ("january", "jan"), ("february", "feb"), ("march", "mar"), ("april", "apr"), ("may",), ("june", "jun"),
    ("july", "jul"), ("august", "aug"), ("september", "sept", "sep"), ("october", "oct"), ("november", "nov"),
    ("december", "dec"),
)  # fmt: skip

ESCAPES = {"n": "\n", "t": "\t", "p": "|", "\\": "\\"}
ESCAPED = re.compile(r"\\([ntp\\])")


def unescape(cell: str) -> str:
    r"""The text of an escaped cell: "a\nb" -> "a", line feed, "b"."""
    return ESCAPED.sub(lambda match: ESCAPES[match[1]], cell)


def escape(cell: str, *, bar: bool = False) -> str:
    r"""A text as an escaped cell; bar: also escape the vertical bar, as between the items of an answer."""
    cell = (
        cell.replace("\\", "\\\\").replace("\r\n", "\n").replace("\r", "\n").replace("\n", r"\n").replace("\t", r"\t")
    )
    return cell.replace("|", r"\p") if bar else cell


def read(text: str) -> list[list[str]]:
    """The rows of a table, the names of its columns first, with unescaped cells. Blank lines are no rows."""
    return [[unescape(cell) for cell in line.split("\t")] for line in text.split("\n") if line.strip(" \r")]


def write(rows: Iterable[Sequence[str]]) -> str:
    """The text of a table."""
    return "\n".join("\t".join(escape(cell) for cell in row) for row in rows)


def split_items(answer: str) -> list[str]:
    r"""The items of an answer, "a|b\pc" -> ["a", "b|c"]; none of an empty answer."""
    return [unescape(item) for item in answer.split("|")] if answer else []


def join_items(items: Iterable[str]) -> str:
    """Items as an answer."""
    return "|".join(escape(item, bar=True) for item in items)
