"""Protocol buffers of TensorFlow Serving's gRPC as arrays, and back."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from textpipe.serve.examples import joined
from textpipe.serve.faults import invalid
from textpipe.serve.values import strings


def arrays(inputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """TensorProtos by name; raises Fault for one whose content is not what its type and shape say."""
    import tensorflow as tf

    found = {}
    for name, proto in inputs.items():
        try:
            found[name] = tf.make_ndarray(proto)
        except (TypeError, ValueError) as error:
            raise invalid(f"tensor parsing error: {name} ({error})") from None
    return found


def proto(array: np.ndarray) -> Any:
    """An array as TensorProto."""
    import tensorflow as tf

    return tf.make_tensor_proto(array, tf.string if array.dtype == object else None, array.shape)


def examples(given: Any) -> np.ndarray:
    """An Input message's examples, serialized [B]; those of a list with context have its features too."""
    kind = given.WhichOneof("kind")
    if kind == "example_list":
        found = [example.SerializeToString() for example in given.example_list.examples]
    elif kind == "example_list_with_context":
        shared = given.example_list_with_context.context
        found = [joined(shared, example) for example in given.example_list_with_context.examples]
    else:
        found = []
    if not found:
        raise invalid("Input is empty.")
    return strings(found)
