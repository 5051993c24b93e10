"""Columns of text on their way from Arrow into a graph and out of it."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa
    import tensorflow as tf


def tensor(column: "pa.Array") -> "tf.Tensor":
    """A column of text as a string tensor [N]; a missing value is an empty text."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import tensorflow as tf

    values = pc.fill_null(column, "").cast(pa.binary()).to_numpy(zero_copy_only=False)
    return tf.constant(values, tf.string, shape=[len(values)])


def column(texts: "tf.Tensor", kind: "pa.DataType") -> "pa.Array":
    """A string tensor [N] as a column of the Arrow type `kind`."""
    import pyarrow as pa

    return pa.array(texts.numpy(), type=pa.binary()).cast(kind)


def graph(function: Callable[["tf.Tensor"], Any]) -> Any:
    """`function` of one [N] string tensor, traced once for every N.

    Whoever calls it keeps the codec or feature behind `function` alive: the graph holds its tables by handle alone.
    """
    import tensorflow as tf

    spec = tf.TensorSpec([None], tf.string)
    return tf.function(function, input_signature=[spec], autograph=False).get_concrete_function()
