"""Lists of integers concatenated in one array."""

from collections.abc import Sequence

import numpy as np


class RaggedArray:
    """The concatenated `values` of all lists, and the `starts` and `lengths` of each list."""

    def __init__(self, lists: Sequence[Sequence[int]]):
        self.lengths = np.array([len(values) for values in lists], np.int64)
        self.starts = np.cumsum(self.lengths) - self.lengths
        self.values = np.array([value for values in lists for value in values], np.int32)


def range_indices(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """The concatenated ranges start .. start + length: starts [10, 4], lengths [2, 3] -> [10, 11, 4, 5, 6]."""
    ends = np.cumsum(lengths)
    return np.arange(int(lengths.sum())) - np.repeat(ends - lengths - starts, lengths)
