"""One JSON document with lists of rows, such as CLINC150's {"train": [["text", "label"], ...], "val": ...}.

The document is loaded completely, so it must fit in memory; use JSON lines for larger data.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from pydantic import field_validator

from textpipe.config.sections import Section
from textpipe.data import json_text, shards, text_file
from textpipe.data.rows import BATCH_ROWS, Repairs, Rows
from textpipe.errors import DataError, suggest

SUFFIXES = ()  # .json files are guessed to be JSON lines, which can be streamed
TAKES_ENCODING = True


class Config(Section):
    """format = { kind = "json", columns = ["text", "label"], keys = { train = "train", valid = "val" } }

    keys: {split: key of the list with its rows}; one file with several keys provides several splits. key: used for
    splits that keys does not name; if None, the document itself is the list. columns: names of the cells if a row is a
    list. member: the file inside a zip archive.
    """

    kind: Literal["json"] = "json"
    columns: tuple[str, ...] | None = None
    keys: dict[str, str] | None = None
    key: str | None = None  # key of the list with the rows of splits that `keys` does not name; by default the document
    member: str | None = None  # the file inside a zip archive

    @field_validator("keys")
    @classmethod
    def check_keys(cls, keys: dict[str, str] | None) -> dict[str, str] | None:
        for name in keys or {}:
            if name not in shards.SPLITS:
                raise ValueError(f"{name}: no such split{suggest(name, shards.SPLITS)}")
        return keys


def for_split(config: Config, split: str) -> Config:
    """Return the options for reading one split."""
    return config.model_copy(update={"key": (config.keys or {}).get(split, config.key)})


def read(source: Path, config: Config, repairs: Repairs, columns: Sequence[str | int]) -> Iterator[Rows]:
    """Yield the requested columns of each row."""
    records = load_records(source, config, repairs)
    if not records:
        raise DataError(f"{source}: no rows{f' in {config.key!r}' if config.key else ''}")
    first = records[0]
    names = list(first) if isinstance(first, dict) else config.columns or [f"column {n}" for n in range(len(first))]
    indices = text_file.column_indices(str(source), names, columns)
    for start in range(0, len(records), BATCH_ROWS):
        rows = Rows(str(source), [], [], [[] for _ in columns], "row")
        for position, record in enumerate(records[start : start + BATCH_ROWS], start):
            cells = record_cells(record, names, indices, repairs)
            if cells is None:
                repairs.bad_row(f"{source}, row {position + 1}", "not a row of texts like the first", "fix it")
                continue
            rows.positions.append(position)
            rows.lines.append(position + 1)
            for column, cell in zip(rows.columns, cells, strict=True):
                column.append(cell)
        yield rows


def record_cells(record: object, names: Sequence[str], indices: Sequence[int], repairs: Repairs) -> list[str] | None:
    """Return the requested cells of a row; None if one is missing or not text."""
    if isinstance(record, dict):
        values = [record.get(names[index], ()) for index in indices]
        if isinstance(record, json_text.ObjectWithDuplicateNames) and not record.names.isdisjoint(
            names[index] for index in indices
        ):
            return None
    elif isinstance(record, list) and len(record) == len(names):
        values = [record[index] for index in indices]
    else:
        return None
    cells = [repairs.value_text(value, names[index]) for value, index in zip(values, indices, strict=True)]
    return None if None in cells else cells  # type: ignore[return-value]


def load_records(source: Path, config: Config, repairs: Repairs) -> list:
    """Load the list of rows from the document."""
    text = "\n".join(text_file.blocks(source, config.member, repairs))
    try:
        document = json_text.parse(text)
    except ValueError as error:
        raise DataError(f"{source}: not a JSON document: {error}") from None
    if config.key is not None:
        if not isinstance(document, dict) or config.key not in document:
            known = suggest(config.key, document) if isinstance(document, dict) else ""
            raise DataError(f"{source}: no list {config.key!r}{known}")
        document = document[config.key]
    if not isinstance(document, list) or (document and not isinstance(document[0], list | dict)):
        raise DataError(f"{source}: expected a list of rows; name its key with format.keys")
    return document
