"""Cells whose shape is not that of their field: a list of sentences, where a story is one text."""

import json
from collections.abc import Mapping
from typing import Any

from textpipe.config import plugins
from textpipe.errors import ConfigError
from textpipe.savedmodel.signatures import Input
from textpipe.serve.engine.errors import ServingError, invalid_argument
from textpipe.serve.tensors.from_json import COLUMNS, ROWS, is_object, shape_of
from textpipe.serve.tensors.json_values import format_shape

Fields = Mapping[str, Input]


def check(shapes: Mapping[str, tuple[int, ...]], fields: Fields) -> None:
    """Raise ServingError for a tensor of a field whose rank or fixed axes differ from those that the model reads."""
    for name, field in fields.items():
        if name in shapes and not fits(shapes[name], field):
            raise unfit(name, field, shapes[name])


def check_document(document: Mapping[str, Any], fields: Fields) -> None:
    """As `check`, for the document of a predict request; shapes are those of first values. A row is named by its number from 1."""
    if COLUMNS in document:
        value = document[COLUMNS]
        columns: Any = value if is_object(value) else dict.fromkeys(fields, value)
        check({name: shape_of(columns[name]) for name in fields if name in columns}, fields)
    row_list = document.get(ROWS)
    rows = row_list if isinstance(row_list, list) else []
    for number, row in enumerate(rows, 1):
        cells = row if is_object(row) else dict.fromkeys(fields, row)
        for name, field in fields.items():
            if name in cells and not fits(shape := (len(rows), *shape_of(cells[name])), field):
                raise unfit(f"row {number}: {name}", field, shape)


def fits(shape: tuple[int, ...], field: Input) -> bool:
    """Whether a tensor of a shape can be read as the field."""
    return len(shape) == len(field.shape) and all(
        size in (None, actual_size) for size, actual_size in zip(field.shape, shape, strict=True)
    )


def unfit(place: str, field: Input, shape: tuple[int, ...]) -> ServingError:
    """The error of a tensor that does not fit, with the form of a cell if its kind shows one."""
    sizes = ["rows", *("any" if size is None else str(size) for size in field.shape[1:])]
    expected = f"[{','.join(sizes)}]" if field.shape else "[]"
    try:
        example = getattr(plugins.find("kinds", field.kind), "EXAMPLE", None)
    except ConfigError:  # of another installation
        example = None
    if len(shape) < len(field.shape) or example is None:
        cure = "send a list with a value for each row"
    else:
        cure = f"write a cell as {json.dumps(example, ensure_ascii=False)}"
    return invalid_argument(f"{place}: expected shape {expected}, found {format_shape(shape)}; {cure}")
