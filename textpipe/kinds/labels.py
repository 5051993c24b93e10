"""A set of labels separated by "|": "billing|urgent"; an empty cell is the empty set."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from textpipe.data.profile import LabelProfile, add_counts, distribution
from textpipe.kinds import label

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    import tensorflow as tf

NOUN, PLURAL = "labels", "labels"
FEATURE = "multi_hot"
OPTIONAL = True  # an empty cell is a value
SEPARATOR = "|"


class LabelsProfile(LabelProfile):
    """Number of rows per class, and of classes per row."""

    def __init__(self) -> None:
        super().__init__()
        self.lengths: Counter[int] = Counter()

    def add(self, rows: "np.ndarray", cells: "pa.ListArray") -> None:
        """Add a batch of label sets; stops counting beyond MAX_CLASSES distinct labels."""
        super().add(rows, cells.flatten())
        add_counts(self.lengths, cells.value_lengths().to_numpy())

    def table(self) -> dict[str, Any]:
        """{"num_classes": 2, ..., "classes": {"urgent": 7, "billing": 4}, "labels": {"mean": 1.2, ...}}"""
        return {**super().table(), "labels": distribution(self.lengths)}

    def fault(self, name: str, rows: int) -> str | None:
        """Return a message if the training rows cannot be learned from because they have no label."""
        return None if self.classes else f"{name} is empty in all {rows:,} rows; check that it is the right column"


profile = LabelsProfile


def arrow() -> "pa.DataType":
    """list<string>"""
    import pyarrow as pa

    return pa.list_(pa.string())


def spec() -> "tf.TensorSpec":
    """[B] string: the names of a row, separated by "|"."""
    import tensorflow as tf

    return tf.TensorSpec([None], tf.string)


def parse(cell: str) -> tuple[str, ...]:
    """Split into distinct names, sorted by code points: "urgent| billing|urgent" -> ("billing", "urgent")."""
    names = {label.parse(name) for name in cell.split(SEPARATOR)} - {""}
    return tuple(sorted(names))


def join(names: Iterable[str]) -> str:
    """Join names: ("billing", "urgent") -> "billing|urgent"."""
    return SEPARATOR.join(names)


def tensor(column: "pa.Array") -> "tf.Tensor":
    """Convert a column to the tensor that callers send: [N] string, "billing|urgent"."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from textpipe.data import arrow as arrays

    return arrays.to_tensor(pc.binary_join(column.cast(pa.list_(pa.string())), SEPARATOR))


def names(cell: Iterable[str]) -> tuple[str, ...]:
    """Return the class names in a cell."""
    return tuple(cell)


def replace(cell: Iterable[str], function: Callable[[str], str | None]) -> tuple[str, ...]:
    """Apply function to each name of the cell; names for which it returns None are dropped."""
    return tuple(sorted({new for new in map(function, cell) if new is not None}))


def line(table: Mapping[str, Any]) -> str:
    """Summarize a profile for the terminal: labels per row and the most frequent classes."""
    return f"{table['labels'].get('mean', 0):.2f} labels per row; {label.line(table)}"
