"""Protocol buffers of TensorFlow Serving's gRPC as arrays, and back.

A message of a few bytes can describe a tensor of any size: what it says is checked, and held against the limits of a
request, before anything of it is made. What is sound, and which values there are, is as in TensorFlow's
Tensor::FromProto.
"""

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from textpipe.serve.engine.errors import ServingError, invalid_argument
from textpipe.serve.engine.model_version import Signature
from textpipe.serve.engine.request_limits import MAX_RANK, RequestLimits
from textpipe.serve.tensors.examples import serialize
from textpipe.serve.tensors.json_values import TYPE_NAMES, bytes_array

MAX_VALUES = 2**63 - 1  # of a tensor
# By TensorFlow's enumeration: where values that are not packed stand, and how many of them make one.
FIELDS = {
    1: ("float32", "float_val", 1),
    2: ("float64", "double_val", 1),
    3: ("int32", "int_val", 1),
    4: ("uint8", "int_val", 1),
    5: ("int16", "int_val", 1),
    6: ("int8", "int_val", 1),
    7: ("string", "string_val", 1),
    8: ("complex64", "scomplex_val", 2),
    9: ("int64", "int64_val", 1),
    10: ("bool", "bool_val", 1),
    14: ("bfloat16", "half_val", 1),
    17: ("uint16", "int_val", 1),
    18: ("complex128", "dcomplex_val", 2),
    19: ("float16", "half_val", 1),
    22: ("uint32", "uint32_val", 1),
    23: ("uint64", "uint64_val", 1),
}
# Each text is a Python object, made while nobody else is served: where rows are many, they may have so many on average.
MAX_TEXTS, TEXTS_PER_ROW = 1 << 16, 64
STRING, POINTER = 7, 8  # bytes of each text beside its own
# Types that TensorFlow reads but no signature here takes: resources, variants, quantized numbers.
UNSUPPORTED_TYPES = {11, 12, 13, 15, 16, 20, 21, *range(24, 34)}


def check_inputs(inputs: Mapping[str, Any], signature: Signature, definition: Any, limits: RequestLimits) -> None:
    """Raises Fault for inputs that lack or that there are not, for TensorProtos that contradict themselves, and for texts
    beyond the limits.

    definition: the signature's SignatureDef.
    """
    given, known, defaults = sorted(inputs), list(signature.inputs), sorted(signature.defaults)
    if len(given) > len(known) or (len(given) < len(known) and not defaults):
        raise invalid_argument(
            f"input size does not match signature: {len(given)}!={len(known)} "
            f"len({{{','.join(given)}}}) != len({{{','.join(known)}}}). "
            f"Sent extra: {{{','.join(sorted(set(given) - set(known)))}}}. "
            f"Missing but required: {{{','.join(sorted(set(known) - set(given)))}}}."
        )
    for name in known:
        if name in inputs:
            if not is_consistent(inputs[name], name, limits):
                raise invalid_argument(f"tensor parsing error: {name}")
        elif name not in defaults:
            raise invalid_argument(
                f"Signature input alias: {name}(feed name: {definition.inputs[name].name}) not found in request and no "
                f"default value provided. Inputs expected to be in the request {{{','.join(given)}}}, or default input "
                f"alias set: {','.join(defaults)}"
            )
    used = [name for name in given if name in known]
    if used != given:
        raise invalid_argument(
            f"Inputs contains invalid name. Used request inputs: {','.join(used)}, request input: {','.join(given)}"
        )


def is_consistent(proto: Any, name: str, limits: RequestLimits) -> bool:
    """Whether type, shape and packed content belong together; values that are not packed may be too many or too few.

    Raises Fault for more packed texts than a request may have: to find out whether they are sound takes time for each.
    """
    if len(proto.tensor_shape.dim) > MAX_RANK:
        return False
    count = 1
    sizes = shape_of(proto)
    for size in sizes:
        count *= size
        if size < 0 or count > MAX_VALUES:
            return False
    if proto.dtype not in FIELDS:
        return proto.dtype in UNSUPPORTED_TYPES
    if not count or not proto.tensor_content:
        return True
    if proto.dtype == STRING:
        check_num_texts(name, sizes, limits)
        return string_sizes(proto.tensor_content, count) is not None
    return len(proto.tensor_content) == count * array_type(proto.dtype).itemsize


def check_num_texts(name: str, sizes: Sequence[int], limits: RequestLimits) -> None:
    """Raises Fault for a tensor of more texts than a request may have, from its shape alone."""
    limits.shape(name, sizes, POINTER)
    count, most = math.prod(sizes), max(MAX_TEXTS, TEXTS_PER_ROW * limits.max_rows)
    if count > most:
        raise invalid_argument(f"{name}: {count} texts where this server takes {most} in a tensor")


def shape_of(proto: Any) -> list[int]:
    return [axis.size for axis in proto.tensor_shape.dim]


