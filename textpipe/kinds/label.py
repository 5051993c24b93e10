"""One of a closed set of names."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from textpipe.data.profile import LabelProfile

if TYPE_CHECKING:
    import pyarrow as pa
    import tensorflow as tf

NOUN, PLURAL = "a label", "labels"
FEATURE = "label"
OPTIONAL = False  # a row with an empty cell is left out
MAX_CHARACTERS = 1_000  # characters; a longer one is no label, but a column taken for one
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
    """The name without blanks around it: " yes" -> "yes"; ValueError for one that is too long."""
    name = cell.strip()
    if len(name) > MAX_CHARACTERS:
        raise ValueError(f"a label of {len(name):,} characters, and a label has at most {MAX_CHARACTERS:,}")
    return name


def tensor(column: "pa.Array") -> "tf.Tensor":
    """A column as callers send it: [N] string."""
    from textpipe.data import arrow

    return arrow.tensor(column)


def names(cell: str) -> tuple[str, ...]:
    """The classes a cell names."""
    return (cell,)


def replace(cell: str, function: Callable[[str], str | None]) -> str | None:
    """The cell with function(name) in place of its name; None where that is None, and the row is left out."""
    return function(cell)


def line(table: Mapping[str, Any]) -> str:
    """A profile for the terminal: the most frequent classes."""
    classes = list(table["classes"].items())
    shown = ", ".join(f"{name} {count:,}" for name, count in classes[:5])
    more = f" and {len(classes) - 5:,} more" if len(classes) > 5 else ""
    return f"{table['num_classes']:,} classes{'' if table['complete'] else ' or more'}: {shown}{more}"
