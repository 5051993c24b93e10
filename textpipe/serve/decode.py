"""A predict request's JSON as tensors, by TensorFlow Serving's rules (its json_tensor).

A tensor is NumPy: numbers by their type, strings as bytes in arrays of objects. Rows ("instances") are stacked; columns
("inputs") are taken as they are. Messages are TensorFlow Serving's own, for clients that read them.
"""

import math
from collections.abc import Container, Mapping
from typing import Any

import numpy as np

from textpipe.serve.faults import Fault, invalid
from textpipe.serve.values import LIMITS, is_bytes, scalar, shown, strings, written

ROWS, COLUMNS = "instances", "inputs"
MOST_AXES = 254  # of a TensorFlow tensor
Tensors = dict[str, np.ndarray]


def predict(
    document: Mapping[str, Any], dtypes: Mapping[str, str], optional: Container[str] = ()
) -> tuple[Tensors, bool]:
    """The tensors of a request and whether it is in rows; dtypes: {input: "float32", "string", ...}, in name order.

    optional: inputs with a default, which may be left out of columns and have no place in rows, for they are no rows'.
    Raises Fault with TensorFlow Serving's message where the document does not fit.
    """
    if ROWS in document and COLUMNS in document:
        raise invalid("Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist ")
    needed = {name: dtype for name, dtype in dtypes.items() if name not in optional}
    if ROWS in document:
        return from_rows(document[ROWS], needed), True
    if COLUMNS in document:
        value = document[COLUMNS]
        given = {
            name: dtype for name, dtype in dtypes.items() if name in needed or (is_object(value) and name in value)
        }
        return from_columns(value, given), False
    raise invalid("Missing 'inputs' or 'instances' key")


def from_rows(rows: Any, dtypes: Mapping[str, str]) -> Tensors:
    """[4, 5] or [{"x": 4}, {"x": 5}] -> {"x": [4, 5]}"""
    if not isinstance(rows, list):
        raise invalid("Expecting 'instances' value to be an list/array")
    if not rows:
        raise invalid("No values in 'instances' array; expecting 1 or more values")
    named = is_object(rows[0])
    if not named and len(dtypes) != 1:
        raise invalid(
            "instances is a plain list, but expecting list of objects as multiple input tensors required as per "
            "tensorinfo_map"
        )
    columns = {name: Column(dtype) for name, dtype in dtypes.items()}
    if not named:
        (column,) = columns.values()
        if column.fill(rows):
            return {name: column.tensor() for name, column in columns.items()}
    for at, row in enumerate(rows):
        if is_object(row) != named:
            found = "object" if named else "value/list"
            other = "list" if named else "object"
            raise invalid(f"Expecting {found} but got {other} at item {at} of input list")
        if not named:
            add(column, row, f"Failed to process element: {at} of 'instances' list.")
            continue
        for name, value in row.items():
            place = f"Failed to process element: {at} key: {name} of 'instances' list."
            if name not in columns:
                raise invalid(f"{place} Error: INVALID_ARGUMENT: JSON object: does not have named input: {name}")
            add(columns[name], value, place)
        if len(row) != len(columns):
            raise invalid(
                f"Failed to process element: {at} of 'instances' list. JSON object: {shown(row)} "
                "keys must be equal to: " + ",".join(dtypes)
            )
    return {name: column.tensor() for name, column in columns.items()}


def add(column: "Column", value: Any, place: str) -> None:
    try:
        column.add(value)
    except Fault as fault:
        raise invalid(f"{place} Error: {fault.code}: {fault}") from None


def from_columns(value: Any, dtypes: Mapping[str, str]) -> Tensors:
    """{"x": [4, 5]}, or [4, 5] where there is one input -> {"x": [4, 5]}"""
    if not is_object(value):
        if len(dtypes) != 1:
            raise invalid(
                "inputs is a plain value/list, but expecting an object as multiple input tensors required as per "
                "tensorinfo_map"
            )
        value = dict.fromkeys(dtypes, value)
    for name in dtypes:
        if name not in value:
            raise invalid(f"Missing named input: {name} in 'inputs' object.")
    return {name: one(name, value[name], dtype) for name, dtype in dtypes.items()}


