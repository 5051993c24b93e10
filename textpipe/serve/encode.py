"""A model's answer as TensorFlow Serving's JSON: rows or columns, its spelling of numbers, base64 by the output's
name.
"""

import base64
import json
import math
from collections.abc import Mapping
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
    inside = ",\n        ".join(f"{json.dumps(name)}: {nested(array, name)}" for name, array in tensors.items())
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
        names = [json.dumps(name) for name in tensors]
        inside = ", ".join(
            "{\n            "
            + ",\n            ".join(f"{name}: {value}" for name, value in zip(names, values, strict=True))
            + "\n        }"
            for values in zip(*(parts(array, name) for name, array in tensors.items()), strict=True)
        )
    return f'{{\n    "predictions": [{inside}\n    ]\n}}'


def dtype_of(array: np.ndarray) -> str:
    return "string" if array.dtype == object else array.dtype.name


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
        return [quoted(value) for value in flat.tolist()]
    if flat.dtype.kind == "f":
        return numbers(flat)
    return list(map(json.dumps, flat.tolist()))


def quoted(value: bytes) -> str:
    """A string output; bytes that are not UTF-8 become U+FFFD, for JSON cannot carry them."""
    return json.dumps(value.decode("utf-8", "replace"), ensure_ascii=False)


def numbers(flat: np.ndarray) -> list[str]:
    """Six digits of a float32 when they give the same number back, else nine; float64 in full.

    [0.2, 1/3, 9e6, 3] -> ["0.2", "0.333333343", "9e+06", "3.0"]
    """
    if flat.dtype != np.float32:
        return list(map(whole, map(repr, flat.tolist())))
    values = flat.tolist()
    six = [f"{value:.6g}" for value in values]
    with np.errstate(over="ignore"):
        same = np.asarray(six, np.float64).astype(np.float32) == flat
    return [
        whole(text if fits else f"{value:.9g}") for text, fits, value in zip(six, same.tolist(), values, strict=True)
    ]


SPELLED = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}


def whole(text: str) -> str:
    """A number that looks like a float: "3" -> "3.0"."""
    if text in SPELLED:
        return SPELLED[text]
    return text if any(mark in text for mark in ".en") else text + ".0"


def error(message: str) -> str:
    return json.dumps({"error": message}, ensure_ascii=False, indent=4)


def line(value: Any) -> str:
    """JSON without line breaks."""
    return json.dumps(value, ensure_ascii=False)


def written(value: Any) -> str:
    """What is neither rows nor columns: status, metadata."""
    return json.dumps(value, ensure_ascii=False, indent=1)
