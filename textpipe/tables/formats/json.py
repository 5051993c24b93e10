"""One JSON document that holds lists of rows, as CLINC150's {"train": [["text", "label"], ...], "val": ...}.

The document is read whole, so it must fit in memory; larger data belongs into JSON lines.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from textpipe.config import Section
from textpipe.errors import DataError, suggest
from textpipe.tables import textfile
from textpipe.tables.rows import LIMIT, Repairs, Rows, value_text

SUFFIXES = ()  # a .json file is guessed to hold JSON lines, which stream


class Config(Section):
    """format = { kind = "json", columns = ["text", "label"], keys = { train = "train", valid = "val" } }

    keys: which list of the document holds a split's rows; the document itself when None. columns: names of the cells
    when a row is a list.
    """

    kind: Literal["json"] = "json"
    columns: tuple[str, ...] | None = None
    keys: dict[str, str] | None = None
    key: str | None = None  # the list that holds the rows of every split that `keys` does not name
    member: str | None = None  # the file inside a zip archive


def for_split(config: Config, split: str) -> Config:
    """The options to read one split with."""
    return config.model_copy(update={"key": (config.keys or {}).get(split, config.key)})


def read(source: Path, config: Config, repairs: Repairs, wanted: Sequence[str | int]) -> Iterator[Rows]:
    """The wanted cells of each row."""
    records = load(source, config)
    if not records:
        raise DataError(f"{source}: no rows{f' in {config.key!r}' if config.key else ''}")
    first = records[0]
    names = list(first) if isinstance(first, dict) else config.columns or [f"column {n}" for n in range(len(first))]
    at = textfile.columns_at(str(source), names, wanted)
    for start in range(0, len(records), LIMIT):
        rows = Rows(str(source), [], [], [[] for _ in wanted], "row")
        for position, record in enumerate(records[start : start + LIMIT], start):
            values = list(record.values()) if isinstance(record, dict) else record
            cells = (
                [value_text(record.get(names[n], ()) if isinstance(record, dict) else values[n]) for n in at]
                if (isinstance(record, dict) or (isinstance(record, list) and len(record) == len(names)))
                else [None]
            )
            if None in cells:
                repairs.bad_row(f"{source}, row {position + 1}", "not a row of texts like the first", "mend it")
                continue
            rows.positions.append(position)
            rows.lines.append(position + 1)
            for column, cell in zip(rows.columns, cells, strict=True):
                column.append(cell)
        yield rows


def load(source: Path, config: Config) -> list:
    """The list of rows in the document."""
    text = "\n".join(textfile.blocks(source, config.member))
    try:
        document = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise DataError(f"{source}: not a JSON document: {error}") from None
    if config.key is not None:
        if not isinstance(document, dict) or config.key not in document:
            known = suggest(config.key, document) if isinstance(document, dict) else ""
            raise DataError(f"{source}: no list {config.key!r}{known}")
        document = document[config.key]
    if not isinstance(document, list) or (document and not isinstance(document[0], list | dict)):
        raise DataError(f"{source}: expected a list of rows; name the key that holds it with format.keys")
    return document
