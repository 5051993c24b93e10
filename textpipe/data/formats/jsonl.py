"""JSON lines: one object a line.

Numbers become text as they are written, booleans "true" and "false", null an empty text; so do NaN and numbers beyond
float64, which are counted. A list or an object is no text, and a name given twice with unequal values is none either.
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


def read(source: Path, config: Config, repairs: Repairs, wanted: Sequence[str | int]) -> Iterator[Rows]:
    """The wanted keys of each object."""
    for column in wanted:
        if isinstance(column, int):
            raise DataError(f"{source}: column {column} is a number, and the columns of JSON lines have names")
    names = [str(name) for name in wanted]
    checked = False
    for number, lines in text_file.lines(source, config.member, repairs):
        rows = Rows(str(source), [], [], [[] for _ in wanted])
        for line, text in enumerate(lines, number):
            text = text.strip()
            if not text:
                repairs.counts["empty_rows"] += 1
                continue
            table = parse_line(source, line, text, repairs, names)
            if table is None:
                continue
            if not checked:
                text_file.columns_at(f"{source}, line {line}", list(table), wanted)
                checked = True
            cells = [cell if type(cell := table.get(name, ())) is str else repairs.value_text(cell) for name in names]
            if None in cells:
                name = wanted[cells.index(None)]
                finding = f"{name!r} is a list or a table" if name in table else f"no key {name!r}"
                repairs.bad_row(f"{source}, line {line}", finding, "give it a text")
                continue
            if isinstance(table, json_text.ObjectWithDuplicateNames) and not table.names.isdisjoint(wanted):
                name = next(name for name in wanted if name in table.names)
                repairs.bad_row(f"{source}, line {line}", f"{name!r} is given twice, with unequal values", "keep one")
                continue
            rows.positions.append(line - 1)
            rows.lines.append(line)
            for texts, cell in zip(rows.columns, cells, strict=True):
                texts.append(cell)
        yield rows


def parse_line(source: Path, line: int, text: str, repairs: Repairs, names: Sequence[str]) -> dict | None:
    """The object of a line; a line that has none is a bad row."""
    try:
        table = json_text.parse_row(text, names)
    except ValueError as error:
        cure = 'set format = "json" if the file is one document' if text in ("[", "{") else "write one object a line"
        repairs.bad_row(f"{source}, line {line}", f"not JSON: {error}", cure)
        return None
    if not isinstance(table, dict):
        document = isinstance(table, list) and table and isinstance(table[0], dict)
        cure = 'set format = "json" if the file is one document' if document else "write one object a line"
        kind = {list: "a list", str: "a text or a number", bool: "a truth value"}.get(type(table), "no object")
        repairs.bad_row(f"{source}, line {line}", f"{kind} where an object was expected", cure)
        return None
    return table
