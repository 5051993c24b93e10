"""Delimited text: what TSV and CSV files have in common."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, Self

from pydantic import model_validator

from textpipe.config.sections import Section
from textpipe.data import text_file
from textpipe.data.rows import BATCH_ROWS, Repairs, Rows
from textpipe.errors import DataError

MAX_FIELD_CHARACTERS = (
    text_file.MAX_LINE_BYTES
)  # characters; a longer one means that a quote was opened and never closed
NO_HEADER_HINT = "; if the file has no header, set format.header = false and give columns by number or format.columns"
COLUMN_NUMBER_HINT = (
    "; the file has no header (format.header = false): give columns by their number from 0, or format.columns"
)


class Delimited(Section):
    """Options of delimited files.

    header: whether the first line names the columns. columns: their names when it does not, or to replace those it has.
    quoting: "none" takes every character as it stands; "csv" is RFC 4180, line ends inside quotes included.
    member: the file inside a zip archive. Blank lines before the first row are left out.
    """

    delimiter: str = "\t"  # what stands between two cells
    header: bool = True
    columns: tuple[str, ...] | None = None
    quoting: Literal["none", "csv"] = "none"
    member: str | None = None

    @model_validator(mode="after")
    def delimiter_parts_cells(self) -> Self:
        if not self.delimiter or set(self.delimiter) & {"\n", "\r"}:
            raise ValueError(f"delimiter: expected a character between two cells, found {self.delimiter!r}")
        if self.quoting == "csv" and (len(self.delimiter) != 1 or self.delimiter == '"'):
            raise ValueError(
                f"delimiter: expected one character that is no quotation mark, found {self.delimiter!r}; longer ones need "
                'quoting = "none"'
            )
        return self


def read(path: Path, config: Delimited, repairs: Repairs, wanted: Sequence[str | int]) -> Iterator[Rows]:
    """The wanted columns of a delimited file, at most 10,000 rows at a time."""
    return (
        read_quoted(path, config, repairs, wanted)
        if config.quoting == "csv"
        else read_plain(path, config, repairs, wanted)
    )


def delimiter_hint(cells: Sequence[str]) -> str:
    """What to say of a header of one cell that holds what separates cells elsewhere."""
    found = next((mark for mark in (";", "\t", ",", "|") if len(cells) == 1 and mark in cells[0]), None)
    if found is None:
        return ""
    shown = "\\t" if found == "\t" else found
    return f'; if {shown!r} separates the columns, set format = {{ kind = "csv", delimiter = "{shown}" }}'


def locate_columns(path: Path, config: Delimited, first: Sequence[str], wanted: Sequence[str | int]) -> list[int]:
    """Where the wanted columns stand, from the first row of the file."""
    if config.header and config.columns is None:
        cells = [cell.strip() for cell in first]
        return text_file.columns_at(str(path), cells, wanted, delimiter_hint(cells) or NO_HEADER_HINT)
    if config.columns is not None and len(config.columns) != len(first):
        raise DataError(
            f"{path}: {len(first)} columns where format.columns names {len(config.columns)}; name each column once"
        )
    if config.columns is None:
        names = [f"column {number}" for number in range(len(first))]
        # The keys of a table are texts, even where they are numbers: filter = { 2 = "yes" }.
        wanted = [int(column) if isinstance(column, str) and column.isdecimal() else column for column in wanted]
        return text_file.columns_at(str(path), names, wanted, COLUMN_NUMBER_HINT)
    return text_file.columns_at(str(path), config.columns, wanted)


def read_plain(path: Path, config: Delimited, repairs: Repairs, wanted: Sequence[str | int]) -> Iterator[Rows]:
    """Rows of a file without quoting: a line is a row, whatever stands in it."""
    width, at = 0, []
    origin = 0  # the line that the first row stands in, counted from 0
    for number, lines in text_file.lines(path, config.member, repairs):
        if not width:
            blank = next((count for count, line in enumerate(lines) if line.strip()), len(lines))
            if blank == len(lines):
                continue
            number += blank
            table = [line.split(config.delimiter) for line in lines[blank:]]
            width = len(table[0])
            at = locate_columns(path, config, table[0], wanted)
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
        yield Rows(str(path), positions, numbers, [[row[column] for row in table] for column in at])


def read_quoted(path: Path, config: Delimited, repairs: Repairs, wanted: Sequence[str | int]) -> Iterator[Rows]:
    """Rows of a file with quoted fields (RFC 4180); a row may span lines."""
    csv.field_size_limit(MAX_FIELD_CHARACTERS)
    blocks_read = 0

    def source() -> Iterator[str]:
        nonlocal blocks_read
        for text in text_file.blocks(path, config.member, repairs):
            blocks_read += 1
            for line in text.split("\n"):
                yield line + "\n"

    reader = csv.reader(source(), delimiter=config.delimiter, strict=True)
    width, at, position = 0, [], -1
    header_left = config.header
    rows = Rows(str(path), [], [], [[] for _ in wanted])
    block = 1
    while True:
        line = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            position += 1
            repairs.bad_row(f"{path}, line {line}", f"not valid CSV: {error}", "mend the quotes")
            continue
        if not width:
            if not "".join(row).strip():
                continue
            width = len(row)
            at = locate_columns(path, config, row, wanted)
        if header_left:
            header_left = False
            continue
        position += 1
        if len(row) != width and not has_expected_width(path, repairs, config, width, line, row):
            continue
        rows.positions.append(position)
        rows.lines.append(line)
        for column, number in zip(rows.columns, at, strict=True):
            column.append(row[number])
        if len(rows) == BATCH_ROWS or blocks_read != block:
            block = blocks_read
            yield rows
            rows = Rows(str(path), [], [], [[] for _ in wanted])
    yield rows


def has_expected_width(path: Path, repairs: Repairs, config: Delimited, width: int, line: int, row: list[str]) -> bool:
    """Whether a row has as many columns as it must; a blank line counts as an empty row."""
    if len(row) == width:
        return True
    if not "".join(row).strip():
        repairs.counts["empty_rows"] += 1
        return False
    other = "header" if config.header else "first row"
    mark = {"\t": "tab", ",": "comma", ";": "semicolon"}.get(config.delimiter, repr(config.delimiter))
    cure = f"quote the {mark} or drop the row" if len(row) > width else "complete the row"
    plural = "" if len(row) == 1 else "s"
    repairs.bad_row(f"{path}, line {line}", f"{len(row)} column{plural} where the {other} has {width}", cure)
    return False
