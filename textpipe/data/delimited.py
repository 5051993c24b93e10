"""Delimited text: the reader shared by TSV and CSV."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, Self

from pydantic import model_validator

from textpipe.config.sections import Section
from textpipe.data import text_file
from textpipe.data.rows import BATCH_ROWS, Repairs, Rows
from textpipe.errors import DataError

MAX_FIELD_CHARACTERS = text_file.MAX_LINE_BYTES  # a longer field means an unclosed quote
NO_HEADER_HINT = "; if the file has no header, set format.header = false and give columns by number or format.columns"
COLUMN_NUMBER_HINT = (
    "; the file has no header (format.header = false): give columns by their number from 0, or format.columns"
)


class Delimited(Section):
    """Options of delimited files. Blank lines before the first row are skipped.

    header: whether the first line names the columns. columns: column names, if there is no header or to override it.
    quoting: "none" gives no character a special meaning; "csv" follows RFC 4180, with line breaks inside quotes.
    member: the file inside a zip archive.
    """

    delimiter: str = "\t"  # separator between cells
    header: bool = True
    columns: tuple[str, ...] | None = None
    quoting: Literal["none", "csv"] = "none"
    member: str | None = None

    @model_validator(mode="after")
    def check_delimiter(self) -> Self:
        if not self.delimiter or set(self.delimiter) & {"\n", "\r"}:
            raise ValueError(f"delimiter: expected a character other than a line break, found {self.delimiter!r}")
        if self.quoting == "csv" and (len(self.delimiter) != 1 or self.delimiter == '"'):
            raise ValueError(
                f"delimiter: expected one character other than a quotation mark, found {self.delimiter!r}; longer ones "
                'need quoting = "none"'
            )
        return self


def read(path: Path, config: Delimited, repairs: Repairs, columns: Sequence[str | int]) -> Iterator[Rows]:
    """Yield the requested columns of a delimited file, at most 10,000 rows at a time."""
    return (
        read_quoted(path, config, repairs, columns)
        if config.quoting == "csv"
        else read_plain(path, config, repairs, columns)
    )


def likely_delimiter(cells: Sequence[str]) -> str | None:
    """The common delimiter that a header read as one cell contains, if any."""
    return next((mark for mark in (";", "\t", ",", "|") if len(cells) == 1 and mark in cells[0]), None)


def delimiter_hint(cells: Sequence[str]) -> str:
    """Return a hint for an error message if a one-cell header contains another common delimiter, else ""."""
    delimiter = likely_delimiter(cells)
    if delimiter is None:
        return ""
    shown = "\\t" if delimiter == "\t" else delimiter
    return f'; if {shown!r} separates the columns, set format = {{ kind = "csv", delimiter = "{shown}" }}'


def locate_columns(path: Path, config: Delimited, first: Sequence[str], columns: Sequence[str | int]) -> list[int]:
    """Return the indices of the requested columns, given the first row of the file."""
    if config.header and config.columns is None:
        cells = [cell.strip() for cell in first]
        return text_file.column_indices(str(path), cells, columns, delimiter_hint(cells) or NO_HEADER_HINT)
    if config.columns is not None and len(config.columns) != len(first):
        raise DataError(
            f"{path}: {len(first)} columns where format.columns names {len(config.columns)}; name each column once"
        )
    if config.columns is None:
        names = [f"column {number}" for number in range(len(first))]
        # TOML keys are strings even if they look like numbers: filter = { 2 = "yes" }.
        columns = [int(column) if isinstance(column, str) and column.isdecimal() else column for column in columns]
        return text_file.column_indices(str(path), names, columns, COLUMN_NUMBER_HINT)
    return text_file.column_indices(str(path), config.columns, columns)


def read_plain(path: Path, config: Delimited, repairs: Repairs, columns: Sequence[str | int]) -> Iterator[Rows]:
    """Yield rows of a file without quoting: each line is a row."""
    width, indices = 0, []
    origin = 0  # line of the first row, counted from 0
    for number, lines in text_file.lines(path, config.member, repairs):
        if not width:
            blank = next((count for count, line in enumerate(lines) if line.strip()), len(lines))
            if blank == len(lines):
                continue
            number += blank
            table = [line.split(config.delimiter) for line in lines[blank:]]
            width = len(table[0])
            indices = locate_columns(path, config, table[0], columns)
            if config.header:
                number += 1
                table = table[1:]
            origin = number - 1
        else:
            table = [line.split(config.delimiter) for line in lines]
        first = number - 1 - origin
        positions = list(range(first, first + len(table)))
        numbers = list(range(number, number + len(table)))
        if set(map(len, table)) - {width}:
            fits = [has_expected_width(path, repairs, config, width, numbers[k], row) for k, row in enumerate(table)]
            positions = [position for position, fit in zip(positions, fits, strict=True) if fit]
            numbers = [line for line, fit in zip(numbers, fits, strict=True) if fit]
            table = [row for row, fit in zip(table, fits, strict=True) if fit]
        yield Rows(str(path), positions, numbers, [[row[column] for row in table] for column in indices])


def read_quoted(path: Path, config: Delimited, repairs: Repairs, columns: Sequence[str | int]) -> Iterator[Rows]:
    """Yield rows of a file with quoted fields (RFC 4180); a row may span several lines."""
    csv.field_size_limit(MAX_FIELD_CHARACTERS)
    blocks_read = 0

    def source() -> Iterator[str]:
        nonlocal blocks_read
        for text in text_file.blocks(path, config.member, repairs):
            blocks_read += 1
            for line in text.split("\n"):
                yield line + "\n"

    reader = csv.reader(source(), delimiter=config.delimiter, strict=True)
    width, indices, position = 0, [], -1
    skip_header = config.header
    rows = Rows(str(path), [], [], [[] for _ in columns])
    block = 1
    while True:
        line = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            position += 1
            problem, cure = f"not valid CSV: {error}", "fix the quotes"
            if "new-line character" in str(error):
                problem = "a carriage return (CR) outside of quotes, where other lines end with LF"
                cure = "end all lines with LF or CRLF, or quote the cell"
            repairs.bad_row(f"{path}, line {line}", problem, cure)
            continue
        if not width:
            if not "".join(row).strip():
                continue
            width = len(row)
            indices = locate_columns(path, config, row, columns)
        if skip_header:
            skip_header = False
            continue
        position += 1
        if len(row) != width and not has_expected_width(path, repairs, config, width, line, row):
            continue
        rows.positions.append(position)
        rows.lines.append(line)
        for column, index in zip(rows.columns, indices, strict=True):
            column.append(row[index])
        if len(rows) == BATCH_ROWS or blocks_read != block:
            block = blocks_read
            yield rows
            rows = Rows(str(path), [], [], [[] for _ in columns])
    yield rows


def has_expected_width(path: Path, repairs: Repairs, config: Delimited, width: int, line: int, row: list[str]) -> bool:
    """Return whether a row has `width` columns; a blank line is counted as an empty row, others as bad rows."""
    if len(row) == width:
        return True
    if not "".join(row).strip():
        repairs.counts["empty_rows"] += 1
        return False
    reference = "header" if config.header else "first row"
    mark = {"\t": "tab", ",": "comma", ";": "semicolon"}.get(config.delimiter, repr(config.delimiter))
    cure = f"quote the {mark} or drop the row" if len(row) > width else "complete the row"
    plural = "" if len(row) == 1 else "s"
    repairs.bad_row(f"{path}, line {line}", f"{len(row)} column{plural} where the {reference} has {width}", cure)
    return False
