"""Converts the TensorProtos of TensorFlow Serving's gRPC to arrays, and back.

A message of a few bytes can describe a tensor of any size, so it is checked for consistency and against the request limits
before memory is allocated. Both the checks and the values follow TensorFlow's Tensor::FromProto.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from textpipe.runtime.dtypes import FIELDS, name_of, numeric_array, numpy_type, shape_of
from textpipe.serve.engine.errors import ServingError, invalid_argument
from textpipe.serve.engine.model_version import Signature
from textpipe.serve.engine.request_limits import MAX_RANK, RequestLimits
from textpipe.serve.tensors.examples import serialize
from textpipe.serve.tensors.json_values import TYPE_NAMES, bytes_array

MAX_VALUES = 2**63 - 1  # of a tensor
# Each text is a Python object, created while the event loop is blocked; requests with many rows may have TEXTS_PER_ROW each.
MAX_TEXTS, TEXTS_PER_ROW = 1 << 16, 64
STRING, POINTER = 7, 8  # enum value; bytes per text in addition to its own
# Types that TensorFlow reads but no signature here takes: resources, variants, quantized numbers.
UNSUPPORTED_TYPES = {11, 12, 13, 15, 16, 20, 21, *range(24, 34)}


def check_inputs(inputs: Mapping[str, Any], signature: Signature, definition: Any, limits: RequestLimits) -> None:
    """Raises ServingError for missing or unknown inputs, inconsistent TensorProtos, and texts beyond the limits.

    definition: the signature's SignatureDef.
    """
    sent, known, defaults = sorted(inputs), list(signature.inputs), sorted(signature.defaults)
    if len(sent) > len(known) or (len(sent) < len(known) and not defaults):
        raise invalid_argument(
            f"input size does not match signature: {len(sent)}!={len(known)} "
            f"len({{{','.join(sent)}}}) != len({{{','.join(known)}}}). "
            f"Sent extra: {{{','.join(sorted(set(sent) - set(known)))}}}. "
            f"Missing but required: {{{','.join(sorted(set(known) - set(sent)))}}}."
        )
    for name in known:
        if name in inputs:
            if not is_consistent(inputs[name], name, limits):
                raise invalid_argument(f"tensor parsing error: {name}")
        elif name not in defaults:
            raise invalid_argument(
                f"Signature input alias: {name}(feed name: {definition.inputs[name].name}) not found in request and no "
                f"default value provided. Inputs expected to be in the request {{{','.join(sent)}}}, or default input "
                f"alias set: {','.join(defaults)}"
            )
    used = [name for name in sent if name in known]
    if used != sent:
        raise invalid_argument(
            f"Inputs contains invalid name. Used request inputs: {','.join(used)}, request input: {','.join(sent)}"
        )


def is_consistent(proto: Any, name: str, limits: RequestLimits) -> bool:
    """Whether type, shape and packed content fit together; the number of unpacked values may differ.

    Raises ServingError for too many packed texts, because checking takes time for each.
    """
    if len(proto.tensor_shape.dim) > MAX_RANK:
        return False
    count = 1
    sizes = shape_of(proto)
    for size in sizes:
        count *= size
        if size < 0 or count > MAX_VALUES:
            return False
    if proto.dtype in UNSUPPORTED_TYPES:
        return True
    if name_of(proto.dtype) not in FIELDS:
        return False
    if not count or not proto.tensor_content:
        return True
    if proto.dtype == STRING:
        check_num_texts(name, sizes, limits)
        return string_sizes(proto.tensor_content, count) is not None
    return len(proto.tensor_content) == count * array_type(proto.dtype).itemsize


def check_num_texts(name: str, sizes: Sequence[int], limits: RequestLimits) -> None:
    """Raises ServingError for a tensor with too many texts, from its shape alone."""
    limits.check_shape(name, sizes, POINTER)
    count, limit = math.prod(sizes), max(MAX_TEXTS, TEXTS_PER_ROW * limits.max_rows)
    if count > limit:
        raise invalid_argument(f"{name}: {count} texts where this server takes {limit} in a tensor")


def array_type(kind: int) -> np.dtype:
    return numpy_type(name_of(kind))


def string_sizes(packed: bytes, count: int) -> list[int] | None:
    """The sizes of packed strings, varints that precede the strings; None when there are too few or they do not add up."""
    sizes: list[int] = []
    pos = 0
    if count > len(packed):
        return None
    while len(sizes) < count:
        size = shift = 0
        while True:
            if pos == len(packed) or shift > 28:
                return None
            byte = packed[pos]
            pos += 1
            size |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        sizes.append(size & 0xFFFFFFFF)
    return sizes if pos + sum(sizes) == len(packed) else None


def to_arrays(inputs: Mapping[str, Any], signature: Signature, limits: RequestLimits) -> dict[str, np.ndarray]:
    """Arrays of TensorProtos that passed check_inputs; raises ServingError for wrong types and beyond the limits."""
    result, total = {}, 0
    for index, (name, dtype) in enumerate(signature.inputs.items()):
        if name not in inputs:
            continue
        proto = inputs[name]
        kind = name_of(proto.dtype)
        if kind != dtype:
            raise invalid_argument(
                f"Expects arg[{index}] to be {TYPE_NAMES.get(dtype, dtype)} but {TYPE_NAMES.get(kind, kind)} is provided"
            )
        if kind not in FIELDS:
            raise ServingError("UNIMPLEMENTED", f"{name}: this server takes no tensors of type {kind}")
        if proto.dtype == STRING:
            check_num_texts(name, shape_of(proto), limits)
        else:
            limits.check_shape(name, shape_of(proto), array_type(proto.dtype).itemsize)
        result[name] = array = string_array(proto, name, limits) if proto.dtype == STRING else numeric_array(proto)
        total += array.nbytes
        limits.check_bytes(name, total)
    return result


def string_array(proto: Any, name: str, limits: RequestLimits) -> np.ndarray:
    """The texts of a string tensor, packed or not."""
    sizes = shape_of(proto)
    count = math.prod(sizes)
    values: list[bytes]
    if proto.tensor_content and count:
        values, packed = [], proto.tensor_content
        lengths = string_sizes(packed, count) or []
        pos = len(packed) - sum(lengths)
        for length in lengths:
            values.append(packed[pos : pos + length])
            pos += length
    else:
        values = list(proto.string_val[:count])
    last = values[-1] if values else b""
    limits.check_text(name, max(map(len, values), default=0))
    limits.check_bytes(name, POINTER * count + sum(map(len, values)) + (count - len(values)) * len(last))
    return bytes_array(values + [last] * (count - len(values))).reshape(sizes)


def serialize_input(message: Any, limits: RequestLimits) -> np.ndarray:
    """The examples of an Input message, serialized [B], each with the features of the context if there is one."""
    from tensorflow.core.example import example_pb2

    kind = message.WhichOneof("kind")
    context: Any = example_pb2.Example()
    rows: Sequence[Any] = ()
    if kind == "example_list":
        rows = message.example_list.examples
    elif kind == "example_list_with_context":
        with_context = message.example_list_with_context
        context, rows = with_context.context, with_context.examples
    if not rows:
        raise invalid_argument("Input is empty.")
    return serialize(context, rows, limits)
