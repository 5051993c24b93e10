"""TensorFlow's types and TensorProtos, without TensorFlow."""

import functools
import math
from typing import Any

import numpy as np

# Names that differ from those of the enum: DT_FLOAT -> float32, DT_INT32 -> int32.
NAMES = {"float": "float32", "double": "float64", "half": "float16"}
STRING = "string"
# Field of a TensorProto with values that are not packed, and how many of these make one value.
FIELDS = {
    "float32": ("float_val", 1), "float64": ("double_val", 1), "int32": ("int_val", 1), "uint8": ("int_val", 1),
    "int16": ("int_val", 1), "int8": ("int_val", 1), "string": ("string_val", 1), "complex64": ("scomplex_val", 2),
    "int64": ("int64_val", 1), "bool": ("bool_val", 1), "bfloat16": ("half_val", 1), "uint16": ("int_val", 1),
    "complex128": ("dcomplex_val", 2), "float16": ("half_val", 1), "uint32": ("uint32_val", 1), "uint64": ("uint64_val", 1),
}  # fmt: skip
UNPACKED = ("string", "bool", "complex64", "complex128", "uint16")  # several values of another type are packed


@functools.cache
def name_of(dtype: int) -> str:
    """TensorFlow's name for a value of the enum DataType: 1 -> "float32"; "type 99" for one that it lacks."""
    from tensorflow.core.framework import types_pb2

    if dtype not in types_pb2.DataType.values():
        return f"type {dtype}"
    name = types_pb2.DataType.Name(dtype).removeprefix("DT_").lower()
    return NAMES.get(name, name)


@functools.cache
def enum_of(name: str) -> int:
    """The value of the enum DataType: "float32" -> 1."""
    from tensorflow.core.framework import types_pb2

    enum = {value: key for key, value in NAMES.items()}.get(name, name)
    return int(types_pb2.DataType.Value(f"DT_{enum.upper()}"))


@functools.cache
def numpy_type(name: str) -> np.dtype:
    """NumPy's type for TensorFlow's name: "string" -> object."""
    if name == "bfloat16":
        import ml_dtypes

        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype(object if name == STRING else name)


def dtype_name(array: np.ndarray) -> str:
    """TensorFlow's name for the type of an array: of objects, "string"."""
    return STRING if array.dtype == object else array.dtype.name


def shape_of(proto: Any) -> list[int]:
    return [axis.size for axis in proto.tensor_shape.dim]


def numeric_array(proto: Any) -> np.ndarray:
    """The values of a numeric TensorProto; if the field has too few, its last value fills the rest."""
    name = name_of(proto.dtype)
    field, num_parts = FIELDS[name]
    dtype, sizes = numpy_type(name), shape_of(proto)
    count = math.prod(sizes)
    if proto.tensor_content and count:
        return np.frombuffer(proto.tensor_content, dtype).reshape(sizes)
    items = getattr(proto, field)[: count * num_parts]
    if num_parts == 2:
        values = np.asarray(items[: len(items) // 2 * 2], f"float{dtype.itemsize * 4}").view(dtype)
    elif field == "half_val":
        values = np.asarray(items, np.int64).astype(np.uint16).view(dtype)
    elif field == "int_val":
        values = np.asarray(items, np.int64).astype(dtype)
    else:
        values = np.asarray(items, dtype)
    if len(values) == count:
        return values.reshape(sizes)
    array = np.full(count, values[-1] if len(values) else 0, dtype)
    array[: len(values)] = values
    return array.reshape(sizes)


def default_array(proto: Any) -> np.ndarray:
    """The values of a TensorProto that a model's author wrote, as tf.make_ndarray."""
    if name_of(proto.dtype) != STRING:
        return numeric_array(proto)
    sizes = shape_of(proto)
    values = list(proto.string_val)
    array = np.empty(math.prod(sizes), object)
    array[:] = values + [values[-1] if values else b""] * (len(array) - len(values))
    return array.reshape(sizes)


def to_proto(array: np.ndarray) -> Any:
    """An array as a TensorProto, the same bytes as of tf.make_tensor_proto."""
    from tensorflow.core.framework import tensor_pb2

    name = dtype_name(array)
    proto = tensor_pb2.TensorProto(dtype=enum_of(name))
    proto.tensor_shape.SetInParent()
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    if array.size > 1 and name not in UNPACKED:
        proto.tensor_content = array.tobytes()
        return proto
    field, num_parts = FIELDS[name]
    values = array.reshape(-1)
    if num_parts == 2:
        values = values.view(f"float{array.dtype.itemsize * 4}")
    elif field == "half_val":
        values = values.view(np.uint16)
    getattr(proto, field).extend(values.tolist())
    return proto
