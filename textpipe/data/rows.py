"""Batches of rows read from files, and the repair or rejection of damaged rows."""

import logging
import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from types import ModuleType
from typing import Any, Literal

from textpipe.data import json_text
from textpipe.data.encodings import CP1252, UTF8, Encoding
from textpipe.errors import DataError

BATCH_ROWS = 10_000  # maximum number of rows in a batch
REPLACEMENT = "\ufffd"
NUM_NAMED = 20  # dropped rows that are logged
# Invalid bytes are carried as lone surrogates (PEP 383) until their row is known.
SURROGATE = re.compile("[\ud800-\udfff]")

log = logging.getLogger(__name__)


@dataclass
class Rows:
    """A batch: columns[i][k] is the cell of requested column i in row k: text, or the value its field's kind parsed.

    source: the file or files, for messages. positions: the row's index in its file, counted from 0, without the header.
    lines: its position for messages, counted from 1, in `unit`s ("line", "row" or "mail").
    """

    source: str
    positions: list[int]
    lines: list[int]
    columns: list[list[Any]]
    unit: str = "line"

    def __len__(self) -> int:
        return len(self.positions)

    def keep(self, mask: Sequence[bool]) -> "Rows":
        """Return the rows whose mask is true."""
        from itertools import compress

        return Rows(
            self.source,
            list(compress(self.positions, mask)),
            list(compress(self.lines, mask)),
            [list(compress(column, mask)) for column in self.columns],
            self.unit,
        )


