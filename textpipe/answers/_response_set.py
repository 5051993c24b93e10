"""The response set of a ranking, as responses.tsv keeps it: a person can read, edit and feed it back."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from textpipe.errors import DataError
from textpipe.runtime import small_file

FILE = "responses.tsv"
COLUMNS = ("response", "intent", "polarity", "count", "variants")
POLARITIES = {"negative": -1, "": 0, "neutral": 0, "positive": 1}
BETWEEN = " | "  # variants of a response
ESCAPES = {"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"}
UNESCAPES = {written: character for character, written in ESCAPES.items()}
ESCAPED, WRITTEN = re.compile(r"[\\\t\n\r]"), re.compile(r"\\[\\tnr]")
MAX_RESPONSES = 2_000_000
MAX_BYTES = 500_000_000  # of a file
MAX_DIGITS = 12  # of a count


@dataclass(frozen=True, slots=True)
class Response:
    """text: as it is suggested; intent: "" for none; polarity: 1 positive, -1 negative, 0 neither; count: training replies that mean
    it; variants: the texts of these."""

    text: str
    intent: str = ""
    polarity: int = 0
    count: int = 1
    variants: tuple[str, ...] = ()


def write(path: Path, responses: Iterable[Response]) -> None:
    """A line each, under the names of COLUMNS; a backslash, tab or line break in a text is written as \\\\, \\t, \\n or \\r."""
    names = {value: name for name, value in POLARITIES.items() if name != "neutral"}
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write("\t".join(COLUMNS) + "\n")
        for response in responses:
            cells = [
                response.text,
                response.intent,
                names[response.polarity],
                str(response.count),
                BETWEEN.join(response.variants),
            ]
            file.write("\t".join(ESCAPED.sub(lambda match: ESCAPES[match.group()], cell) for cell in cells) + "\n")


def lines(path: Path) -> list[str]:
    """The lines of a table, without their ends; raises DataError for a file that cannot be read."""
    try:
        if special := small_file.special_file(path):  # has no size
            raise DataError(f"{path}: expected a table of responses, found {special}; copy it to a file")
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise DataError(f"{path}: expected {MAX_BYTES:,} bytes at most, found {size:,}")
        text = path.read_text(encoding="utf-8-sig")  # line ends become \n alone; other separators belong to a text
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: expected UTF-8, found byte {error.object[error.start]:#x} at {error.start}") from None
    return text.removesuffix("\n").split("\n")


def unescape(cell: str) -> str:
    """What `write` escaped; a backslash before any other character is one."""
    return WRITTEN.sub(lambda match: UNESCAPES[match.group()], cell) if "\\" in cell else cell


def read(path: Path) -> list[Response]:
    """The responses of a file; the first column alone is needed. Raises DataError that names the line of a fault."""
    rows = lines(path)
    head = rows[0].split("\t")
    if "response" not in head or not set(head) <= set(COLUMNS) or len(set(head)) < len(head):
        raise DataError(
            f"{path}, line 1: expected the columns {', '.join(COLUMNS)} (at least response), each once, found {head}"
        )
    responses: dict[str, Response] = {}
    for number, line in enumerate(rows[1:], 2):
        if not line.strip():
            continue
        cells = [unescape(cell) for cell in line.split("\t")]
        if len(cells) != len(head):
            raise DataError(
                f"{path}, line {number}: {len(cells)} columns where the header has {len(head)}; give each column a cell, which may be empty, "
                "with tabs between them"
            )
        row = dict(zip(head, cells, strict=True))
        text, polarity, count = (
            row["response"].strip(),
            row.get("polarity", "").strip(),
            row.get("count", "1").strip() or "1",
        )
        if not text:
            raise DataError(f"{path}, line {number}: expected a response, found an empty cell; drop the line")
        if text in responses:
            raise DataError(f"{path}, line {number}: the response {text!r} is on two lines; keep one")
        if polarity not in POLARITIES:
            raise DataError(
                f"{path}, line {number}: expected a polarity of positive, negative or nothing, found {polarity!r}"
            )
        if not count.isdecimal() or len(count) > MAX_DIGITS:
            raise DataError(f"{path}, line {number}: expected a whole number in the column count, found {count[:60]!r}")
        if len(responses) == MAX_RESPONSES:
            raise DataError(f"{path}, line {number}: expected {MAX_RESPONSES:,} responses at most; drop the rest")
        variants = tuple(filter(None, row.get("variants", "").split(BETWEEN)))
        responses[text] = Response(text, row.get("intent", "").strip(), POLARITIES[polarity], int(count), variants)
    if not responses:
        raise DataError(f"{path}: contains no response")
    return list(responses.values())


__all__ = ["FILE", "Response", "lines", "read", "write"]
