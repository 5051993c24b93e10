"""Text, of any length and language."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from textpipe.data.profile import TextProfile

if TYPE_CHECKING:
    import pyarrow as pa
    import tensorflow as tf

NOUN, PLURAL = "a text", "texts"
FEATURE = "ids"
OPTIONAL = False  # a row with an empty cell is left out
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
    """A column as callers send it: [N] string."""
    from textpipe.data import arrow

    return arrow.tensor(column)


def texts(column: "pa.Array") -> "pa.StringArray":
    """The texts in a column, in order."""
    return column


def map_text(column: "pa.Array", function: Callable[["pa.StringArray"], "pa.StringArray"]) -> "pa.Array":
    """The column with function(its texts) in their place."""
    return function(column)


def line(table: Mapping[str, Any]) -> str:
    """A profile for the terminal: lengths and scripts."""
    words, characters = table["words"], table["characters"]
    scripts = ", ".join(f"{name} {share:.1%}" for name, share in list(table["scripts"].items())[:3] if share >= 0.0005)
    return (
        f"words {words['p50']} median, {words['p95']} at 95 %, {words['max']} most; "
        f"characters {characters['p50']}, {characters['p95']}, {characters['max']}; letters {scripts or 'none'}"
    )
