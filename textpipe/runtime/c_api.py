"""TensorFlow's C API (tensorflow/c/c_api.h) through ctypes: what it takes to run a SavedModel's graph.

Importing TensorFlow's Python package takes several seconds of processor time, nearly all of it Python; the library behind it
is loaded in a third of a second. Both may be used in one process, as they share the library.

A string tensor is an array of TF_TStrings of 24 bytes (tensorflow/c/tf_tstring.h). One of up to 22 bytes lies in the element
itself, its size times four in the first byte; others are read through the API. It is made from a serialized TensorProto in one call:
three calls per text took two to four times as long.
"""

import ctypes
import functools
from pathlib import Path
from typing import Any

import numpy as np

from textpipe.runtime import dtypes
from textpipe.runtime.tensorflow_library import Unavailable, library_path
from textpipe.runtime.wire_format import varint

POINTER, TEXT, INT, SIZE, INT64 = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_size_t, ctypes.c_int64
STRING, STRING_BYTES, SHORT_BYTES = 7, 24, 22  # enum value; sizes of an element and of the longest text inside it


class Output(ctypes.Structure):
    """TF_Output: an operation of a graph, and which of its outputs."""

    _fields_ = (("operation", POINTER), ("index", INT))


# Result and arguments of each function. Those that take long release the interpreter's lock; for the others, handing it over
# would take longer than they do.
LONG_FUNCTIONS: dict[str, tuple[Any, ...]] = {
    "TF_LoadLibrary": (POINTER, TEXT, POINTER),
    "TF_NewSession": (POINTER, POINTER, POINTER, POINTER),
    "TF_GraphImportGraphDef": (None, POINTER, POINTER, POINTER, POINTER),
    "TF_SessionRun": (
        None, POINTER, POINTER, POINTER, POINTER, INT, POINTER, POINTER, INT, POINTER, INT, POINTER, POINTER,
    ),
    "TF_CloseSession": (None, POINTER, POINTER),
    "TF_DeleteSession": (None, POINTER, POINTER),
    "TF_DeleteGraph": (None, POINTER),
}  # fmt: skip
SHORT_FUNCTIONS: dict[str, tuple[Any, ...]] = {
    "TF_Version": (TEXT,),
    "TF_NewStatus": (POINTER,),
    "TF_DeleteStatus": (None, POINTER),
    "TF_GetCode": (INT, POINTER),
    "TF_Message": (TEXT, POINTER),
    "TF_NewBuffer": (POINTER,),
    "TF_NewBufferFromString": (POINTER, TEXT, SIZE),
    "TF_DeleteBuffer": (None, POINTER),
    "TF_NewGraph": (POINTER,),
    "TF_GraphGetOpDef": (None, POINTER, TEXT, POINTER, POINTER),
    "TF_NewImportGraphDefOptions": (POINTER,),
    "TF_DeleteImportGraphDefOptions": (None, POINTER),
    "TF_ImportGraphDefOptionsAddInputMapping": (None, POINTER, TEXT, INT, Output),
    "TF_ImportGraphDefOptionsRemapControlDependency": (None, POINTER, TEXT, POINTER),
    "TF_GraphOperationByName": (POINTER, POINTER, TEXT),
    "TF_NewSessionOptions": (POINTER,),
    "TF_DeleteSessionOptions": (None, POINTER),
    "TF_AllocateTensor": (POINTER, INT, ctypes.POINTER(INT64), INT, SIZE),
    "TF_DeleteTensor": (None, POINTER),
    "TF_TensorFromProto": (None, POINTER, POINTER, POINTER),
    "TF_TensorType": (INT, POINTER),
    "TF_NumDims": (INT, POINTER),
    "TF_Dim": (INT64, POINTER, INT),
    "TF_TensorByteSize": (SIZE, POINTER),
    "TF_TensorData": (POINTER, POINTER),
    "TF_StringGetDataPointer": (POINTER, POINTER),
    "TF_StringGetSize": (SIZE, POINTER),
}


class CallError(Exception):
    """A status of TensorFlow that is not OK. code: its number, as in tf.errors; message: its text."""

    def __init__(self, code: int, message: str):
        super().__init__(message)
        self.code, self.message = code, message


