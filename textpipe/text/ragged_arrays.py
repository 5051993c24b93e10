"""Lists of numbers laid one behind the other in one array."""

from collections.abc import Sequence

import numpy as np


class RaggedArray:
    """`values` of all lists, and `starts` and `lengths` of each."""

    def __init__(self, lists: Sequence[Sequence[int]]):
        self.lengths = np.array([len(part) for part in lists], np.int64)
        self.starts = np.cumsum(self.lengths) - self.lengths
        self.values = np.array([number for part in lists for number in part], np.int32)


def range_indices(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Positions of the values of many runs: starts [10, 4], lengths [2, 3] -> [10, 11, 4, 5, 6]."""
    ends = np.cumsum(lengths)
    return np.arange(int(lengths.sum())) - np.repeat(ends - lengths - starts, lengths)
