"""Rows on their way from a file to the shards, and what is mended or refused on that way."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from textpipe.errors import DataError

LIMIT = 10_000  # rows of one batch
REPLACEMENT = "\ufffd"
# Bytes that are not UTF-8 are carried as lone surrogates (PEP 383) until the row they belong to is known.
SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass
class Rows:
    """A batch: columns[i][k] is the text of wanted column i in row k.

    positions: the row's place in its file, counted from 0, the header left out. lines: where a person finds it,
    counted from 1; `unit` says what is counted ("line", "row" or "mail").
    """

    place: str
    positions: Sequence[int]
    lines: Sequence[int]
    columns: list[Sequence[str]]
    unit: str = "line"

    def __len__(self) -> int:
        return len(self.positions)

    def keep(self, mask: Sequence[bool]) -> "Rows":
        """The rows whose mask is true."""
        from itertools import compress

        return Rows(
            self.place,
            list(compress(self.positions, mask)),
            list(compress(self.lines, mask)),
            [list(compress(column, mask)) for column in self.columns],
            self.unit,
        )


@dataclass
class Repairs:
    """What to do with damaged rows, and how many there were.

    on_invalid: bytes that are not UTF-8 are each replaced by U+FFFD, or their row is dropped, or it is an error.
    on_bad_rows: a row that does not fit its format is an error, or dropped. max_characters: longer rows are dropped.
    Every count ends in stats.json; NUL characters are always removed, a byte order mark always dropped.
    """

    on_invalid: Literal["replace", "drop", "error"] = "replace"
    on_bad_rows: Literal["error", "drop"] = "error"
    max_characters: int | None = None
    counts: Counter[str] = field(default_factory=Counter)

    def bad_row(self, place: str, finding: str, cure: str) -> None:
        """Count a row that will be dropped, or raise DataError."""
        if self.on_bad_rows == "error":
            raise DataError(f'{place}: {finding}; {cure}, or drop such rows with on_bad_rows = "drop"')
        self.counts["bad_rows"] += 1

    def mend(self, rows: Rows) -> Rows:
        """Rows without NUL characters and lone surrogates, long ones dropped; counts what was done.

        ["caf\\udce9", "a\\0b"] -> ["caf\\ufffd", "ab"]
        """
        suspect = [column for column in rows.columns if not sound("".join(column))]
        if suspect:
            rows = self._mend_characters(rows)
        if self.max_characters is not None:
            limit = self.max_characters
            mask = [all(len(text) <= limit for text in texts) for texts in zip(*rows.columns, strict=True)]
            if not all(mask):
                self.counts["too_long_rows"] += mask.count(False)
                rows = rows.keep(mask)
        return rows

    def drop_empty(self, rows: Rows) -> Rows:
        """Rows without those in which a column is empty or blank; counts them."""
        if all(all(column) and not any(map(str.isspace, column)) for column in rows.columns):
            return rows
        mask = [all(map(str.strip, texts)) for texts in zip(*rows.columns, strict=True)]
        self.counts["empty_rows"] += mask.count(False)
        return rows.keep(mask)

    def _mend_characters(self, rows: Rows) -> Rows:
        columns: list[Sequence[str]] = []
        invalid = [0] * len(rows)
        for column in rows.columns:
            mended = list(column)
            for number, text in enumerate(mended):
                if "\0" in text:
                    self.counts["nul_characters"] += text.count("\0")
                    text = text.replace("\0", "")
                text, found = SURROGATE.subn(REPLACEMENT, text)
                invalid[number] += found
                mended[number] = text
            columns.append(mended)
        rows = Rows(rows.place, rows.positions, rows.lines, columns, rows.unit)
        if not any(invalid):
            return rows
        if self.on_invalid == "error":
            number = next(number for number, found in enumerate(invalid) if found)
            raise DataError(
                f"{rows.place}, {rows.unit} {rows.lines[number]}: bytes that are not UTF-8; "
                'convert the file, or set on_invalid = "replace" or "drop"'
            )
        self.counts["invalid_utf8_rows"] += sum(found > 0 for found in invalid)
        self.counts["invalid_utf8_bytes"] += sum(invalid)
        return rows if self.on_invalid == "replace" else rows.keep([not found for found in invalid])


def sound(text: str) -> bool:
    """Whether a text has neither NUL characters nor lone surrogates."""
    if "\0" in text:
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def value_text(value: object) -> str | None:
    """A cell of JSON or Parquet as text: None -> "", True -> "true", 3 -> "3"; None for lists and tables."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    return None
