"""Converts a predict request's JSON to tensors, by TensorFlow Serving's rules (its json_tensor).

Tensors are NumPy arrays, strings are bytes in arrays of objects. Rows ("instances") are stacked, columns ("inputs") are taken
as they are. Error messages are copied from TensorFlow Serving, because clients read them. Well-formed values are converted
all at once; only if that fails, one by one.
"""

import math
from collections.abc import Container, Mapping
from itertools import chain
from typing import Any

import numpy as np

from textpipe.serve.engine.errors import ServingError, invalid_argument
from textpipe.serve.engine.request_limits import MAX_RANK, RequestLimits
from textpipe.serve.tensors.json_reader import members
from textpipe.serve.tensors.json_values import INT_BOUNDS, RANGE_OF, bytes_array, format_shape, is_bytes, scalar
from textpipe.serve.tensors.json_writer import format_value, malformed

ROWS, COLUMNS = "instances", "inputs"
Tensors = dict[str, np.ndarray]


def predict(
    document: Mapping[str, Any],
    dtypes: Mapping[str, str],
    optional: Container[str] = (),
    limits: RequestLimits = RequestLimits(),
) -> tuple[Tensors, bool]:
    """The tensors of a request, and whether it is in rows. dtypes: {input: "float32", "string", ...}, sorted by name.

    optional: inputs with a default, which may be omitted from columns and are not allowed in rows, because they have no batch
    axis. Raises ServingError with TensorFlow Serving's message.
    """
    if ROWS in document and COLUMNS in document:
        raise malformed(
            document, "Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist "
        )
    required = {name: dtype for name, dtype in dtypes.items() if name not in optional}
    if ROWS in document:
        rows = document[ROWS]
        if not isinstance(rows, list):
            raise malformed(document, "Expecting 'instances' to be an list/array")
        if not rows:
            raise malformed(document, "No values in 'instances' array")
        limits.check_rows(ROWS, len(rows))
        return from_rows(rows, required), True
    if COLUMNS in document:
        value = document[COLUMNS]
        present = {
            name: dtype for name, dtype in dtypes.items() if name in required or (is_object(value) and name in value)
        }
        return from_columns(value, present, limits), False
    raise invalid_argument("Missing 'inputs' or 'instances' key")


def from_rows(rows: list, dtypes: Mapping[str, str]) -> Tensors:
    """[4, 5] or [{"x": 4}, {"x": 5}] -> {"x": [4, 5]}"""
    if not isinstance(rows[0], dict) and len(dtypes) != 1:
        raise invalid_argument(
            "instances is a plain list, but expecting list of objects as multiple input tensors required as per "
            "tensorinfo_map"
        )
    return stack_regular(rows, dtypes) or row_by_row(rows, dtypes)


def stack_regular(rows: list, dtypes: Mapping[str, str]) -> Tensors | None:
    """The tensors of well-formed rows, None for others."""
    if not isinstance(rows[0], dict):
        ((name, dtype),) = dtypes.items()
        array = regular_array(rows, dtype)
        return None if array is None else {name: array}
    if set(map(type, rows)) != {dict} or any(row.keys() != dtypes.keys() for row in rows):
        return None
    tensors = {}
    for name, dtype in dtypes.items():
        array = regular_array([row[name] for row in rows], dtype)
        if array is None:
            return None
        tensors[name] = array
    return tensors


def row_by_row(rows: list, dtypes: Mapping[str, str]) -> Tensors:
    """The tensors of other rows: malformed, or just with base64."""
    named = is_object(rows[0])
    columns = {name: Column(dtype) for name, dtype in dtypes.items()}
    first = next(iter(columns), "")
    for index, row in enumerate(rows):
        if is_object(row) != named:
            if named:
                raise invalid_argument(f"Expecting object but got list at item {index} of input list")
            raise invalid_argument(f"Expecting value/list but got object at item {index} of input list")
        if not named:
            add_value(columns[first], row, f"Failed to process element: {index} of 'instances' list.")
            continue
        names = set()
        for name, value in members(row):
            name = name.partition("\0")[0]  # TensorFlow Serving ends names there
            prefix = f"Failed to process element: {index} key: {name} of 'instances' list."
            if name not in columns:
                raise invalid_argument(
                    f"{prefix} Error: INVALID_ARGUMENT: JSON object: does not have named input: {name}"
                )
            add_value(columns[name], value, prefix, keep=name not in names)
            names.add(name)
        if names != columns.keys():
            raise invalid_argument(
                f"Failed to process element: {index} of 'instances' list. JSON object: {format_value(row)} "
                "keys must be equal to: " + ",".join(dtypes)
            )
    return {name: column.tensor(name) for name, column in columns.items() if column.shape is not None}


def add_value(column: "Column", value: Any, prefix: str, *, keep: bool = True) -> None:
    try:
        column.add(value, keep=keep)
    except ServingError as error:
        raise invalid_argument(f"{prefix} Error: {error.code}: {error}") from None


