"""Convert callers' rows to the values of a model's input tensors."""

import base64
import binascii
import math
from collections.abc import Mapping, Sequence
from typing import Any

from textpipe.errors import ModelError, suggest

Row = str | bytes | Mapping[str, Any]
BASE64 = "b64"  # the key of bytes in JSON, as in TensorFlow Serving


def encode(text: str) -> bytes:
    """Encode as UTF-8; lone surrogates become bytes that the graph replaces."""
    return text.encode("utf-8", errors="surrogatepass")


def encode_columns(raw: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
    """Convert cells from ingest for batching.run_in_batches: texts to bytes, missing numbers to NaN."""
    return {name: [encode_cell(cell) for cell in cells] for name, cells in raw.items()}


def encode_cell(cell: Any) -> Any:
    """ "hi" -> b"hi", b"hi" -> b"hi", None -> NaN, 3 -> 3.0."""
    if isinstance(cell, str | bytes):
        return encode(cell) if isinstance(cell, str) else cell
    return math.nan if cell is None else float(cell)


def parse_row(fields: Mapping[str, str], row: Row, number: int) -> dict[str, Any]:
    """A row by field: texts as str, bytes as bytes, numbers as float, NaN when missing. Raises ModelError with the row's number, from 1.

    fields: {field: dtype}, as in Model.dtypes; a str, bytes or {"b64": ...} is the row of a model with one field.
    """
    if isinstance(row, str | bytes) or is_base64(row):
        if len(fields) != 1:
            raise ModelError(f"row {number}: the model takes {', '.join(fields)}; give an object with these")
        row = dict.fromkeys(fields, row)
    for field in row:
        if field not in fields:
            raise ModelError(f"row {number}: the model has no field {field!r}{suggest(field, fields)}")
    return {field: parse_cell(row.get(field), dtype, field, number) for field, dtype in fields.items()}


def parse_cell(value: Any, dtype: str, field: str, number: int) -> Any:
    """Convert a cell to the dtype; for a number, "3.5" or 3.5 -> 3.5, None or "" -> NaN."""
    if dtype == "string":
        try:
            value = from_json(value)
        except ValueError as error:
            raise ModelError(f"row {number}: field {field!r}: {error}") from None
        if not isinstance(value, str | bytes):
            raise ModelError(f"row {number}: field {field!r} must be a text, found {value!r}")
        return value
    if value is None or value == "":
        return math.nan
    try:
        result = float(value)
    except (OverflowError, TypeError, ValueError):
        result = math.inf
    if not math.isfinite(result):
        raise ModelError(f"row {number}: field {field!r} must be a number, found {value!r}")
    return result


def to_json(cell: Any) -> Any:
    """A cell as a JSON value: b"hi" -> {"b64": "aGk="}; others as they are."""
    return {BASE64: base64.b64encode(cell).decode("ascii")} if isinstance(cell, bytes) else cell


def from_json(value: Any) -> Any:
    """The inverse of `to_json`. Raises ValueError for damaged base64."""
    if not is_base64(value):
        return value
    try:
        return base64.b64decode(value[BASE64], validate=True)
    except (binascii.Error, TypeError, ValueError) as error:
        raise ValueError(f"damaged base64 ({error}); encode the bytes again") from None


def is_base64(value: Any) -> bool:
    """Whether a JSON value stands for bytes: {"b64": "..."}."""
    return isinstance(value, Mapping) and value.keys() == {BASE64}


def to_examples(columns: Mapping[str, Sequence[Any]]) -> list[bytes]:
    """Serialized tf.Examples, one per row, with a bytes or float feature per field."""
    from tensorflow.core.example import example_pb2, feature_pb2

    def feature_of(value: Any) -> Any:
        if isinstance(value, bytes):
            return feature_pb2.Feature(bytes_list=feature_pb2.BytesList(value=[value]))
        return feature_pb2.Feature(float_list=feature_pb2.FloatList(value=[value]))

    out = []
    for values in zip(*columns.values(), strict=True):
        feature = {name: feature_of(value) for name, value in zip(columns, values, strict=True)}
        out.append(
            example_pb2.Example(features=feature_pb2.Features(feature=feature)).SerializeToString(deterministic=True)
        )
    return out