def one(name: str, value: Any, dtype: str) -> np.ndarray:
    """A tensor written out whole."""
    shape = shape_of(value)
    if len(shape) > MOST_AXES:
        raise invalid(f"tensor parsing error: {name}")
    column = Column(dtype)
    if len(shape) == 1 and column.fill(value):
        return column.tensor()
    return tensor(flat(value, shape, dtype), shape, dtype)


class Column:
    """Values of one input, row by row; the first row says what shape all have."""

    def __init__(self, dtype: str):
        self.dtype = dtype
        self.shape: tuple[int, ...] | None = None
        self.rows = 0
        self.values: list[Any] = []

    def fill(self, rows: list[Any]) -> bool:
        """Takes all rows at once when they are scalars that need no looking at one by one."""
        kinds = set(map(type, rows))
        if self.dtype == "string" and kinds == {str}:
            values = [text.encode() for text in rows]
        elif self.dtype in ("float32", "float64") and kinds <= {float, int} and largest(rows) < 2**63:
            values = rows
        else:
            return False
        self.shape, self.rows, self.values = (), len(rows), values
        return True

    def add(self, row: Any) -> None:
        shape = shape_of(row)
        if self.shape is None:
            self.shape = shape
        elif math.prod(shape) != math.prod(self.shape):
            raise invalid(f"Expecting tensor size: {math.prod(self.shape)} but got: {math.prod(shape)}")
        elif shape != self.shape:
            raise invalid(f"Expecting shape {written(self.shape)} but got: {written(shape)}")
        self.values += flat(row, shape, self.dtype)
        self.rows += 1

    def tensor(self) -> np.ndarray:
        assert self.shape is not None
        return tensor(self.values, (self.rows, *self.shape), self.dtype)


def largest(numbers: list[Any]) -> float:
    return max((abs(number) for number in numbers if type(number) is int), default=0)


def tensor(values: list[Any], shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Checked values as an array."""
    if dtype == "string":
        array = strings(values)
    elif dtype == "float32":
        with np.errstate(over="ignore"):  # what is too large for a float is infinite
            array = np.asarray(values, np.float64).astype(np.float32)
    elif dtype in LIMITS:
        # 8 and 16 bits keep the lowest bits, as a cast in C does.
        wide = np.uint64 if dtype == "uint64" else np.int64
        array = np.asarray(values, wide).astype(dtype)
    else:
        array = np.asarray(values, dtype)
    return array.reshape(shape)


def is_object(value: Any) -> bool:
    """Whether a value has named parts; {"b64": "..."} stands for bytes."""
    return isinstance(value, dict) and not is_bytes(value)


def shape_of(value: Any) -> tuple[int, ...]:
    """[[1, 2], ...] -> (n, 2): what the first values say; others are held to it by `flat`."""
    shape = []
    while isinstance(value, list):
        shape.append(len(value))
        if not value:
            break
        value = value[0]
    return tuple(shape)


def flat(value: Any, shape: tuple[int, ...], dtype: str) -> list[Any]:
    """The values of a nested list in order, checked; raises Fault where the nesting is not that of shape."""
    out: list[Any] = []
    stack: list[Any] = [iter((value,))]
    while stack:
        level = len(stack) - 1
        for found in stack[-1]:
            if not isinstance(found, list):
                if level != len(shape):
                    raise invalid(
                        f"JSON Value: {shown(found)} found at incorrect level: {level + 1} in the JSON DOM. "
                        f"Expected at level: {len(shape)}"
                    )
                out.append(scalar(found, dtype))
                continue
            if level >= len(shape):
                raise invalid(f"Encountered list at unexpected level: {level} expected < {len(shape)}")
            if len(found) != shape[level]:
                raise invalid(
                    f"Encountered list at unexpected size: {len(found)} at level: {level} expected size: {shape[level]}"
                )
            stack.append(iter(found))
            break
        else:
            stack.pop()
    return out
