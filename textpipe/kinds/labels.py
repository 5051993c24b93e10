"""Any number of names of a closed set, parted by "|": "billing|urgent"; an empty cell has none."""

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
BETWEEN = "|"


class LabelsProfile(LabelProfile):
    """How many rows each class has, and how many classes a row."""

    def __init__(self) -> None:
        super().__init__()
        self.lengths: Counter[int] = Counter()

    def add(self, rows: "np.ndarray", cells: "pa.ListArray") -> None:
        """Count labels, until there are too many to be labels."""
        super().add(rows, cells.flatten())
        add_counts(self.lengths, cells.value_lengths().to_numpy())

    def table(self) -> dict[str, Any]:
        """{"num_classes": 2, ..., "classes": {"urgent": 7, "billing": 4}, "labels": {"mean": 1.2, ...}}"""
        return {**super().table(), "labels": distribution(self.lengths)}

    def fault(self, name: str, rows: int) -> str | None:
        """Why training rows cannot be learned from, where they cannot: no label at all."""
        return None if self.classes else f"{name} is empty in all {rows:,} rows; see whether it is the right column"


profile = LabelsProfile


def arrow() -> "pa.DataType":
    """list<string>"""
    import pyarrow as pa

    return pa.list_(pa.string())


def spec() -> "tf.TensorSpec":
    """[B] string: the names of a row, parted by "|"."""
    import tensorflow as tf

    return tf.TensorSpec([None], tf.string)


def parse(cell: str) -> tuple[str, ...]:
    """The names, each once, in order of their code points: "urgent| billing|urgent" -> ("billing", "urgent")."""
    found = {label.parse(name) for name in cell.split(BETWEEN)} - {""}
    return tuple(sorted(found))


def spelled(names: Iterable[str]) -> str:
    """("billing", "urgent") -> "billing|urgent"."""
    return BETWEEN.join(names)


def tensor(column: "pa.Array") -> "tf.Tensor":
    """A column as callers send it: [N] string, "billing|urgent"."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from textpipe.data import arrow as arrays

    return arrays.tensor(pc.binary_join(column.cast(pa.list_(pa.string())), BETWEEN))


def names(cell: Iterable[str]) -> tuple[str, ...]:
    """The classes a cell names."""
    return tuple(cell)


def replace(cell: Iterable[str], function: Callable[[str], str | None]) -> tuple[str, ...]:
    """The cell with function(name) in place of each name, or without it where that is None."""
    return tuple(sorted({new for new in map(function, cell) if new is not None}))


def line(table: Mapping[str, Any]) -> str:
    """A profile for the terminal: labels a row, and the most frequent classes."""
    return f"{table['labels'].get('mean', 0):.2f} labels a row; {label.line(table)}"
