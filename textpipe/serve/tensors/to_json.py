"""Writes outputs as TensorFlow Serving's JSON: in rows or columns, with its number format, and base64 by output name."""

import base64
import json
import math
from collections.abc import Mapping
from json.encoder import encode_basestring as in_quotes
from typing import Any

import numpy as np

from textpipe.serve.engine.batch_outputs import write_rows
from textpipe.serve.engine.errors import invalid_argument
from textpipe.serve.tensors.json_values import TYPE_NAMES
from textpipe.serve.tensors.json_writer import quote as in_capitals

MANY_VALUES = 64  # for which it is worth finding out which have six digits before writing them
BYTES_SUFFIX = "_bytes"  # outputs whose name ends so are written in base64
JSON_TYPES = {"float32", "float64", "string", "bool", "int8", "int16", "int32", "int64", "uint8", "uint32", "uint64"}


def predict(tensors: Mapping[str, np.ndarray], *, in_rows: bool) -> str:
    """{"y": [2.5, 3]} -> {"predictions": [2.5, 3.0]} in rows, {"outputs": [2.5, 3.0]} in columns.

    Raises ServingError for types that JSON cannot express and, in rows, for outputs of different batch sizes.
    """
    if not tensors:
        raise invalid_argument("Cannot convert empty tensor map to JSON")
    if not in_rows:
        return columns(tensors)
    rows_json = write_rows(tensors, rows)
    return f'{{\n    "predictions": [{", ".join(rows_json)}\n    ]\n}}' if rows_json else '{\n    "predictions": []\n}'


def columns(tensors: Mapping[str, np.ndarray]) -> str:
    if len(tensors) == 1:
        ((name, array),) = tensors.items()
        return f'{{\n    "outputs": {format_array(array, name)}\n}}'
    inside = ",\n        ".join(f"{in_quotes(name)}: {format_array(array, name)}" for name, array in tensors.items())
    return f'{{\n    "outputs": {{\n        {inside}\n    }}\n}}'


def rows(tensors: Mapping[str, np.ndarray]) -> list[str]:
    """Each row as JSON: a value for a single output, else an object."""
    count = None
    for name, array in tensors.items():
        if not array.ndim:
            raise invalid_argument(f"Tensor name: {name} has no shape information ")
        if count is None:
            count = len(array)
        elif len(array) != count:
            raise invalid_argument(f"Tensor name: {name} has inconsistent batch size: {len(array)} expecting: {count}")
    if not count:
        return []
    fields = {name: format_pattern(array.shape[1:]) for name, array in tensors.items()}
    if len(fields) == 1:
        (row,) = fields.values()
    else:
        inside = (f"{in_quotes(name).replace('%', '%%')}: {field}" for name, field in fields.items())
        row = "{\n            " + ",\n            ".join(inside) + "\n        }"
    cells: list[list[str]] = []  # one for each %s in a row
    columns = format_columns(tensors)
    for name, array in tensors.items():
        values, size = columns[name], math.prod(array.shape[1:])
        cells += [values[offset::size] for offset in range(size)]
    if not cells:
        return [row % ()] * count
    return [row % values for values in zip(*cells, strict=True)]


def dtype_of(array: np.ndarray) -> str:
    return DTYPES.get(array.dtype.char) or array.dtype.name


# Ten times as fast as array.dtype.name.
DTYPES = {np.dtype(name).char: name for name in JSON_TYPES - {"string"}} | {"O": "string"}


def type_enum(array: np.ndarray) -> str:
    """The type's name in protocol buffers: "DT_FLOAT"."""
    dtype = dtype_of(array)
    return f"DT_{TYPE_NAMES.get(dtype, dtype).upper()}"


def format_array(array: np.ndarray, name: str) -> str:
    """A whole array as nested lists."""
    return format_pattern(array.shape) % tuple(format_values(array.reshape(-1), name))


def format_pattern(shape: tuple[int, ...]) -> str:
    """(2, 3) -> "[[%s, %s, %s], [%s, %s, %s]]"."""
    if 0 in shape:
        shape = shape[: shape.index(0) + 1]  # an empty list instead of many empty lists
    pattern = "%s"
    for size in reversed(shape):
        pattern = f"[{', '.join([pattern] * size)}]"
    return pattern


