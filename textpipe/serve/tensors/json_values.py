"""Converts single JSON values to values of a tensor."""

import base64
import re
from collections.abc import Iterable
from typing import Any

import numpy as np

from textpipe.serve.engine.errors import ServingError, invalid_argument
from textpipe.serve.tensors.json_writer import format_value, type_of

B64 = "b64"
# TensorFlow's names of types, and the range it checks JSON integers against: 8 and 16 bits then wrap around.
TYPE_NAMES = {"float32": "float", "float64": "double", "float16": "half"}
RANGE_OF = {
    "int8": "int32",
    "int16": "int32",
    "uint8": "int32",
    "int32": "int32",
    "int64": "int64",
    "uint32": "uint32",
    "uint64": "uint64",
}
INT_BOUNDS = {
    name: (int(np.iinfo(name).min), int(np.iinfo(name).max)) for name in ("int32", "int64", "uint32", "uint64")
}
BASE64 = re.compile(r"([A-Za-z0-9+/]*)([=.]*)")
WHITESPACE = str.maketrans("", "", " \t\n\v\f\r")


def bytes_array(values: Iterable[bytes]) -> np.ndarray:
    """[n] bytes as an array of objects; np.array would strip or nest them."""
    items = list(values)
    array = np.empty(len(items), object)
    array[:] = items
    return array


def is_bytes(value: Any) -> bool:
    """Whether a value is {"b64": "..."} without other members; a repeated name counts as two."""
    return type(value) is dict and len(value) == 1 and isinstance(value.get(B64), str)


def scalar(value: Any, dtype: str) -> Any:
    """A JSON value as a value of a tensor; raises ServingError where TensorFlow Serving does."""
    kind = type(value)
    if dtype == "string":
        if kind is str:
            return value.encode()
        if isinstance(value, dict):
            return from_base64(value)
    elif isinstance(value, dict):
        pass
    elif dtype in ("float32", "float64"):
        if kind in (int, float):
            return float(value)
    elif dtype in RANGE_OF:
        low, high = INT_BOUNDS[RANGE_OF[dtype]]
        if kind is int and low <= value <= high:
            return value
    elif dtype == "bool":
        if kind is bool:
            return value
    else:
        raise ServingError(
            "UNIMPLEMENTED", f"Conversion of JSON Value: {format_value(value)} to type: {TYPE_NAMES.get(dtype, dtype)}"
        )
    raise invalid_argument(
        f"JSON Value: {format_value(value)} Type: {type_of(value)} is not of expected type: {TYPE_NAMES.get(dtype, dtype)}"
    )


def from_base64(value: dict[str, Any]) -> bytes:
    """{"b64": "aGk="} -> b"hi"."""
    if not is_bytes(value):
        raise invalid_argument(f"JSON Value: {format_value(value)} not formatted correctly for base64 data")
    try:
        return decode_base64(value[B64])
    except ValueError:
        raise invalid_argument("Unable to base64 decode") from None


def decode_base64(text: str) -> bytes:
    """Decodes base64 as Abseil does: blanks anywhere, and complete padding with "=" or ".", or none. Raises ValueError for
    other text.
    """
    match = BASE64.fullmatch(text.translate(WHITESPACE))
    if not match or len(match[1]) % 4 == 1 or len(match[2]) not in (0, -len(match[1]) % 4):
        raise ValueError("not base64")
    return base64.b64decode(match[1] + "=" * (-len(match[1]) % 4))


def format_shape(shape: tuple[int, ...]) -> str:
    """(1, 2) -> "[1,2]"."""
    return f"[{','.join(map(str, shape))}]"
