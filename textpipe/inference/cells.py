"""Rows as users write them, as a model reads them: the path of a picture becomes the bytes of its file.

The kinds of a model's inputs say which cells are parsed; a row that is bytes already stays as it is.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from textpipe.config import plugins
from textpipe.errors import ConfigError, DataError
from textpipe.savedmodel.model_rows import is_base64

Reader = Callable[[str], Any]


def readers(model: Any, folder: Path) -> dict[str, Reader]:
    """{field: function from a text to a cell} of the fields of a loaded or served model whose kind parses paths.

    folder: what paths are relative to.
    """
    kinds: dict[str, str] = {}
    for signature in model.described.values():
        kinds |= {name: signature.inputs[name].kind for name in signature.fields if name in model.fields}
    found = {}
    for name, kind in kinds.items():
        try:
            module = plugins.find("kinds", kind)
        except ConfigError:  # of another installation
            continue
        if hasattr(module, "parser"):
            found[name] = module.parser(folder)
    return found


def read_row(row: Any, readers: Mapping[str, Reader], place: str) -> Any:
    """A row with its texts read; raises DataError with the place. The only field of a row may be given alone."""
    try:
        if isinstance(row, str):
            for read in readers.values():
                return read(row)
        if not isinstance(row, Mapping) or is_base64(row):
            return row
        return {
            name: readers[name](cell) if name in readers and isinstance(cell, str) else cell
            for name, cell in row.items()
        }
    except ValueError as error:
        raise DataError(f"{place}: {error}") from None


def read_rows(rows: Iterable[Any], model: Any, folder: Path = Path(), *, first: int = 1) -> list[Any]:
    """The rows of a batch; first: the number of the first one in messages."""
    found = readers(model, folder)
    return [read_row(row, found, f"row {number}") for number, row in enumerate(rows, first)] if found else list(rows)
