"""Tensors of the Open Inference Protocol to NumPy and back: JSON values, repeated fields of gRPC, and binary data.

Binary data is row-major and little-endian, as are the machines that TensorFlow runs on; a text is preceded by its length as an unsigned 32-bit integer. A tensor is refused
by its name, datatype and shape, and by the request limits, before memory is allocated for it.
"""

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from textpipe.runtime.dtypes import numpy_type
from textpipe.serve.engine.errors import ServingError, invalid_argument
from textpipe.serve.engine.model_version import Signature
from textpipe.serve.engine.request_limits import MAX_RANK, RequestLimits
from textpipe.serve.oip.datatypes import DATATYPES, datatype_of
from textpipe.serve.tensors import to_json
from textpipe.serve.tensors.json_values import bytes_array
from textpipe.serve.tensors.json_writer import format_value
from textpipe.serve.tensors.tensor_protos import check_num_texts

LENGTH = struct.Struct("<I")  # of a text in binary data
MAX_SIZE = 2**63 - 1  # of an axis, and of a tensor in values
MAX_TENSORS = 1024  # inputs, and outputs, of a request
# By the kind of a NumPy type: the types that JSON has for it, their description, and the type that holds values of all its sizes.
ACCEPTED_TYPES: dict[str, tuple[set[type], str]] = {
    "b": ({bool}, "true or false"),
    "i": ({int}, "integers"),
    "u": ({int}, "integers"),
    "f": ({int, float}, "numbers"),
    "V": ({int, float}, "numbers"),  # bfloat16
    "O": ({str}, "texts"),
}
WIDEST = {"b": np.bool_, "i": np.int64, "u": np.uint64, "f": np.float64, "V": np.float64}
# JSON is written from the type that holds all values of one that the writer lacks.
WRITTEN_AS = {"float16": "float32", "bfloat16": "float32", "uint16": "uint32"}


