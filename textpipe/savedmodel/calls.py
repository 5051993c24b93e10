"""Call a function of named tensors with arrays, whether TensorFlow's Python package runs it or a session does."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from textpipe.runtime.c_api import CallError


def call(function: Any, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The outputs by name, in alphabetical order; texts are arrays of bytes objects, of a scalar too.

    function: a session.SessionFunction, or any function of tensors. Raises CallError for values that the graph refuses,
    TypeError and ValueError for other ones that do not fit.
    """
    if (run := getattr(function, "run", None)) is not None:
        outputs: dict[str, np.ndarray] = run(arrays)
        return outputs
    import tensorflow as tf

    try:
        tensors = {name: tf.constant(array, dtype_of(array)) for name, array in arrays.items()}
        return {name: to_array(value) for name, value in sorted(function(**tensors).items())}
    except tf.errors.OpError as error:
        raise CallError(error.error_code, error.message) from None


def dtype_of(array: np.ndarray) -> Any:
    """The tensor type of an array: of no strings, NumPy knows it."""
    return "string" if array.dtype == object else array.dtype


def to_array(tensor: Any) -> np.ndarray:
    """A tensor as NumPy; a scalar string becomes an array of objects too."""
    array = tensor.numpy()
    return np.array(array, object) if isinstance(array, bytes) else np.asarray(array)