def format_columns(tensors: Mapping[str, np.ndarray]) -> dict[str, list[str]]:
    """The values of each tensor as JSON. Equal float32 are written once: a score is one of the probabilities."""
    floats = {name: array.reshape(-1) for name, array in tensors.items() if array.dtype == np.float32}
    columns = {name: format_values(array.reshape(-1), name) for name, array in tensors.items() if name not in floats}
    if not floats:
        return columns
    bits = np.concatenate(list(floats.values())).view(np.int32).tolist()  # 0 and -0 are equal as numbers
    distinct = list(dict.fromkeys(bits))
    texts = dict(zip(distinct, format_floats(np.array(distinct, np.int32).view(np.float32)), strict=True))
    begin = 0
    for name, flat in floats.items():
        columns[name] = [texts[value] for value in bits[begin : begin + len(flat)]]
        begin += len(flat)
    return columns


def format_values(flat: np.ndarray, name: str) -> list[str]:
    """The values of an array [n] as JSON."""
    dtype = dtype_of(flat)
    if len(flat) and dtype not in JSON_TYPES:
        raise invalid_argument(f"Failed to write JSON value for tensor type: {TYPE_NAMES.get(dtype, dtype)}")
    if flat.dtype == object:
        if name.endswith(BYTES_SUFFIX):
            return [f'{{"b64": "{base64.b64encode(value).decode()}"}}' for value in flat.tolist()]
        values = flat.tolist()
        quoted = {value: quote(value) for value in set(values)}  # labels repeat
        return [quoted[value] for value in values]
    if flat.dtype.kind == "f":
        return format_floats(flat)
    return list(map(json.dumps, flat.tolist()))


def quote(value: bytes) -> str:
    """A string output as JSON; bytes that are not UTF-8 become U+FFFD."""
    return in_capitals(value.decode("utf-8", "replace"))


def format_floats(flat: np.ndarray) -> list[str]:
    """float32 with six digits if they round-trip, else nine; float64 in full.

    [0.2, 1/3, 9e6, 3] -> ["0.2", "0.333333343", "9e+06", "3.0"]
    """
    values = flat.tolist()
    if flat.dtype != np.float32:
        return [with_point(repr(value)) for value in values]
    # All at once: one by one would cost as much as the rest of the response.
    texts = ("%.9g " * len(values) % tuple(values)).split()
    candidates = np.flatnonzero(may_have_six_digits(flat)) if len(flat) >= MANY_VALUES else np.arange(len(flat))
    six = ("%.6g " * len(candidates) % tuple(flat[candidates].tolist())).split()
    with np.errstate(over="ignore"):  # six digits of the largest float32 overflow
        same = np.array(list(map(float, six))).astype(np.float32) == flat[candidates]
    for index, short, exact in zip(candidates.tolist(), six, same.tolist(), strict=True):
        if exact:
            texts[index] = short
    return [text if "." in text else with_point(text) for text in texts]


def may_have_six_digits(flat: np.ndarray) -> np.ndarray:
    """Which float32 may round-trip with six digits: those within twice their precision of a number with six digits, which few
    probabilities are."""
    with np.errstate(all="ignore"):  # 0 and what is not finite
        sizes = np.abs(flat.astype(np.float64))
        scale = 10.0 ** (5 - np.floor(np.log10(sizes)))
        distances = np.abs(np.rint(sizes * scale) / scale - sizes)
        return ~((distances > sizes * 2.0**-23) & (sizes > 1e-37))


NOT_FINITE = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}


def with_point(text: str) -> str:
    """A number that reads as a float: "3" -> "3.0"."""
    if "." in text or "e" in text:
        return text
    return NOT_FINITE.get(text) or text + ".0"


def error(message: str) -> str:
    return json.dumps({"error": message}, ensure_ascii=False, indent=4)


def line(value: Any) -> str:
    """JSON without line breaks."""
    return json.dumps(value, ensure_ascii=False)


def indented(value: Any) -> str:
    """For status and metadata."""
    return json.dumps(value, ensure_ascii=False, indent=1)
