"""The cells of a table: the words and the number of each cell, and the words of the column names."""

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from textpipe.config.sections import Section

if TYPE_CHECKING:
    from textpipe.data import columns

KIND = "cells"
OF = ("table",)


class Config(Section):
    """Rows and columns beyond the limits are ignored, and counted by vectorize.

    min_count: words in fewer column names of the training rows than this share one embedding.
    cell_words: words of a cell that are compared with single words of a question; a cell is compared as a whole up to key_words words.
    """

    kind: Literal["cells"] = "cells"
    max_rows: int = Field(default=200, ge=1, le=2000)  # maximum number of rows read from a table
    max_columns: int = Field(default=40, ge=1, le=500)  # maximum number of columns read
    name_words: int = Field(default=6, ge=1, le=50)  # words of a column's name that are read
    cell_words: int = Field(default=6, ge=1, le=50)
    key_words: int = Field(default=10, ge=1, le=50)  # maximum number of words of a cell that is compared as a whole
    min_count: int = Field(default=10, ge=1)


def learn(config: Config, values: Callable[[], Iterable[Any]], folder: Path, name: str, *, codec: Any = None) -> None:
    """Write folder/name.words.json: {"words": [...]}; values() yields string tensors."""
    from textpipe.features import _packed
    from textpipe.features._cells import names_of_columns

    counts, _ = _packed.count_words(values, names_of_columns)
    words = sorted(word for word, count in counts.items() if count >= config.min_count and not word[0].isdigit())
    _packed.asset(folder, name).write_text(json.dumps({"words": words}, ensure_ascii=False), encoding="utf-8")


def load(config: Config, folder: Path, name: str, *, codec: Any = None) -> Any:
    """The feature: [N] string -> [N, T] int32; see _cells.py for the layout."""
    from textpipe.features import _packed
    from textpipe.features._cells import Cells

    return Cells(config, **json.loads(_packed.asset(folder, name).read_text(encoding="utf-8")))


def column(tables: list[Any], name: str, size: Mapping[str, Any]) -> "columns.Ids":
    """The integers of each row, from vectorize's tables."""
    from textpipe.data import columns

    return columns.list_column(tables, name)


def line(stats: Mapping[str, int], size: Mapping[str, Any], rows: int) -> str:
    """Rows, columns and cells per table, and what was cut or filled."""
    mean = {name: stats.get(name, 0) / max(1, rows) for name in ("rows", "columns", "cells")}
    repairs = ", ".join(
        f"{stats[name]:,} {text}"
        for name, text in (
            ("cut_tables", "tables cut"),
            ("uneven_rows", "rows with more or fewer cells than the header"),
            ("empty_tables", "tables without rows"),
        )
        if stats.get(name)
    )
    return f"{mean['rows']:.1f} rows, {mean['columns']:.1f} columns, {mean['cells']:.0f} cells per table" + (
        f"; {repairs}" if repairs else ""
    )
