"""Memory-mapped columns of vectorized rows, gathered into padded batches without a Python loop over rows.

Shapes: B batch, D features.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np


class Ids:
    """Rows of token ids of any length, without copying the values (a memory map or an array).

    blocks: [(values int32 [total], offsets int64 [rows + 1])], consecutive blocks of rows.
    """

    kind = "ids"
    objective = "sequence"  # default objective for targets of this type

    def __init__(self, blocks: Sequence[tuple[np.ndarray, np.ndarray]]):
        self.blocks = list(blocks)
        self.values = [values for values, _ in blocks]
        self.starts = np.concatenate([np.zeros(0, np.int64), *(offsets[:-1] for _, offsets in blocks)])
        self.lengths = np.concatenate([np.zeros(0, np.int64), *(np.diff(offsets) for _, offsets in blocks)])
        self.first_rows = np.cumsum([0, *(len(offsets) - 1 for _, offsets in blocks)])

    @classmethod
    def from_lists(cls, lists: Sequence[Sequence[int]]) -> "Ids":
        """Build from lists: [[5, 3], [7, 8, 3]] gives two rows of 2 and 3 ids."""
        lengths = [len(row) for row in lists]
        values = np.fromiter((token for row in lists for token in row), np.int32, sum(lengths))
        return cls([(values, np.cumsum([0, *lengths]))])

    def __len__(self) -> int:
        return len(self.starts)

    def gather(self, rows: np.ndarray, width: int) -> np.ndarray:
        """Return int32 [B, width], padded with 0; no row may be longer than width."""
        assert len(rows) == 0 or self.lengths[rows].max() <= width, "rows longer than the batch width"
        batch = np.zeros((len(rows), width), np.int32)
        real = np.arange(width) < self.lengths[rows, None]  # [B, width]
        positions = self.starts[rows, None] + np.arange(width)
        for block, members in self.by_block(rows):
            inside = real & members[:, None]
            batch[inside] = self.values[block][positions[inside]]
        return batch

    def flat(self, rows: np.ndarray) -> np.ndarray:
        """Return the position, inside its block, of every value of these rows, row by row."""
        lengths = self.lengths[rows]
        ends = np.cumsum(lengths)
        return np.arange(lengths.sum()) - np.repeat(ends - lengths, lengths) + np.repeat(self.starts[rows], lengths)

    def by_block(self, rows: np.ndarray):
        """Return (block, mask [B] of the rows in it) for each block that has any of the rows."""
        if len(self.values) == 1:
            return [(0, np.ones(len(rows), bool))]
        blocks = np.searchsorted(self.first_rows, rows, side="right") - 1
        return [(block, blocks == block) for block in np.unique(blocks)]


class Sparse:
    """Rows of (feature index, value) pairs, over `dim` features."""

    kind = "sparse"
    lengths = None  # rows are not padded

    def __init__(self, indices: Ids, values: Ids, dim: int):
        assert len(indices) == len(values), "indices and values differ in their number of rows"
        self.indices, self.values, self.dim = indices, values, dim

    @classmethod
    def from_scipy(cls, matrix: Any) -> "Sparse":
        """Build from a scipy.sparse matrix [rows, D]."""
        matrix = matrix.tocsr()
        offsets = matrix.indptr.astype(np.int64)
        indices = Ids([(matrix.indices.astype(np.int32), offsets)])
        return cls(indices, Ids([(matrix.data.astype(np.float32), offsets)]), matrix.shape[1])

    def __len__(self) -> int:
        return len(self.indices)

    def gather(self, rows: np.ndarray, width: int = 0):
        """Return a tf.SparseTensor [B, D] float32; width is ignored."""
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
    objective = "softmax"  # default objective for targets of this type
    lengths = None  # rows are not padded

    def __init__(self, values: np.ndarray, num_classes: int):
        self.values = np.asarray(values, np.int32)
        self.num_classes = num_classes

    def __len__(self) -> int:
        return len(self.values)

    def gather(self, rows: np.ndarray, width: int = 0) -> np.ndarray:
        """Return int32 [B]; width is ignored."""
        return self.values[rows]


class Dense:
    """Numbers: float32 [rows] or [rows, D], such as scalars or multi-hot labels."""

    kind = "dense"
    lengths = None  # rows are not padded
    objective = "sigmoid"  # default objective for targets of this type

    def __init__(self, values: np.ndarray):
        self.values = np.asarray(values, np.float32)

    def __len__(self) -> int:
        return len(self.values)

    def gather(self, rows: np.ndarray, width: int = 0) -> np.ndarray:
        """Return float32 [B, D] or [B]; width is ignored."""
        return self.values[rows]


class Blocks:
    """Arrays of one shape, such as pixels: uint8 [rows, ...], without copying the values (memory maps or arrays).

    blocks: consecutive blocks of rows.
    """

    kind = "blocks"
    lengths = None  # rows are not padded

    def __init__(self, blocks: Sequence[np.ndarray]):
        self.blocks = list(blocks)
        self.first_rows = np.cumsum([0, *map(len, self.blocks)])

    def __len__(self) -> int:
        return int(self.first_rows[-1])

    def gather(self, rows: np.ndarray, width: int = 0) -> np.ndarray:
        """Return uint8 [B, ...]; width is ignored."""
        if len(self.blocks) == 1:
            return self.blocks[0][rows]
        batch = np.empty((len(rows), *self.blocks[0].shape[1:]), np.uint8)
        numbers = np.searchsorted(self.first_rows, rows, side="right") - 1
        for number in np.unique(numbers):
            inside = numbers == number
            batch[inside] = self.blocks[number][rows[inside] - self.first_rows[number]]
        return batch


Column = Ids | Sparse | Labels | Dense | Blocks


def list_column(tables: list[Any], name: str) -> Ids:
    """Return a list column of Arrow tables, without copying its values."""
    chunks = [chunk for table in tables for chunk in table[name].chunks if len(chunk)]
    return Ids([(chunk.values.to_numpy(), chunk.offsets.to_numpy().astype(np.int64)) for chunk in chunks])


def scalar_column(tables: list[Any], name: str, kind: str) -> np.ndarray:
    """Return a numeric column of Arrow tables as one array [rows] of the given dtype."""
    chunks = [chunk.to_numpy() for table in tables for chunk in table[name].chunks]
    return np.concatenate([np.zeros(0, kind), *chunks])


def block_column(tables: list[Any], name: str, shape: Sequence[int]) -> Blocks:
    """Return a fixed-size binary column of Arrow tables as uint8 [rows, *shape], without copying its values."""
    size = int(np.prod(shape))
    blocks = [np.zeros((0, *shape), np.uint8)]
    for chunk in (chunk for table in tables for chunk in table[name].chunks if len(chunk)):
        values = np.frombuffer(chunk.buffers()[1], np.uint8)[chunk.offset * size : (chunk.offset + len(chunk)) * size]
        blocks.append(values.reshape(len(chunk), *shape))
    return Blocks(blocks[1:] or blocks)
