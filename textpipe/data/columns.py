"""Columns of vectorized rows, memory-mapped, and gathered into padded batches without a Python loop over rows.

B rows of a batch, D features.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np


class Ids:
    """Rows of token ids of any length; values stay where they lie (a memory map or an array).

    blocks: [(values int32 [total], offsets int64 [rows + 1])], the rows of one block after those of the one before.
    """

    kind = "ids"
    objective = "sequence"  # what such targets are trained by, where nobody says

    def __init__(self, blocks: Sequence[tuple[np.ndarray, np.ndarray]]):
        self.blocks = list(blocks)
        self.values = [values for values, _ in blocks]
        self.starts = np.concatenate([np.zeros(0, np.int64), *(offsets[:-1] for _, offsets in blocks)])
        self.lengths = np.concatenate([np.zeros(0, np.int64), *(np.diff(offsets) for _, offsets in blocks)])
        self.first_rows = np.cumsum([0, *(len(offsets) - 1 for _, offsets in blocks)])

    @classmethod
    def from_lists(cls, lists: Sequence[Sequence[int]]) -> "Ids":
        """[[5, 3], [7, 8, 3]] as two rows of 2 and 3 ids."""
        lengths = [len(row) for row in lists]
        values = np.fromiter((token for row in lists for token in row), np.int32, sum(lengths))
        return cls([(values, np.cumsum([0, *lengths]))])

    def __len__(self) -> int:
        return len(self.starts)

    def gather(self, rows: np.ndarray, width: int) -> np.ndarray:
        """int32 [B, width], padded with 0; rows longer than width are an error of the caller."""
        assert len(rows) == 0 or self.lengths[rows].max() <= width, "rows longer than the batch is wide"
        batch = np.zeros((len(rows), width), np.int32)
        real = np.arange(width) < self.lengths[rows, None]  # [B, width]
        positions = self.starts[rows, None] + np.arange(width)
        for block, members in self.by_block(rows):
            inside = real & members[:, None]
            batch[inside] = self.values[block][positions[inside]]
        return batch

    def flat(self, rows: np.ndarray) -> np.ndarray:
        """Positions inside their blocks of every value of these rows, row after row."""
        lengths = self.lengths[rows]
        ends = np.cumsum(lengths)
        return np.arange(lengths.sum()) - np.repeat(ends - lengths, lengths) + np.repeat(self.starts[rows], lengths)

    def by_block(self, rows: np.ndarray):
        """(block, which of the rows lie in it [B] bool) for each block that holds any."""
        if len(self.values) == 1:
            return [(0, np.ones(len(rows), bool))]
        blocks = np.searchsorted(self.first_rows, rows, side="right") - 1
        return [(block, blocks == block) for block in np.unique(blocks)]


class Sparse:
    """Rows of (feature index, value) pairs, over `dim` features."""

    kind = "sparse"
    lengths = None  # rows are not padded

    def __init__(self, indices: Ids, values: Ids, dim: int):
        assert len(indices) == len(values), "indices and values of a different number of rows"
        self.indices, self.values, self.dim = indices, values, dim

    @classmethod
    def from_scipy(cls, matrix: Any) -> "Sparse":
        """From a scipy.sparse matrix [rows, D]."""
        matrix = matrix.tocsr()
        offsets = matrix.indptr.astype(np.int64)
        indices = Ids([(matrix.indices.astype(np.int32), offsets)])
        return cls(indices, Ids([(matrix.data.astype(np.float32), offsets)]), matrix.shape[1])

    def __len__(self) -> int:
        return len(self.indices)

    def gather(self, rows: np.ndarray, width: int = 0):
        """The tf.SparseTensor [B, D] float32 of these rows; width is not used."""
        import tensorflow as tf

        lengths = self.indices.lengths[rows]
        positions = self.indices.flat(rows)
        columns = np.empty(len(positions), np.int64)
        values = np.empty(len(positions), np.float32)
        for block, members in self.indices.by_block(rows):
            inside = np.repeat(members, lengths)
            columns[inside] = self.indices.values[block][positions[inside]]
            values[inside] = self.values.values[block][positions[inside]]
        pairs = np.stack([np.repeat(np.arange(len(rows)), lengths), columns], axis=1)
        return tf.SparseTensor(pairs, values, (len(rows), self.dim))


class Labels:
    """One class per row: int32 [rows], in 0 .. num_classes - 1."""

    kind = "label"
    objective = "softmax"  # what such targets are trained by, where nobody says
    lengths = None  # rows are not padded

    def __init__(self, values: np.ndarray, num_classes: int):
        self.values = np.asarray(values, np.int32)
        self.num_classes = num_classes

    def __len__(self) -> int:
        return len(self.values)

    def gather(self, rows: np.ndarray, width: int = 0) -> np.ndarray:
        """int32 [B]; width is not used."""
        return self.values[rows]


class Dense:
    """Numbers: float32 [rows] or [rows, D], such as a scalar, or 1 for each label that a row has."""

    kind = "dense"
    lengths = None  # rows are not padded
    objective = "sigmoid"  # what such targets are trained by, where nobody says

    def __init__(self, values: np.ndarray):
        self.values = np.asarray(values, np.float32)

    def __len__(self) -> int:
        return len(self.values)

    def gather(self, rows: np.ndarray, width: int = 0) -> np.ndarray:
        """float32 [B, D] or [B]; width is not used."""
        return self.values[rows]


Column = Ids | Sparse | Labels | Dense


def column(tables: list[Any], name: str) -> Ids:
    """A list column of Arrow tables, without copying its values."""
    chunks = [chunk for table in tables for chunk in table[name].chunks if len(chunk)]
    return Ids([(chunk.values.to_numpy(), chunk.offsets.to_numpy().astype(np.int64)) for chunk in chunks])


def values(tables: list[Any], name: str, kind: str) -> np.ndarray:
    """A column of numbers of Arrow tables as one array [rows] of the given type."""
    chunks = [chunk.to_numpy() for table in tables for chunk in table[name].chunks]
    return np.concatenate([np.zeros(0, kind), *chunks])