class Library:
    """The functions by their name without TF_, and tensors as NumPy arrays."""

    def __init__(self, path: Path):
        long, short = ctypes.CDLL(str(path)), ctypes.PyDLL(str(path))
        for library, functions in ((long, LONG_FUNCTIONS), (short, SHORT_FUNCTIONS)):
            for name, (result, *arguments) in functions.items():
                function = getattr(library, name)
                function.restype, function.argtypes = result, arguments
                setattr(self, name.removeprefix("TF_"), function)
        for text in (b"", b"x" * SHORT_BYTES, b"x" * (SHORT_BYTES + 1), b"x" * 1000):
            array = np.array([text, b"y"], object)
            if self.round_trip(array).tolist() != array.tolist():
                raise Unavailable(f"{path}: strings are laid out in another way")

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)  # for type checkers: functions are set in __init__

    def round_trip(self, array: np.ndarray) -> np.ndarray:
        """An array through a tensor."""
        tensor = self.new_tensor(array, STRING)
        try:
            return self.to_array(tensor)
        finally:
            self.DeleteTensor(tensor)

    def call(self, function: Any, *arguments: Any) -> Any:
        """The result of a function whose last argument is a status; raises CallError."""
        status = self.NewStatus()
        try:
            result = function(*arguments, status)
            if code := self.GetCode(status):
                raise CallError(code, self.Message(status).decode("utf-8", "replace"))
            return result
        finally:
            self.DeleteStatus(status)

    def new_tensor(self, array: np.ndarray, dtype: int) -> int:
        """A tensor with an array's values, to be deleted with DeleteTensor; raises ValueError for another type than `dtype`."""
        if array.dtype != numpy_type(dtype):
            actual = dtypes.dtype_name(array)
            raise ValueError(f"expected {dtypes.name_of(dtype)}, found {actual}")
        if dtype == STRING:
            return self.new_string_tensor(array)
        array = np.ascontiguousarray(array).reshape(array.shape)
        tensor: int = self.AllocateTensor(dtype, (INT64 * array.ndim)(*array.shape), array.ndim, array.nbytes)
        if array.nbytes:
            ctypes.memmove(self.TensorData(tensor), array.ctypes.data, array.nbytes)
        return tensor

    def new_string_tensor(self, array: np.ndarray) -> int:
        if not array.size:  # a tensor of no values, made from a TensorProto, has no memory that the API could read
            return int(self.AllocateTensor(STRING, (INT64 * array.ndim)(*array.shape), array.ndim, 0))
        content = string_proto(array)
        tensor: int = self.AllocateTensor(STRING, (INT64 * 1)(0), 1, 0)
        buffer = self.NewBufferFromString(content, len(content))
        try:
            self.call(self.TensorFromProto, buffer, tensor)
        except CallError:
            self.DeleteTensor(tensor)
            raise
        finally:
            self.DeleteBuffer(buffer)
        return tensor

    def to_array(self, tensor: int) -> np.ndarray:
        """A copy of a tensor's values; strings as an array of bytes objects."""
        shape = tuple(self.Dim(tensor, axis) for axis in range(self.NumDims(tensor)))
        dtype, start, size = self.TensorType(tensor), self.TensorData(tensor), self.TensorByteSize(tensor)
        content = ctypes.string_at(start, size) if size else b""
        if dtype != STRING:
            return np.frombuffer(bytearray(content), numpy_type(dtype)).reshape(shape)
        array = np.empty(size // STRING_BYTES, object)
        elements = np.frombuffer(content, f"V{STRING_BYTES}").tolist()
        if np.frombuffer(content, np.uint8)[::STRING_BYTES].__and__(3).any():
            positions = range(start, start + size, STRING_BYTES)
            array[:] = [
                self.long_string(position) if element[0] & 3 else short_string(element)
                for element, position in zip(elements, positions, strict=True)
            ]
        else:  # labels, which repeat
            texts = {element: short_string(element) for element in set(elements)}
            array[:] = [texts[element] for element in elements]
        return array.reshape(shape)

    def long_string(self, position: int) -> bytes:
        return ctypes.string_at(self.StringGetDataPointer(position), self.StringGetSize(position))


def short_string(element: bytes) -> bytes:
    """A text that lies in its TF_TString."""
    return element[1 : 1 + (element[0] >> 2)]


def string_proto(array: np.ndarray) -> bytes:
    """A TensorProto of texts, serialized; raises ValueError for other objects."""
    texts = array.reshape(-1).tolist()
    if set(map(type, texts)) - {bytes}:
        texts = [text.encode() if isinstance(text, str) else text for text in texts]
        if wrong := [text for text in texts if not isinstance(text, bytes)]:
            raise ValueError(f"expected a text, found {wrong[0]!r}")
    sizes = [b"\x08" + varint(size) for size in array.shape]
    shape = b"".join(b"\x12" + varint(len(size)) + size for size in sizes)
    parts = [b"\x08", varint(STRING), b"\x12", varint(len(shape)), shape]  # fields dtype and tensor_shape
    for text in texts:
        parts.append(string_header(len(text)))
        parts.append(text)
    return b"".join(parts)


@functools.lru_cache(1 << 14)
def string_header(size: int) -> bytes:
    """What precedes a value of the field string_val."""
    return b"\x42" + varint(size)


@functools.cache
def numpy_type(dtype: int) -> np.dtype:
    """NumPy's type for TensorFlow's enum; raises Unavailable for one that NumPy lacks."""
    name = dtypes.name_of(dtype)
    if name not in dtypes.FIELDS:
        raise Unavailable(f"a tensor of type {name}")
    return dtypes.numpy_type(name)


@functools.cache
def library() -> Library:
    """TensorFlow's library; raises Unavailable where it is not installed, or lacks a function."""
    try:
        return Library(library_path())
    except (OSError, AttributeError) as error:
        raise Unavailable(str(error)) from None


@functools.cache
def load_ops(path: Path) -> None:
    """Register the ops of a library; raises CallError when it cannot be loaded."""
    api = library()
    api.call(api.LoadLibrary, str(path).encode())
