"""A JSON value as one of a tensor's, and as a message shows it."""

import base64
import binascii
import itertools
import json
import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from textpipe.serve.faults import Fault, invalid

B64 = "b64"
SHOWN = 128  # characters of a value in a message
# How TensorFlow writes types, and the integers it takes from JSON: 8 and 16 bits wrap around, others are bounded.
NAMES = {"float32": "float", "float64": "double", "float16": "half"}
LIMITS = {
    "int8": "int32",
    "int16": "int32",
    "uint8": "int32",
    "int32": "int32",
    "int64": "int64",
    "uint32": "uint32",
    "uint64": "uint64",
}
BOUNDS = {name: (int(np.iinfo(name).min), int(np.iinfo(name).max)) for name in ("int32", "int64", "uint32", "uint64")}


def strings(values: Iterable[bytes]) -> np.ndarray:
    """[n] bytes as an array of objects, which NumPy would else cut or nest."""
    found = list(values)
    array = np.empty(len(found), object)
    array[:] = found
    return array


def is_bytes(value: Any) -> bool:
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get(B64), str)


def scalar(value: Any, dtype: str) -> Any:
    """A JSON value as one of a tensor's; raises Fault where TensorFlow Serving would."""
    kind = type(value)
    if dtype == "string":
        if kind is str:
            return value.encode()
        if kind is dict:
            return from_base64(value)
    elif dtype in ("float32", "float64"):
        if kind in (int, float):
            return as_double(value)
    elif dtype in LIMITS:
        low, high = BOUNDS[LIMITS[dtype]]
        if kind is int and low <= value <= high:
            return value
    elif dtype == "bool":
        if kind is bool:
            return value
    else:
        raise Fault(
            "UNIMPLEMENTED",
            f"Conversion of JSON Value: {shown(value)} to type: {NAMES.get(dtype, dtype)} is not supported",
        )
    raise invalid(
        f"JSON Value: {shown(value)} Type: {type_of(value)} is not of expected type: {NAMES.get(dtype, dtype)}"
    )


def as_double(value: int | float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.copysign(math.inf, value)


def from_base64(value: dict[str, Any]) -> bytes:
    """{"b64": "aGk="} -> b"hi"."""
    if not is_bytes(value):
        raise invalid(f"JSON Value: {shown(value)} not formatted correctly for base64 data")
    try:
        return decoded(value[B64])
    except (ValueError, binascii.Error):
        raise invalid(f"JSON Value: {shown(value)} Unable to base64 decode") from None


def decoded(text: str) -> bytes:
    """Base64 with blanks anywhere, and "=", "." or nothing to fill its end, as Abseil's decoder takes it."""
    bare = "".join(text.split()).rstrip("=.")
    return base64.b64decode(bare.encode("ascii") + b"=" * (-len(bare) % 4), validate=True)


def type_of(value: Any) -> str:
    """RapidJSON's name for what a value is."""
    if value is None or isinstance(value, bool):
        return {None: "Null", True: "True", False: "False"}[value]
    return {dict: "Object", list: "Array", str: "String"}.get(type(value), "Number")


def shown(value: Any) -> str:
    """A value as JSON, cut where it is long: {"a": ... becomes {"a":... by RapidJSON's habit of no blanks."""
    pieces, length = [], 0
    for piece in tokens(value):
        pieces.append(piece)
        length += len(piece)
        if length > SHOWN:
            break
    text = "".join(pieces)
    return text if len(text) <= SHOWN else text[:SHOWN] + "..."


def tokens(value: Any) -> Iterator[str]:
    """JSON piece by piece, so that neither a deep value nor a long one is written out for a message."""
    stack: list[Any] = [value]
    while stack:
        found = stack.pop()
        if isinstance(found, Piece):
            yield found
        elif isinstance(found, dict):
            stack.append(Piece("}"))
            some = list(itertools.islice(found.items(), SHOWN))
            for at, (name, inner) in reversed(list(enumerate(some))):
                stack += [inner, Piece(("," if at else "") + json.dumps(name, ensure_ascii=False) + ":")]
            stack.append(Piece("{"))
        elif isinstance(found, list):
            stack.append(Piece("]"))
            for at, inner in reversed(list(enumerate(found[:SHOWN]))):
                stack.append(inner)
                if at:
                    stack.append(Piece(","))
            stack.append(Piece("["))
        else:
            yield json.dumps(found[: 2 * SHOWN] if isinstance(found, str) else found, ensure_ascii=False)


class Piece(str):
    """JSON that is written already."""


def written(shape: tuple[int, ...]) -> str:
    """(1, 2) -> "[1,2]"."""
    return f"[{','.join(map(str, shape))}]"
