"""Rows as users write them, as a model reads them: the path of a picture becomes the bytes of its file, a list of sentences a story, CSV a table.

The kinds of a model's inputs say which cells are parsed, as ingest parses them; bytes and blank cells stay as they are.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Self

from textpipe.config import plugins
from textpipe.data import json_text
from textpipe.data.rows import list_columns
from textpipe.errors import ConfigError, DataError
from textpipe.savedmodel.model_rows import is_base64

Reader = Callable[[str], Any]


@dataclass(frozen=True)
class CellReader:
    """readers: {field: function from a text to a cell}; lists: the fields whose cells may be lists."""

    readers: Mapping[str, Reader]
    lists: frozenset[str | int] = frozenset()

    @classmethod
    def of(cls, kinds: Mapping[str, ModuleType], folder: Path = Path()) -> Self:
        """A reader of the cells of these kinds, {field: module}; folder: what paths of pictures are relative to."""
        readers = {name: module.parser(folder) for name, module in kinds.items() if hasattr(module, "parser")}
        parsed = {name: module.parse for name, module in kinds.items() if hasattr(module, "parse")}
        return cls(parsed | readers, list_columns((module, name) for name, module in kinds.items()))

    def read(self, rows: Iterable[Any], *, first: int = 1) -> list[Any]:
        """The rows of a batch; first: the number of the first one in messages. Raises DataError with the row's number."""
        return [self.read_row(row, f"row {number}") for number, row in enumerate(rows, first)]

    def read_row(self, row: Any, place: str) -> Any:
        """A row with its cells read. The only field of a row may be given alone."""
        if isinstance(row, str):
            return self.read_cell(next(iter(self.readers)), row, place) if self.readers else row
        if not isinstance(row, Mapping) or is_base64(row):
            return row
        return {name: self.read_cell(name, cell, place) for name, cell in row.items()}

    def read_cell(self, name: str, cell: Any, place: str) -> Any:
        """A cell of a field."""
        try:
            if name in self.lists and is_list(cell):
                cell = json_text.write(to_list(cell))
            if name in self.readers and isinstance(cell, str) and cell.strip():
                return self.readers[name](cell)
        except ValueError as error:
            raise DataError(f"{place}: {name!r}: {error}") from None
        return cell


def is_list(value: object) -> bool:
    """Whether a cell is a list, tuple or array."""
    return isinstance(value, list | tuple) or getattr(value, "ndim", 0) > 0


def to_list(value: Any) -> Any:
    """Tuples and arrays as lists, at every depth."""
    value = value.tolist() if hasattr(value, "tolist") else value
    return list(map(to_list, value)) if isinstance(value, list | tuple) else value


def kinds_of(model: Any) -> dict[str, ModuleType]:
    """{field: module of kinds/} of the text inputs of a loaded or served model; kinds of another installation are left out."""
    kinds = {}
    for signature in model.described.values():
        for name in signature.fields:
            if model.dtypes.get(name) != "string":
                continue
            try:
                kinds[name] = plugins.find("kinds", signature.inputs[name].kind)
            except ConfigError:
                continue
    return kinds


def reader_of(model: Any, folder: Path = Path()) -> CellReader:
    """The reader of a loaded or served model's rows."""
    return CellReader.of(kinds_of(model), folder)