@dataclass
class Repairs:
    """How to handle damaged rows, and counts of what was repaired.

    on_invalid: for bytes invalid in the file's encoding: replace each by U+FFFD, read it as Windows-1252, drop the row,
    or raise an error. on_bad_rows: for a row that does not fit its format: raise an error or drop it.
    max_characters, on_too_long: for a row with a longer text: drop it, cut the text, or raise an error.
    encoding: of text files; None means UTF-8 unless another is detected. All counts are written to stats.json. NUL
    characters and byte order marks are always removed.
    """

    on_invalid: Literal["replace", "cp1252", "drop", "error"] = "replace"
    on_bad_rows: Literal["error", "drop"] = "error"
    max_characters: int | None = None
    counts: Counter[str] = field(default_factory=Counter)
    on_too_long: Literal["drop", "cut", "error"] = "drop"
    encoding: str | None = None
    encodings: dict[str, Encoding] = field(default_factory=dict)  # of files that are not UTF-8
    drop_option: str = 'on_bad_rows = "drop"'  # how the caller says so, for messages
    list_columns: frozenset[str | int] = frozenset()  # whose cells may be lists, for their kinds to parse

    def bad_row(self, location: str, problem: str, cure: str) -> None:
        """Count a row to be dropped and log the first ones, or raise DataError, depending on on_bad_rows."""
        if self.on_bad_rows == "error":
            raise DataError(f"{location}: {problem}; {cure}, or drop such rows with {self.drop_option}")
        self.counts["bad_rows"] += 1
        if self.counts["bad_rows"] <= NUM_NAMED:
            log.info("%s: %s; the row is dropped", location, problem)

    def record_encoding(self, path: object, encoding: Encoding) -> None:
        """Record the encoding of a file that is not UTF-8; log a guess once per file."""
        if str(path) in self.encodings:
            return
        self.encodings[str(path)] = encoding
        if encoding.guessed:
            log.warning(
                '%s, line %d: not UTF-8; the file is read as %s, which is a guess: declare encoding = "%s" if it is right, '
                "or the correct encoding",
                path, encoding.line, encoding.name, encoding.name,
            )  # fmt: skip

    def value_text(self, value: object, column: str | int | None = None) -> str | None:
        """Like the function value_text, but counts NaN and infinities, which become "", and keeps lists of `list_columns` as JSON."""
        if isinstance(value, list) and column in self.list_columns:
            try:
                return json_text.write(value)
            except ValueError:  # dates and bytes of a Parquet file
                return None
        if isinstance(value, float) and not math.isfinite(value):
            self.counts["not_finite_numbers"] += 1
            return ""
        return value_text(value)

    def repair(self, rows: Rows) -> Rows:
        """Remove NUL characters, replace lone surrogates, drop or cut long texts, and count these repairs.

        ["caf\\udce9", "a\\0b"] -> ["caf\\ufffd", "ab"]
        """
        joined = ["".join(column) for column in rows.columns]
        if not all(map(is_clean, joined)):
            rows = self._repair_characters(rows)
        limit = self.max_characters
        if (
            limit is not None
            and any(len(text) > limit for text in joined)
            and any(len(text) > limit for column in rows.columns for text in column)
        ):
            rows = self._limit_lengths(rows, limit)
        return rows

    def _limit_lengths(self, rows: Rows, limit: int) -> Rows:
        mask = [all(len(text) <= limit for text in texts) for texts in zip(*rows.columns, strict=True)]
        if self.on_too_long == "error":
            index = mask.index(False)
            longest = max(len(column[index]) for column in rows.columns)
            raise DataError(
                f"{rows.source}, {rows.unit} {rows.lines[index]}: a text of {longest:,} characters, where max_characters is "
                f'{limit:,}; shorten it, or set on_too_long = "drop" or "cut"'
            )
        if self.on_too_long == "cut":
            self.counts["cut_rows"] += mask.count(False)
            columns: list[list[Any]] = [[text[:limit] for text in column] for column in rows.columns]
            return Rows(rows.source, rows.positions, rows.lines, columns, rows.unit)
        self.counts["too_long_rows"] += mask.count(False)
        return rows.keep(mask)

    def drop_empty(self, rows: Rows, required: Sequence[int]) -> Rows:
        """Drop and count rows in which a required column, given by index, is empty or blank."""
        columns = [rows.columns[index] for index in required]
        if all(all(column) and not any(map(str.isspace, column)) for column in columns):
            return rows
        mask = [all(map(str.strip, texts)) for texts in zip(*columns, strict=True)]
        self.counts["empty_rows"] += mask.count(False)
        return rows.keep(mask)

    def _repair_characters(self, rows: Rows) -> Rows:
        columns: list[list[Any]] = []
        invalid = [0] * len(rows)
        for column in rows.columns:
            repaired = list(column)
            for index, text in enumerate(repaired):
                if "\0" in text:
                    self.counts["nul_characters"] += text.count("\0")
                    text = text.replace("\0", "")
                text, num_invalid = SURROGATE.subn(cp1252_character if self.on_invalid == CP1252 else REPLACEMENT, text)
                invalid[index] += num_invalid
                repaired[index] = text
            columns.append(repaired)
        rows = Rows(rows.source, rows.positions, rows.lines, columns, rows.unit)
        if not any(invalid):
            return rows
        if self.on_invalid == "error":
            index = next(index for index, count in enumerate(invalid) if count)
            name = "UTF-8" if self.encoding in (None, UTF8) else self.encoding
            raise DataError(
                f"{rows.source}, {rows.unit} {rows.lines[index]}: bytes that are not {name}; declare the file's encoding, "
                'convert it, or set on_invalid = "replace", "cp1252" or "drop"'
            )
        self.counts["invalid_utf8_rows"] += sum(count > 0 for count in invalid)
        self.counts["invalid_utf8_bytes"] += sum(invalid)
        return rows.keep([not count for count in invalid]) if self.on_invalid == "drop" else rows


def list_columns(columns: Iterable[tuple[ModuleType, str | int]]) -> frozenset[str | int]:
    """The columns whose cells may be lists, out of (module of kinds/, column)."""
    return frozenset(column for cells, column in columns if getattr(cells, "LISTS", False))


def cp1252_character(byte: re.Match[str]) -> str:
    """Return the Windows-1252 character of a lone surrogate's byte; U+FFFD if undefined."""
    code = ord(byte[0]) - 0xDC00
    return bytes([code]).decode(CP1252, errors="replace") if 0x80 <= code <= 0xFF else REPLACEMENT


def is_clean(text: str) -> bool:
    """Whether a text contains neither NUL characters nor lone surrogates."""
    if "\0" in text:
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def value_text(value: object) -> str | None:
    """Convert a JSON or Parquet cell to text: None -> "", True -> "true", 3 -> "3", NaN -> "".

    Returns None for lists and objects.
    """
    if isinstance(value, str):
        return str(value)
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and not math.isfinite(value):
        return ""
    if isinstance(value, int | float | Decimal):
        return str(value)
    return None
