"""Columns of a sparse matrix that are alike, merged into one.   N rows, D columns, G groups.

N-grams that occur in the same rows, as often, have equal columns: a rare word and each of its letter n-grams, for example. With an L2
penalty, the weights of g equal columns are equal at the optimum, so one column times sqrt(g), whose weight is sqrt(g) times theirs, has
the same optimum with the same penalty. The columns of a text of words and characters become half as many.
"""

import numpy as np
import scipy.sparse


class MergedColumns:
    """matrix: the distinct columns that are not empty, times the root of their number [N, G] float32.

    group [D]: the column of `matrix` of each column, -1 if it is empty; root [G]: the root of the size of each group.
    """

    def __init__(self, matrix: scipy.sparse.csr_matrix):
        columns = matrix.tocsc()
        columns.sort_indices()
        filled = np.flatnonzero(np.diff(columns.indptr))
        self.group = np.full(matrix.shape[1], -1, np.int64)
        # A column's hash is a sum over its entries, so that no Python loop is needed; two different columns have the same hash with a
        # probability of 2**-64.
        keys = np.random.default_rng(0).integers(2**64, size=matrix.shape[0], dtype=np.uint64) | np.uint64(1)
        bits = columns.data.astype(np.float32).view(np.uint32).astype(np.uint64)
        hashes = np.add.reduceat(keys[columns.indices] * bits, columns.indptr[filled].astype(np.int64))
        if len(filled):
            _, first, group, counts = np.unique(hashes, return_index=True, return_inverse=True, return_counts=True)
        else:
            first = group = counts = np.zeros(0, np.int64)
        self.group[filled] = group
        self.root = np.sqrt(counts).astype(np.float32)
        self.matrix = (columns[:, filled[first]] @ scipy.sparse.diags_array(self.root)).tocsr().astype(np.float32)

    def merge(self, weights: np.ndarray) -> np.ndarray:
        """Weights of the columns [D, C] as weights of the groups [G, C]; logits stay the same."""
        known = self.group >= 0
        merged = np.zeros((len(self.root), weights.shape[1]), np.float32)
        np.add.at(merged, self.group[known], weights[known])
        return merged / self.root[:, None]

    def split(self, weights: np.ndarray) -> np.ndarray:
        """Weights of the groups [G, C] as weights of the columns [D, C]; those of empty columns are 0."""
        if not len(self.root):
            return np.zeros((len(self.group), weights.shape[1]), np.float32)
        split = (weights / self.root[:, None])[self.group]  # -1 takes the last group: no second copy of all weights
        split[self.group < 0] = 0
        return split