def from_columns(value: Any, dtypes: Mapping[str, str], limits: RequestLimits) -> Tensors:
    """{"x": [4, 5]}, or [4, 5] where there is one input -> {"x": [4, 5]}"""
    if not is_object(value):
        if len(dtypes) != 1:
            raise invalid_argument(
                "inputs is a plain value/list, but expecting an object as multiple input tensors required as per "
                "tensorinfo_map"
            )
        value = dict.fromkeys(dtypes, value)
    tensors = {}
    for name, dtype in dtypes.items():
        if name not in value:
            raise invalid_argument(f"Missing named input: {name} in 'inputs' object.")
        if isinstance(value[name], list):
            limits.check_rows(name, len(value[name]))
        tensors[name] = full_tensor(name, value[name], dtype)
    return tensors


def full_tensor(name: str, value: Any, dtype: str) -> np.ndarray:
    """A tensor given as one nested list or scalar."""
    if isinstance(value, list) and (array := regular_array(value, dtype)) is not None:
        return array
    shape = shape_of(value)
    return shaped_tensor(name, flatten(value, shape, dtype), shape, dtype)


class Column:
    """Values of one input, row by row; the first row determines the shape of all."""

    def __init__(self, dtype: str):
        self.dtype = dtype
        self.shape: tuple[int, ...] | None = None
        self.rows = 0
        self.values: list[Any] = []

    def add(self, row: Any, *, keep: bool = True) -> None:
        """keep: False to only check the row."""
        shape = shape_of(row)
        values = flatten(row, shape, self.dtype)
        if self.shape is None:
            self.shape = shape
        elif math.prod(shape) != math.prod(self.shape):
            raise invalid_argument(f"Expecting tensor size: {math.prod(self.shape)} but got: {math.prod(shape)}")
        elif shape != self.shape:
            raise invalid_argument(f"Expecting shape {format_shape(self.shape)} but got: {format_shape(shape)}")
        if keep:
            self.values += values
            self.rows += 1

    def tensor(self, name: str) -> np.ndarray:
        assert self.shape is not None
        return shaped_tensor(name, self.values, (self.rows, *self.shape), self.dtype)


def regular_array(values: list, dtype: str) -> np.ndarray | None:
    """A regularly nested list as a tensor if its values need no individual checks, else None."""
    shape = [len(values)]
    types = set(map(type, values))
    while types == {list}:
        sizes = set(map(len, values))
        if len(sizes) != 1 or len(shape) == MAX_RANK:
            return None
        shape.append(sizes.pop())
        values = list(chain.from_iterable(values))
        types = set(map(type, values))
    if not values:
        return None
    if dtype == "string":
        return bytes_array([text.encode() for text in values]).reshape(shape) if types == {str} else None
    if dtype in ("float32", "float64"):
        simple = types == {float} or (types <= {float, int} and largest_integer(values) < 2**63)
    elif dtype in RANGE_OF:
        low, high = INT_BOUNDS[RANGE_OF[dtype]]
        simple = types == {int} and low <= min(values) and max(values) <= high
    else:
        simple = dtype == "bool" and types == {bool}
    return array_of(values, dtype).reshape(shape) if simple else None


def largest_integer(numbers: list[Any]) -> int:
    """The largest magnitude among the integers."""
    integers = [number for number in numbers if type(number) is int]
    return max(max(integers), -min(integers))


def shaped_tensor(name: str, values: list[Any], shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Checked values as a tensor."""
    if len(shape) > MAX_RANK:
        raise invalid_argument(f"tensor parsing error: {name}")
    return array_of(values, dtype).reshape(shape)


def array_of(values: list[Any], dtype: str) -> np.ndarray:
    """Checked values as an array [n]."""
    if dtype == "string":
        return bytes_array(values)
    if dtype == "float32":
        with np.errstate(over="ignore"):  # too large for float32 becomes infinite
            return np.asarray(values, np.float64).astype(np.float32)
    if dtype in RANGE_OF:
        # 8 and 16 bit integers keep the lowest bits, like a cast in C.
        wide = np.uint64 if dtype == "uint64" else np.int64
        return np.asarray(values, wide).astype(dtype)
    return np.asarray(values, dtype)


def is_object(value: Any) -> bool:
    """Whether a value is an object; {"b64": "..."} is bytes."""
    return isinstance(value, dict) and not is_bytes(value)


def shape_of(value: Any) -> tuple[int, ...]:
    """[[1, 2], ...] -> (n, 2), from the first values; `flatten` checks the others."""
    shape = []
    while isinstance(value, list):
        shape.append(len(value))
        if not value:
            break
        value = value[0]
    return tuple(shape)


def flatten(value: Any, shape: tuple[int, ...], dtype: str) -> list[Any]:
    """The values of a nested list in order, checked; raises ServingError when its nesting differs from shape."""
    if not isinstance(value, list):
        return [scalar(value, dtype)]
    out: list[Any] = []
    stack: list[Any] = [iter((value,))]
    while stack:
        level = len(stack) - 1
        for item in stack[-1]:
            if not isinstance(item, list):
                if level != len(shape):
                    raise invalid_argument(
                        f"JSON Value: {format_value(item)} found at incorrect level: {level + 1} in the JSON DOM. "
                        f"Expected at level: {len(shape)}"
                    )
                out.append(scalar(item, dtype))
                continue
            if level >= len(shape):
                raise invalid_argument(f"Encountered list at unexpected level: {level} expected < {len(shape)}")
            if len(item) != shape[level]:
                raise invalid_argument(
                    f"Encountered list at unexpected size: {len(item)} at level: {level} expected size: {shape[level]}"
                )
            stack.append(iter(item))
            break
        else:
            stack.pop()
    return out
