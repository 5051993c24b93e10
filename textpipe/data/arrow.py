"""Convert columns of text between Arrow arrays and string tensors."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa
    import tensorflow as tf


def to_tensor(column: "pa.Array") -> "tf.Tensor":
    """Convert a column of text to a string tensor [N]; null becomes the empty string."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import tensorflow as tf

    values = pc.fill_null(column, "").cast(pa.binary()).to_numpy(zero_copy_only=False)
    return tf.constant(values, tf.string, shape=[len(values)])


def to_arrow(texts: "tf.Tensor", kind: "pa.DataType") -> "pa.Array":
    """Convert a string tensor [N] to a column of the Arrow type `kind`."""
    import pyarrow as pa

    return pa.array(texts.numpy(), type=pa.binary()).cast(kind)


def int_list_field(name: str) -> "pa.Field":
    """The field of a column of `to_int_lists`: list<int32>."""
    import pyarrow as pa

    return pa.field(name, pa.list_(pa.int32()))


def to_int_lists(rows: "tf.RaggedTensor") -> "pa.Array":
    """Convert a ragged tensor [N, None] int32 to a column of lists."""
    import pyarrow as pa

    offsets, values = rows.row_splits.numpy(), rows.flat_values.numpy()
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(values, pa.int32()))


def trace_text_function(function: Callable[["tf.Tensor"], Any]) -> Any:
    """Trace `function` of a string tensor [N] once, for any N."""
    import tensorflow as tf

    spec = tf.TensorSpec([None], tf.string)
    traced = tf.function(function, input_signature=[spec], autograph=False).get_concrete_function()
    traced.source = function  # the graph holds the tables of a codec or feature by handle only
    return traced
