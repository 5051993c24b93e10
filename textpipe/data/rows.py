"""Rows on their way from a file to the shards, and what is mended or refused on that way."""

import logging
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

from textpipe.data.encodings import CP1252, UTF8, Encoding
from textpipe.errors import DataError

BATCH_ROWS = 10_000  # rows of one batch
REPLACEMENT = "\ufffd"
# Bytes that are not UTF-8 are carried as lone surrogates (PEP 383) until the row they belong to is known.
SURROGATE = re.compile("[\ud800-\udfff]")

log = logging.getLogger(__name__)


@dataclass
class Rows:
    """A batch: columns[i][k] is the text of wanted column i in row k, or what its field's kind reads there.

    positions: the row's place in its file, counted from 0, the header left out. lines: where a person finds it,
    counted from 1; `unit` says what is counted ("line", "row" or "mail").
    """

    place: str
    positions: list[int]
    lines: list[int]
    columns: list[list[Any]]
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

    on_invalid: bytes that are not of the file's encoding are each replaced by U+FFFD, or read as Windows-1252, or their
    row is dropped, or it is an error. on_bad_rows: a row that does not fit its format is an error, or dropped.
    max_characters: a row with a longer text is dropped, or its text cut, or it is an error, as on_too_long says.
    encoding: of text files; None takes them for UTF-8 unless they tell otherwise. Every count ends in stats.json; NUL
    characters are always removed, a byte order mark always dropped.
    """

    on_invalid: Literal["replace", "cp1252", "drop", "error"] = "replace"
    on_bad_rows: Literal["error", "drop"] = "error"
    max_characters: int | None = None
    counts: Counter[str] = field(default_factory=Counter)
    on_too_long: Literal["drop", "cut", "error"] = "drop"
    encoding: str | None = None
    encodings: dict[str, Encoding] = field(default_factory=dict)  # of files that are not UTF-8

    def bad_row(self, place: str, finding: str, cure: str) -> None:
        """Count a row that will be dropped, or raise DataError."""
        if self.on_bad_rows == "error":
            raise DataError(f'{place}: {finding}; {cure}, or drop such rows with on_bad_rows = "drop"')
        self.counts["bad_rows"] += 1

    def note_encoding(self, path: object, found: Encoding) -> None:
        """Keep the encoding of a file that is not UTF-8; a guess is logged, once a file."""
        if str(path) in self.encodings:
            return
        self.encodings[str(path)] = found
        if found.guessed:
            log.warning(
                '%s, line %d: not UTF-8; the file is read as %s, which is a guess: declare encoding = "%s" if it is right, '
                "or the encoding that is",
                path, found.line, found.name, found.name,
            )  # fmt: skip

    def value_text(self, value: object) -> str | None:
        """value_text of a cell; NaN and infinities are counted, and nothing."""
        if isinstance(value, float) and not math.isfinite(value):
            self.counts["not_finite_numbers"] += 1
            return ""
        return value_text(value)

    def mend(self, rows: Rows) -> Rows:
        """Rows without NUL characters and lone surrogates, long ones dropped or cut; counts what was done.

        ["caf\\udce9", "a\\0b"] -> ["caf\\ufffd", "ab"]
        """
        joined = ["".join(column) for column in rows.columns]
        if not all(map(is_clean, joined)):
            rows = self._mend_characters(rows)
        limit = self.max_characters
        if (
            limit is not None
            and any(len(text) > limit for text in joined)
            and any(len(text) > limit for column in rows.columns for text in column)
        ):
            rows = self._shorten(rows, limit)
        return rows

    def _shorten(self, rows: Rows, limit: int) -> Rows:
        mask = [all(len(text) <= limit for text in texts) for texts in zip(*rows.columns, strict=True)]
        if self.on_too_long == "error":
            number = mask.index(False)
            longest = max(len(column[number]) for column in rows.columns)
            raise DataError(
                f"{rows.place}, {rows.unit} {rows.lines[number]}: a text of {longest:,} characters, where max_characters is "
                f'{limit:,}; shorten it, or set on_too_long = "drop" or "cut"'
            )
        if self.on_too_long == "cut":
            self.counts["cut_rows"] += mask.count(False)
            columns: list[list[Any]] = [[text[:limit] for text in column] for column in rows.columns]
            return Rows(rows.place, rows.positions, rows.lines, columns, rows.unit)
        self.counts["too_long_rows"] += mask.count(False)
        return rows.keep(mask)

    def drop_empty(self, rows: Rows, required: Sequence[int]) -> Rows:
        """Rows without those in which a required column, given by number, is empty or blank; counts them."""
        columns = [rows.columns[number] for number in required]
        if all(all(column) and not any(map(str.isspace, column)) for column in columns):
            return rows
        mask = [all(map(str.strip, texts)) for texts in zip(*columns, strict=True)]
        self.counts["empty_rows"] += mask.count(False)
        return rows.keep(mask)

    def _mend_characters(self, rows: Rows) -> Rows:
        columns: list[list[Any]] = []
        invalid = [0] * len(rows)
        for column in rows.columns:
            mended = list(column)
            for number, text in enumerate(mended):
                if "\0" in text:
                    self.counts["nul_characters"] += text.count("\0")
                    text = text.replace("\0", "")
                text, found = SURROGATE.subn(cp1252_character if self.on_invalid == CP1252 else REPLACEMENT, text)
                invalid[number] += found
                mended[number] = text
            columns.append(mended)
        rows = Rows(rows.place, rows.positions, rows.lines, columns, rows.unit)
        if not any(invalid):
            return rows
        if self.on_invalid == "error":
            number = next(number for number, found in enumerate(invalid) if found)
            name = "UTF-8" if self.encoding in (None, UTF8) else self.encoding
            raise DataError(
                f"{rows.place}, {rows.unit} {rows.lines[number]}: bytes that are not {name}; declare the file's encoding, "
                'convert it, or set on_invalid = "replace", "cp1252" or "drop"'
            )
        self.counts["invalid_utf8_rows"] += sum(found > 0 for found in invalid)
        self.counts["invalid_utf8_bytes"] += sum(invalid)
        return rows.keep([not found for found in invalid]) if self.on_invalid == "drop" else rows


def cp1252_character(byte: re.Match[str]) -> str:
    """The character of Windows-1252 that a lone surrogate's byte stands for, U+FFFD where there is none."""
    code = ord(byte[0]) - 0xDC00
    return bytes([code]).decode(CP1252, errors="replace") if 0x80 <= code <= 0xFF else REPLACEMENT


def is_clean(text: str) -> bool:
    """Whether a text has neither NUL characters nor lone surrogates."""
    if "\0" in text:
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def value_text(value: object) -> str | None:
    """A cell of JSON or Parquet as text: None -> "", True -> "true", 3 -> "3"; None for lists and tables.

    A number that is not finite is no text either: NaN -> "".
    """
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and not math.isfinite(value):
        return ""
    if isinstance(value, int | float | Decimal):
        return str(value)
    return None
