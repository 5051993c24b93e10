"""JSON lines: one object per line.

Numbers become text as written, booleans "true" and "false", null the empty string. NaN and numbers that overflow float64
also become empty and are counted. Lists, objects and duplicate names with different values are bad rows.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from textpipe.config.sections import Section
from textpipe.data import json_text, text_file
from textpipe.data.rows import Repairs, Rows
from textpipe.errors import DataError

SUFFIXES = (".jsonl", ".ndjson", ".json")
TAKES_ENCODING = True


class Config(Section):
    """format = "jsonl"; `member` names the file inside a zip archive."""

    kind: Literal["jsonl"] = "jsonl"
    member: str | None = None  # the file inside a zip archive


def read(source: Path, config: Config, repairs: Repairs, columns: Sequence[str | int]) -> Iterator[Rows]:
    """Yield the requested keys of each object."""
    for column in columns:
        if isinstance(column, int):
            raise DataError(f"{source}: column {column} is a number, but the columns of JSON lines have names")
    names = [str(name) for name in columns]
    checked = False
    for number, lines in text_file.lines(source, config.member, repairs):
        rows = Rows(str(source), [], [], [[] for _ in columns])
        for line, text in enumerate(lines, number):
            text = text.strip()
            if not text:
                repairs.counts["empty_rows"] += 1
                continue
            table = parse_line(source, line, text, repairs, names)
            if table is None:
                continue
            if not checked:
                text_file.column_indices(f"{source}, line {line}", list(table), columns)
                checked = True
            cells = [
                cell if type(cell := table.get(name, ())) is str else repairs.value_text(cell, name) for name in names
            ]
            if None in cells:
                name = columns[cells.index(None)]
                problem = f"{name!r} is a list or an object" if name in table else f"no key {name!r}"
                repairs.bad_row(f"{source}, line {line}", problem, "give it a text")
                continue
            if isinstance(table, json_text.ObjectWithDuplicateNames) and not table.names.isdisjoint(columns):
                name = next(name for name in columns if name in table.names)
                repairs.bad_row(f"{source}, line {line}", f"{name!r} occurs twice with different values", "keep one")
                continue
            rows.positions.append(line - 1)
            rows.lines.append(line)
            for texts, cell in zip(rows.columns, cells, strict=True):
                texts.append(cell)
        yield rows


def parse_line(source: Path, line: int, text: str, repairs: Repairs, names: Sequence[str]) -> dict | None:
    """Parse the object of a line; a line without one is a bad row."""
    try:
        table = json_text.parse_row(text, names)
    except ValueError as error:
        cure = 'set format = "json" if the file is one document' if text in ("[", "{") else "write one object per line"
        repairs.bad_row(f"{source}, line {line}", f"not JSON: {error}", cure)
        return None
    if not isinstance(table, dict):
        document = isinstance(table, list) and table and isinstance(table[0], dict)
        cure = 'set format = "json" if the file is one document' if document else "write one object per line"
        kinds = {list: "a list", str: "a text or a number", json_text.Number: "a text or a number", bool: "a boolean"}
        kind = kinds.get(type(table), "another value")
        repairs.bad_row(f"{source}, line {line}", f"{kind} where an object was expected", cure)
        return None
    return table
