"""A label: one of a closed set of names."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from textpipe.data.profile import LabelProfile

if TYPE_CHECKING:
    import pyarrow as pa
    import tensorflow as tf

NOUN, PLURAL = "a label", "labels"
FEATURE = "label"
OPTIONAL = False  # rows with an empty cell are dropped
MAX_CHARACTERS = 1_000  # a longer cell is not a label; the column was probably chosen by mistake
profile = LabelProfile


def arrow() -> "pa.DataType":
    """string"""
    import pyarrow as pa

    return pa.string()


def spec() -> "tf.TensorSpec":
    """[B] string."""
    import tensorflow as tf

    return tf.TensorSpec([None], tf.string)


def parse(cell: str) -> str:
    """Strip the name: " yes" -> "yes". Raises ValueError if it is too long."""
    name = cell.strip()
    if len(name) > MAX_CHARACTERS:
        raise ValueError(f"a label of {len(name):,} characters, where at most {MAX_CHARACTERS:,} are allowed")
    return name


def tensor(column: "pa.Array") -> "tf.Tensor":
    """Convert a column to the tensor that callers send: [N] string."""
    from textpipe.data import arrow

    return arrow.to_tensor(column)


def names(cell: str) -> tuple[str, ...]:
    """Return the class names in a cell."""
    return (cell,)


def replace(cell: str, function: Callable[[str], str | None]) -> str | None:
    """Apply function to the cell's name; None if the function returns None, which drops the row."""
    return function(cell)


def line(table: Mapping[str, Any]) -> str:
    """Summarize a profile for the terminal: the most frequent classes."""
    classes = list(table["classes"].items())
    shown = ", ".join(f"{name} {count:,}" for name, count in classes[:5])
    more = f" and {len(classes) - 5:,} more" if len(classes) > 5 else ""
    return f"{table['num_classes']:,} classes{'' if table['complete'] else ' or more'}: {shown}{more}"
