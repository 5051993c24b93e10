"""Rows that callers give, as the tensors of a model's fields hold them."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from textpipe.errors import ModelError, suggest

Row = str | Mapping[str, Any]


def encode(text: str) -> bytes:
    """UTF-8, with whatever Python could not hold as text left for the graph to replace."""
    return text.encode("utf-8", errors="surrogatepass")


def columns(raw: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
    """Cells as ingest keeps them, as batching.answered takes them: texts as bytes, a number that is missing as NaN."""
    return {name: [as_value(cell) for cell in cells] for name, cells in raw.items()}


def as_value(cell: Any) -> Any:
    """ "hi" -> b"hi", None -> NaN, 3 -> 3.0."""
    if isinstance(cell, str):
        return encode(cell)
    return math.nan if cell is None else float(cell)


def by_field(fields: Mapping[str, str], row: Row, number: int) -> dict[str, Any]:
    """A row by field: texts as str, numbers as float, NaN for one that is missing. Raises ModelError with the row's number.

    fields: {field: dtype}, as Model.dtypes; a plain text is the one field.
    """
    if isinstance(row, str):
        if len(fields) != 1:
            raise ModelError(f"row {number}: the model takes {', '.join(fields)}; give an object with these")
        row = dict.fromkeys(fields, row)
    for field in row:
        if field not in fields:
            raise ModelError(f"row {number}: the model has no field {field!r}{suggest(field, fields)}")
    return {field: cell_of(row.get(field), dtype, field, number) for field, dtype in fields.items()}


def cell_of(value: Any, dtype: str, field: str, number: int) -> Any:
    """A cell of a row as a tensor of the dtype holds it: "3.5" or 3.5 -> 3.5, None or "" -> NaN, for a number."""
    if dtype == "string":
        if not isinstance(value, str):
            raise ModelError(f"row {number}: field {field!r} must be a text, found {value!r}")
        return value
    if value is None or value == "":
        return math.nan
    try:
        found = float(value)
    except (TypeError, ValueError):
        found = math.inf
    if not math.isfinite(found):
        raise ModelError(f"row {number}: field {field!r} must be a number, found {value!r}")
    return found


def examples(columns: Mapping[str, Sequence[Any]]) -> list[bytes]:
    """Serialized tf.Examples, one a row, with a feature of bytes or of a float for each field."""
    import tensorflow as tf

    def feature_of(value: Any) -> Any:
        if isinstance(value, bytes):
            return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
        return tf.train.Feature(float_list=tf.train.FloatList(value=[value]))

    out = []
    for values in zip(*columns.values(), strict=True):
        feature = {name: feature_of(value) for name, value in zip(columns, values, strict=True)}
        out.append(tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString(deterministic=True))
    return out
