"""Text of any length and language."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from textpipe.data.profile import TextProfile

if TYPE_CHECKING:
    import pyarrow as pa
    import tensorflow as tf

NOUN, PLURAL = "a text", "texts"
EXAMPLE = "Could you send me the slides?"  # a cell, in a model card
FEATURE = "ids"
OPTIONAL = False  # rows with an empty cell are dropped
profile = TextProfile


def arrow() -> "pa.DataType":
    """string"""
    import pyarrow as pa

    return pa.string()


def spec() -> "tf.TensorSpec":
    """[B] string."""
    import tensorflow as tf

    return tf.TensorSpec([None], tf.string)


def tensor(column: "pa.Array") -> "tf.Tensor":
    """Convert a column to the tensor that callers send: [N] string."""
    from textpipe.data import arrow

    return arrow.to_tensor(column)


def texts(column: "pa.Array") -> "pa.StringArray":
    """Return the texts in a column, in order."""
    return column


def map_text(column: "pa.Array", function: Callable[["pa.StringArray"], "pa.StringArray"]) -> "pa.Array":
    """Replace the texts of a column by function(texts)."""
    return function(column)


def line(table: Mapping[str, Any]) -> str:
    """Summarize a profile for the terminal: lengths and scripts."""
    words, characters = table["words"], table["characters"]
    scripts = ", ".join(f"{name} {share:.1%}" for name, share in list(table["scripts"].items())[:3] if share >= 0.0005)
    return (
        f"words {words['p50']} median, {words['p95']} at 95 %, {words['max']} max; "
        f"characters {characters['p50']}, {characters['p95']}, {characters['max']}; letters {scripts or 'none'}"
    )