@functools.cache
def array_type(kind: int) -> np.dtype:
    name = FIELDS[kind][0]
    if name == "bfloat16":
        import ml_dtypes

        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype(object if name == "string" else name)


def string_sizes(packed: bytes, count: int) -> list[int] | None:
    """The sizes of packed strings, variable-length integers before the strings themselves; None when there are not so
    many, or when they do not add up.
    """
    found: list[int] = []
    at = 0
    if count > len(packed):
        return None
    while len(found) < count:
        size = shift = 0
        while True:
            if at == len(packed) or shift > 28:
                return None
            byte = packed[at]
            at += 1
            size |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        found.append(size & 0xFFFFFFFF)
    return found if at + sum(found) == len(packed) else None


def to_arrays(inputs: Mapping[str, Any], signature: Signature, limits: RequestLimits) -> dict[str, np.ndarray]:
    """TensorProtos that were checked, by name; raises Fault for another type than the signature's and beyond limits."""
    found, total = {}, 0
    for at, (name, dtype) in enumerate(signature.inputs.items()):
        if name not in inputs:
            continue
        proto = inputs[name]
        kind = FIELDS[proto.dtype][0] if proto.dtype in FIELDS else type_name(proto.dtype)
        if kind != dtype:
            raise invalid_argument(
                f"Expects arg[{at}] to be {TYPE_NAMES.get(dtype, dtype)} but {TYPE_NAMES.get(kind, kind)} is provided"
            )
        if proto.dtype not in FIELDS:
            raise ServingError("UNIMPLEMENTED", f"{name}: this server takes no tensors of type {kind}")
        if proto.dtype == STRING:
            check_num_texts(name, shape_of(proto), limits)
        else:
            limits.shape(name, shape_of(proto), array_type(proto.dtype).itemsize)
        found[name] = array = string_array(proto, name, limits) if proto.dtype == STRING else numeric_array(proto)
        total += array.nbytes
        limits.size(name, total)
    return found


def type_name(kind: int) -> str:
    """DT_RESOURCE -> "resource"."""
    from tensorflow.core.framework import types_pb2

    return types_pb2.DataType.Name(kind).removeprefix("DT_").lower()


def numeric_array(proto: Any) -> np.ndarray:
    """Packed values; or those of a field, of which the last counts for all that are not there."""
    _, field, parts = FIELDS[proto.dtype]
    dtype, sizes = array_type(proto.dtype), shape_of(proto)
    count = math.prod(sizes)
    if proto.tensor_content and count:
        return np.frombuffer(proto.tensor_content, dtype).reshape(sizes)
    given = getattr(proto, field)[: count * parts]
    if parts == 2:
        values = np.asarray(given[: len(given) // 2 * 2], f"float{dtype.itemsize * 4}").view(dtype)
    elif field == "half_val":
        values = np.asarray(given, np.int64).astype(np.uint16).view(dtype)
    elif field == "int_val":
        values = np.asarray(given, np.int64).astype(dtype)
    else:
        values = np.asarray(given, dtype)
    if len(values) == count:
        return values.reshape(sizes)
    array = np.full(count, values[-1] if len(values) else 0, dtype)
    array[: len(values)] = values
    return array.reshape(sizes)


def string_array(proto: Any, name: str, limits: RequestLimits) -> np.ndarray:
    """The texts of a tensor, packed or not."""
    sizes = shape_of(proto)
    count = math.prod(sizes)
    values: list[bytes]
    if proto.tensor_content and count:
        values, packed = [], proto.tensor_content
        found = string_sizes(packed, count) or []
        at = len(packed) - sum(found)
        for size in found:
            values.append(packed[at : at + size])
            at += size
    else:
        values = list(proto.string_val[:count])
    last = values[-1] if values else b""
    limits.text(name, max(map(len, values), default=0))
    limits.size(name, POINTER * count + sum(map(len, values)) + (count - len(values)) * len(last))
    return bytes_array(values + [last] * (count - len(values))).reshape(sizes)


def to_proto(array: np.ndarray) -> Any:
    """An array as TensorProto."""
    import tensorflow as tf

    return tf.make_tensor_proto(array, tf.string if array.dtype == object else None, array.shape)


def serialize_input(given: Any, limits: RequestLimits) -> np.ndarray:
    """An Input message's examples, serialized [B]; those of a list with context have its features too."""
    from tensorflow.core.example import example_pb2

    kind = given.WhichOneof("kind")
    context: Any = example_pb2.Example()
    found: Sequence[Any] = ()
    if kind == "example_list":
        found = given.example_list.examples
    elif kind == "example_list_with_context":
        context, found = given.example_list_with_context.context, given.example_list_with_context.examples
    if not found:
        raise invalid_argument("Input is empty.")
    return serialize(context, found, limits)
