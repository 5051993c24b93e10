"""Tables as they come in data files and from callers, as the canonical text of kinds/table.py."""

import csv
import io
import json
from pathlib import Path

from textpipe.data import table_syntax

MAX_ROWS, MAX_COLUMNS, MAX_CELL = 100_000, 500, 10_000  # of a table; characters of a cell
SUFFIXES = (".csv", ".tsv")


def canonical(cell: str) -> str:
    r"""CSV or tab-separated text, a JSON list of rows, or the path of a .csv or .tsv file -> a table as text.

    Rows are filled or cut to the length of the header; names of columns that are empty become "column 3". Raises ValueError for a table
    without columns or rows, and beyond the limits.

    'City,Inhabitants\nGraz,"291,072"' -> 'City\tInhabitants\nGraz\t291,072'
    """
    text = cell.strip("\r\n")
    if "\n" not in text and text.strip().lower().endswith(SUFFIXES):
        text = read_file(Path(text.strip()))
    rows = from_json(text) if text.lstrip().startswith("[[") else from_text(text)
    rows = [row for number, row in enumerate(rows) if row and (not number or any(cell.strip() for cell in row))]
    if not rows or not text.strip():
        raise ValueError("a table without columns: expected a line with their names")
    width = len(rows[0])
    if len(rows) == 1:
        raise ValueError(f"a table without rows: found only the names of {width} columns")
    if width > MAX_COLUMNS or len(rows) - 1 > MAX_ROWS:
        raise ValueError(
            f"a table of {len(rows) - 1:,} rows and {width:,} columns, where at most {MAX_ROWS:,} and {MAX_COLUMNS} are allowed"
        )
    names = [name.strip() or f"column {number}" for number, name in enumerate(rows[0], 1)]
    filled = [(row + [""] * (width - len(row)))[:width] for row in rows[1:]]
    longest = max(len(cell) for row in (names, *filled) for cell in row)
    if longest > MAX_CELL:
        raise ValueError(f"a cell of {longest:,} characters, where at most {MAX_CELL:,} are allowed")
    return table_syntax.write([names, *filled])


def read_file(path: Path) -> str:
    """The text of a file. Raises ValueError if it cannot be read or is not UTF-8."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file; the path is relative to the working directory") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 at byte {error.start:,}; convert the file") from None
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None


def from_text(text: str) -> list[list[str]]:
    """The rows of tab-separated text, or of CSV if the first line has no tab."""
    if "\t" in text.partition("\n")[0] or "," not in text.partition("\n")[0]:
        return table_syntax.read(text)
    try:
        return list(csv.reader(io.StringIO(text.replace("\r\n", "\n")), strict=True))
    except csv.Error as error:
        raise ValueError(f"not CSV: {error}") from None


def from_json(text: str) -> list[list[str]]:
    """The rows of a JSON list of lists; numbers become text, null the empty cell."""
    try:
        rows = json.loads(text, parse_int=str, parse_float=str)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"starts like a JSON list of rows but is not valid: {error}") from None
    if not all(isinstance(row, list) and not any(isinstance(cell, list | dict) for cell in row) for row in rows):
        raise ValueError("expected a JSON list of rows, each a list of texts and numbers")
    return [["" if cell is None else str(cell) for cell in row] for row in rows]
