"""A model's answer as TensorFlow Serving's JSON: rows or columns, its spelling of numbers, base64 by the output's
name.
"""

import base64
import json
import math
import struct
from collections.abc import Mapping
from json.encoder import encode_basestring as in_quotes
from typing import Any

import numpy as np

from textpipe.serve.faults import invalid
from textpipe.serve.values import NAMES

BYTES = "_bytes"  # an output whose name ends so holds bytes
WRITTEN = {"float32", "float64", "string", "bool", "int8", "int16", "int32", "int64", "uint8", "uint32", "uint64"}


def predict(tensors: Mapping[str, np.ndarray], *, in_rows: bool) -> str:
    """{"y": [2.5, 3]} -> {"predictions": [2.5, 3.0]} in rows, {"outputs": [2.5, 3.0]} in columns.

    Raises Fault for a type JSON has no spelling for and, in rows, for outputs that are not of one batch.
    """
    for array in tensors.values():
        kind = dtype_of(array)
        if kind not in WRITTEN:
            raise invalid(f"Failed to write JSON value for tensor type: {NAMES.get(kind, kind)}")
    return rows(tensors) if in_rows else columns(tensors)


def columns(tensors: Mapping[str, np.ndarray]) -> str:
    if len(tensors) == 1:
        ((name, array),) = tensors.items()
        return f'{{\n    "outputs": {nested(array, name)}\n}}'
    inside = ",\n        ".join(f"{in_quotes(name)}: {nested(array, name)}" for name, array in tensors.items())
    return f'{{\n    "outputs": {{\n        {inside}\n    }}\n}}'


def rows(tensors: Mapping[str, np.ndarray]) -> str:
    count = None
    for name, array in tensors.items():
        if not array.ndim:
            raise invalid(f"Tensor name: {name} has no shape information ")
        if count is None:
            count = len(array)
        elif len(array) != count:
            raise invalid(f"Tensor name: {name} has inconsistent batch size: {len(array)} expecting: {count}")
    if len(tensors) == 1:
        ((name, array),) = tensors.items()
        inside = ", ".join(parts(array, name))
    else:
        names = [in_quotes(name) for name in tensors]
        inside = ", ".join(
            "{\n            "
            + ",\n            ".join(f"{name}: {value}" for name, value in zip(names, values, strict=True))
            + "\n        }"
            for values in zip(*(parts(array, name) for name, array in tensors.items()), strict=True)
        )
    return f'{{\n    "predictions": [{inside}\n    ]\n}}'


def dtype_of(array: np.ndarray) -> str:
    return DTYPES.get(array.dtype.char) or array.dtype.name


# NumPy takes ten times as long to make a name up.
DTYPES = {np.dtype(name).char: name for name in WRITTEN - {"string"}} | {"O": "string"}


def nested(array: np.ndarray, name: str) -> str:
    """All of an array."""
    if not array.ndim:
        return texts(array.reshape(1), name)[0]
    return f"[{', '.join(parts(array, name))}]"


def parts(array: np.ndarray, name: str) -> list[str]:
    """Each element of the first axis: [2, 3] -> ["[1, 2, 3]", "[4, 5, 6]"]."""
    found = texts(array.reshape(-1), name)
    for axis in range(array.ndim - 1, 0, -1):
        size, count = array.shape[axis], math.prod(array.shape[:axis])
        found = [f"[{', '.join(found[at * size : (at + 1) * size])}]" for at in range(count)]
    return found


def texts(flat: np.ndarray, name: str) -> list[str]:
    """The values of [n] as JSON."""
    if flat.dtype == object:
        if name.endswith(BYTES):
            return [f'{{"b64": "{base64.b64encode(value).decode()}"}}' for value in flat.tolist()]
        values = flat.tolist()
        known = {value: quoted(value) for value in set(values)}  # labels are few
        return [known[value] for value in values]
    if flat.dtype.kind == "f":
        return numbers(flat)
    return list(map(json.dumps, flat.tolist()))


def quoted(value: bytes) -> str:
    """A string output; bytes that are not UTF-8 become U+FFFD, for JSON cannot carry them."""
    return in_quotes(value.decode("utf-8", "replace"))


def numbers(flat: np.ndarray) -> list[str]:
    """Six digits of a float32 when they give the same number back, else nine; float64 in full.

    [0.2, 1/3, 9e6, 3] -> ["0.2", "0.333333343", "9e+06", "3.0"]
    """
    values = flat.tolist()
    if flat.dtype != np.float32:
        return [whole(repr(value)) for value in values]
    return [whole(shortest(value)) for value in values]


SINGLE = struct.Struct("f")


def shortest(value: float) -> str:
    """A float32's digits."""
    six = f"{value:.6g}"
    try:
        same = SINGLE.unpack(SINGLE.pack(float(six)))[0] == value
    except OverflowError:  # the six digits of one of the largest float32 are larger than all
        same = False
    return six if same else f"{value:.9g}"


SPELLED = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}


def whole(text: str) -> str:
    """A number that looks like a float: "3" -> "3.0"."""
    if "." in text or "e" in text:
        return text
    return SPELLED.get(text) or text + ".0"


def error(message: str) -> str:
    return json.dumps({"error": message}, ensure_ascii=False, indent=4)


def line(value: Any) -> str:
    """JSON without line breaks."""
    return json.dumps(value, ensure_ascii=False)


def written(value: Any) -> str:
    """What is neither rows nor columns: status, metadata."""
    return json.dumps(value, ensure_ascii=False, indent=1)
