"""JSON lines: one object a line. Numbers and booleans become text, null an empty text."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from textpipe.config import Section
from textpipe.errors import DataError
from textpipe.tables import textfile
from textpipe.tables.rows import Repairs, Rows, value_text

SUFFIXES = (".jsonl", ".ndjson", ".json")


class Config(Section):
    """format = "jsonl"; `member` names the file inside a zip archive."""

    kind: Literal["jsonl"] = "jsonl"
    member: str | None = None  # the file inside a zip archive


def read(source: Path, config: Config, repairs: Repairs, wanted: Sequence[str | int]) -> Iterator[Rows]:
    """The wanted keys of each object."""
    for column in wanted:
        if isinstance(column, int):
            raise DataError(f"{source}: column {column} is a number, and the columns of JSON lines have names")
    checked = False
    for number, lines in textfile.lines(source, config.member):
        rows = Rows(str(source), [], [], [[] for _ in wanted])
        for line, text in enumerate(lines, number):
            if not text.strip():
                repairs.counts["empty_rows"] += 1
                continue
            table = parse(source, line, text, repairs)
            if table is None:
                continue
            if not checked:
                textfile.columns_at(f"{source}, line {line}", list(table), wanted)
                checked = True
            cells = [value_text(table.get(name, ())) for name in wanted]
            if None in cells:
                name = wanted[cells.index(None)]
                finding = f"{name!r} is a list or a table" if name in table else f"no key {name!r}"
                repairs.bad_row(f"{source}, line {line}", finding, "give it a text")
                continue
            rows.positions.append(line - 1)
            rows.lines.append(line)
            for column, cell in zip(rows.columns, cells, strict=True):
                column.append(cell)
        yield rows


def parse(source: Path, line: int, text: str, repairs: Repairs) -> dict | None:
    """The object of a line; a line that has none is a bad row."""
    try:
        table = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        repairs.bad_row(f"{source}, line {line}", f"not JSON: {error}", "write one object a line")
        return None
    if not isinstance(table, dict):
        repairs.bad_row(
            f"{source}, line {line}", f"{type(table).__name__} where an object was expected", "write one object a line"
        )
        return None
    return table