@dataclass(frozen=True)
class InputTensor:
    """An input as it was sent. content: a list of JSON, flat or nested; a repeated field of a message; or binary data."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    content: Sequence[Any] | bytes


def read_inputs(
    inputs: Sequence[InputTensor],
    signature: Signature,
    shapes: Mapping[str, Sequence[int] | None],
    limits: RequestLimits,
) -> dict[str, np.ndarray]:
    """The tensors of a request by name, in the shapes of the signature.

    shapes: of the signature's inputs, -1 for any size, None when unknown. Raises ServingError for inputs that do not fit
    the signature, that contradict themselves, or that exceed the limits.
    """
    for tensor in inputs:
        if tensor.name not in signature.inputs:
            known = ", ".join(signature.inputs)
            raise invalid_argument(f"input {format_value(tensor.name)}: the model has no such input; it takes {known}")
    tensors: dict[str, np.ndarray] = {}
    total = 0
    for tensor in inputs:
        if tensor.name in tensors:
            raise invalid_argument(f'input "{tensor.name}" is given twice')
        dtype = signature.inputs[tensor.name]
        check_datatype(tensor, dtype)
        shape = fit_shape(tensor, shapes.get(tensor.name))
        if dtype == "string":
            check_num_texts(tensor.name, shape, limits)
        else:
            limits.check_shape(tensor.name, shape, numpy_type(dtype).itemsize)
        tensors[tensor.name] = array = read_values(tensor, dtype, limits).reshape(shape)
        total += array.nbytes
        limits.check_bytes(tensor.name, total)
    return tensors


def check_count(what: str, count: int) -> None:
    """Raises ServingError for more tensors than any signature has."""
    if count > MAX_TENSORS:
        raise invalid_argument(f"{what}: {count} tensors where this server takes {MAX_TENSORS}")


def check_datatype(tensor: InputTensor, dtype: str) -> None:
    if dtype not in DATATYPES:
        raise ServingError("UNIMPLEMENTED", f'input "{tensor.name}": the protocol has no datatype for {dtype}')
    if tensor.datatype != DATATYPES[dtype]:
        raise invalid_argument(
            f'input "{tensor.name}": datatype {tensor.datatype[:40]} where the model takes {DATATYPES[dtype]}'
        )


def fit_shape(tensor: InputTensor, expected: Sequence[int] | None) -> tuple[int, ...]:
    """The tensor's shape as the model takes it: a last axis of size 1 may be missing, or be there in addition.

    [2, 1] where the model takes [-1] -> [2], and [2] where it takes [-1, 1] -> [2, 1]
    """
    shape = tensor.shape
    if len(shape) > MAX_RANK:
        raise invalid_argument(f'input "{tensor.name}": {len(shape)} axes where this server takes {MAX_RANK}')
    if any(size < 0 or size > MAX_SIZE for size in shape) or math.prod(shape) > MAX_SIZE:
        raise invalid_argument(f'input "{tensor.name}": expected sizes from 0 in its shape, found {list(shape)}')
    if expected is None:
        return shape
    candidates = [shape, (*shape, 1)]
    if shape and shape[-1] == 1:
        candidates.append(shape[:-1])
    for candidate in candidates:
        if len(candidate) == len(expected) and all(
            expected_size in (-1, size) for size, expected_size in zip(candidate, expected, strict=True)
        ):
            return candidate
    raise invalid_argument(f'input "{tensor.name}": shape {list(shape)} where the model takes {list(expected)}')


def read_values(tensor: InputTensor, dtype: str, limits: RequestLimits) -> np.ndarray:
    """The values of a tensor [n], whose shape has been checked."""
    if isinstance(tensor.content, bytes):
        return from_binary(tensor, tensor.content, dtype, limits)
    if isinstance(tensor.content, list):
        return from_list(tensor, flatten(tensor, tensor.content), dtype)
    return from_field(tensor, tensor.content, dtype)


def from_binary(tensor: InputTensor, data: bytes, dtype: str, limits: RequestLimits) -> np.ndarray:
    count, array_type = math.prod(tensor.shape), numpy_type(dtype)
    if dtype == "string":
        return bytes_array(split_texts(tensor, data, count, limits))
    if len(data) != count * array_type.itemsize:
        raise invalid_argument(
            f'input "{tensor.name}": {len(data)} bytes of data where shape {list(tensor.shape)} of {tensor.datatype} has '
            f"{count * array_type.itemsize}"
        )
    if array_type.kind == "b" and data.strip(b"\0\1"):
        # A boolean of another value would be undefined behaviour in TensorFlow.
        raise invalid_argument(f'input "{tensor.name}": expected bytes 0 and 1 for BOOL')
    return np.frombuffer(data, array_type)


def split_texts(tensor: InputTensor, data: bytes, count: int, limits: RequestLimits) -> list[bytes]:
    """The texts of binary data."""
    pos = 0
    texts: list[bytes] = []
    while pos + LENGTH.size <= len(data) and len(texts) < count:
        (size,) = LENGTH.unpack_from(data, pos)
        limits.check_text(tensor.name, size)
        start = pos + LENGTH.size
        pos = start + size
        texts.append(data[start:pos])
    if pos != len(data) or len(texts) != count:
        raise invalid_argument(
            f'input "{tensor.name}": {len(data)} bytes of data are not {count} texts, each after its length in 4 bytes'
        )
    return texts


def flatten(tensor: InputTensor, values: list[Any]) -> list[Any]:
    """The values of a list that is flat, or nested as the shape says; raises ServingError for others."""
    if list in set(map(type, values)):
        values = [values]
        for size in tensor.shape:
            if set(map(type, values)) - {list} or set(map(len, values)) - {size}:
                raise invalid_argument(
                    f'input "{tensor.name}": its data is nested differently from its shape {list(tensor.shape)}'
                )
            values = list(chain.from_iterable(values))
    check_num_values(tensor, len(values))
    return values


def from_list(tensor: InputTensor, values: list[Any], dtype: str) -> np.ndarray:
    """Values of JSON as an array [n]; raises ServingError for those that the datatype does not take."""
    array_type = numpy_type(dtype)
    types, description = ACCEPTED_TYPES[array_type.kind]
    if set(map(type, values)) - types:
        other = next(value for value in values if type(value) not in types)
        raise invalid_argument(
            f'input "{tensor.name}": expected {description} for {tensor.datatype}, found {format_value(other)}'
        )
    if dtype == "string":
        return bytes_array(text.encode() for text in values)
    if values and array_type.kind in "iu":
        check_range(tensor, min(values), max(values), array_type)
    with np.errstate(over="ignore"):  # too large for the type becomes infinite, as in TensorFlow Serving's API
        return np.array(values, WIDEST[array_type.kind]).astype(array_type, copy=False)


def from_field(tensor: InputTensor, values: Sequence[Any], dtype: str) -> np.ndarray:
    """Values of a repeated field, whose Python type protobuf has checked, as an array [n]; raises ServingError for integers of
    more bits than the datatype has."""
    check_num_values(tensor, len(values))
    if dtype == "string":
        return bytes_array(values)
    array_type = numpy_type(dtype)
    array: np.ndarray = np.asarray(values, WIDEST[array_type.kind])
    if array.size and array_type.kind in "iu":
        check_range(tensor, int(array.min()), int(array.max()), array_type)
    return array.astype(array_type, copy=False)


def check_num_values(tensor: InputTensor, count: int) -> None:
    if count != math.prod(tensor.shape):
        raise invalid_argument(
            f'input "{tensor.name}": {count} values where its shape {list(tensor.shape)} has {math.prod(tensor.shape)}'
        )


def check_range(tensor: InputTensor, smallest: int, largest: int, array_type: np.dtype) -> None:
    """Raises ServingError for integers beyond those of a type."""
    low, high = int(np.iinfo(array_type).min), int(np.iinfo(array_type).max)
    if not low <= smallest <= largest <= high:
        other = smallest if smallest < low else largest
        raise invalid_argument(
            f'input "{tensor.name}": {tensor.datatype} has values from {low} to {high}, found {format_value(other)}'
        )


def to_binary(array: np.ndarray) -> bytes:
    """An output as binary data."""
    if array.dtype != object:
        return array.tobytes()
    return b"".join(chain.from_iterable((LENGTH.pack(len(text)), text) for text in array.reshape(-1).tolist()))


def to_json_values(array: np.ndarray) -> str:
    """An output as a flat JSON list; bytes that are not UTF-8 become U+FFFD."""
    dtype = to_json.dtype_of(array)
    flat = array.reshape(-1).astype(WRITTEN_AS.get(dtype, array.dtype), copy=False)
    return f"[{','.join(to_json.format_values(flat, ''))}]"


def output_datatype(name: str, array: np.ndarray) -> str:
    """The datatype of an output; raises ServingError for a type that the protocol lacks."""
    dtype = to_json.dtype_of(array)
    if dtype not in DATATYPES:
        raise ServingError("UNIMPLEMENTED", f'output "{name}": the protocol has no datatype for {dtype}')
    return datatype_of(dtype)
