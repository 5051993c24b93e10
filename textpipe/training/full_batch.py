"""The objective of a linear classifier over a whole split, and its gradient.   N rows, D features, C logits.

Compressed sparse rows in SciPy, a few blocks of rows at a time on all cores; the blocks do not depend on the number of cores, so
neither does the result.
"""

import itertools
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import scipy.sparse

from textpipe.data.columns import Column, Ids, Labels, Sparse
from textpipe.training import linear_losses
from textpipe.training.batching.rows import Rows
from textpipe.training.merged_columns import MergedColumns

NUM_BLOCKS = 8


class Objective:
    """Mean loss per row plus the model's penalty, as a function of all trainable weights in one vector [P].

    model: logits are the sum of feature @ kernel over model.kernels, one per field, + model.bias; these are the only
    trainable weights. Equal columns are merged, see merged_columns.py, unless there is an L1 penalty. A point holds the weights divided
    by `scale`, one number per column, which is small where the loss is steep: for the bias, which all rows share, above all. Without
    it, the search needs two to three times as many iterations.
    """

    def __init__(self, model: Any, rows: Rows):
        self.model, self.num_rows, self.num_logits = model, len(rows), model.num_logits
        self.kernels, self.bias = model.kernels, model.bias
        matrix = scipy.sparse.hstack(
            [csr(column, kernel.shape[0]) for column, kernel in zip(rows.inputs.values(), self.kernels, strict=True)],
            format="csr", dtype=np.float32,
        )  # fmt: skip
        self.merged = None if model.l1 else MergedColumns(matrix)
        matrix = self.merged.matrix if self.merged else matrix
        self.squares = np.asarray(matrix.multiply(matrix).sum(axis=0), np.float64).ravel()
        self.dim = matrix.shape[1]
        self.row_blocks = blocks(matrix)
        self.column_blocks = blocks(matrix.T.tocsr())
        self.signs = signs(rows.target, self.num_logits)
        self.row_weights = row_weights(rows.target, getattr(model, "class_weights", None))
        self.loss = loss_of(model, rows.target)
        self.pool = ThreadPoolExecutor(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None)
        self.penalize(model.l2)

    def matrix(self) -> scipy.sparse.csr_matrix:
        """The rows, with equal columns merged [N, D]; a copy."""
        return scipy.sparse.vstack([block for _, block in self.row_blocks], format="csr")

    def penalize(self, l2: float) -> None:
        """Sets the strength of the model's L2 penalty, and the scale for it. Points of another strength have another scale."""
        self.model.l2 = l2
        steepness = linear_losses.curvature(getattr(self.model, "row_loss", "logistic"), self.num_logits)
        typical = l2 + steepness * float(self.squares.mean()) if self.dim else 1.0
        steep = l2 + steepness * np.append(self.squares, self.num_rows)
        self.scale = np.sqrt((typical or 1.0) / np.maximum(steep, 1e-12)).clip(1e-3, 1e3).astype(np.float32)[:, None]
        if self.model.l1:  # a penalty of |weight| is not that of |weight / scale|
            self.scale = np.ones_like(self.scale)

    def start(self) -> np.ndarray:
        """The current weights of the model, [P] float32; if all are 0, the best bias alone, for the search is slow to find it."""
        kernels = np.concatenate([np.asarray(kernel.value) for kernel in self.kernels])
        bias = np.asarray(self.bias.value)
        if not kernels.any() and not bias.any():
            bias = self.best_bias()
        kernels = self.merged.merge(kernels) if self.merged else kernels
        return self.rescale(np.vstack([kernels, bias[None]]))

    def best_bias(self) -> np.ndarray:
        """The bias with the lowest loss if all kernels are 0: [C]."""
        weights = np.float32(1) if self.row_weights is None else self.row_weights
        present = (weights * (self.signs > 0)).sum(axis=0, dtype=np.float64)
        total = (weights * np.ones_like(self.signs)).sum(axis=0, dtype=np.float64)
        share = np.clip(present / total, 0.5 / self.num_rows, 1 - 0.5 / self.num_rows)
        if self.loss is linear_losses.squared_hinge:
            bias = 2 * share - 1
        elif self.loss is linear_losses.softmax:
            bias = np.log(share) - np.log(share).mean()
        else:
            bias = np.log(share / (1 - share))
        return bias.astype(np.float32)

    def weights(self, point: np.ndarray) -> np.ndarray:
        """The weights of a point, the bias last: [P] -> [D + 1, C]."""
        return point.reshape(self.dim + 1, self.num_logits) * self.scale

    def rescale(self, weights: np.ndarray) -> np.ndarray:
        """The point of these weights: [D + 1, C] -> [P]."""
        return (weights / self.scale).ravel()

    def assign(self, point: np.ndarray) -> None:
        """Assigns the weights of a point to the model."""
        weights = self.weights(point)
        kernels = self.merged.split(weights[:-1]) if self.merged else weights[:-1]
        first = 0
        for kernel in self.kernels:
            kernel.assign(kernels[first : first + kernel.shape[0]])
            first += kernel.shape[0]
        self.bias.assign(weights[-1])

    def l1(self) -> np.ndarray:
        """The strength of the L1 penalty of each entry of a point, per row [P]; 0 for the bias."""
        strengths = np.full((self.dim + 1, self.num_logits), self.model.l1 / self.num_rows, np.float32)
        strengths[-1] = 0
        return strengths.ravel()

    def steepest(self, gradient: np.ndarray) -> float:
        """The largest entry of the gradient with respect to the weights themselves: [P] -> its absolute value."""
        return float(np.abs(gradient.reshape(self.dim + 1, -1) / self.scale).max())

    def __call__(self, point: np.ndarray) -> tuple[float, np.ndarray]:
        """Value and gradient [P] float32; without the L1 penalty."""
        weights = self.weights(point)
        kernel, bias, l2 = np.ascontiguousarray(weights[:-1]), weights[-1], np.float32(self.model.l2)
        logit_gradients = np.empty((self.num_rows, self.num_logits), np.float32)

        def forward(block: tuple[slice, scipy.sparse.csr_matrix]) -> tuple[float, np.ndarray]:
            rows, matrix = block
            losses, gradients = self.loss(matrix @ kernel + bias, self.signs[rows])
            if self.row_weights is not None:
                losses, gradients = apply_row_weights(losses, gradients, self.row_weights[rows])
            logit_gradients[rows] = gradients
            return float(losses.sum(dtype=np.float64)), gradients.sum(axis=0, dtype=np.float64)

        gradient = np.empty_like(weights)

        def backward(block: tuple[slice, scipy.sparse.csr_matrix]) -> float:
            columns, matrix = block
            block_weights = kernel[columns]
            gradient[columns] = matrix @ logit_gradients + l2 * block_weights
            return float(np.square(block_weights).sum(dtype=np.float64))

        block_results = list(self.pool.map(forward, self.row_blocks))
        squares = sum(self.pool.map(backward, self.column_blocks))
        gradient[-1] = sum(bias_gradient for _, bias_gradient in block_results)
        gradient *= self.scale / np.float32(self.num_rows)
        value = (sum(loss for loss, _ in block_results) + float(l2) / 2 * squares) / self.num_rows
        return value, gradient.ravel()


def apply_row_weights(losses: np.ndarray, gradients: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Losses [N] or [N, C] and gradients [N, C], times the weights of rows [N, 1] or of entries [N, C]."""
    return losses * (weights if losses.ndim == 2 else weights[:, 0]), gradients * weights


def loss_of(model: Any, target: Column) -> linear_losses.Loss:
    """The loss of the model's rows: logistic or squared hinge; softmax for one label of more than two."""
    if getattr(model, "row_loss", "logistic") == "squared_hinge":
        return linear_losses.squared_hinge
    one_of_many = isinstance(target, Labels) and model.num_logits > 1
    return linear_losses.softmax if one_of_many else linear_losses.logistic


def signs(target: Column, num_logits: int) -> np.ndarray:
    """+1 for the classes of a row, -1 for the others: [N, C] float32; C = 1: the sign of class 1."""
    if not isinstance(target, Labels):
        return 2 * target.gather(np.arange(len(target)), 0).astype(np.float32) - 1
    labels = np.full((len(target), max(num_logits, 2)), -1, np.float32)
    labels[np.arange(len(target)), target.values] = 1
    return labels if num_logits > 1 else labels[:, 1:]


def row_weights(target: Column, class_weights: np.ndarray | None) -> np.ndarray | None:
    """The weights of rows [N, 1], or of the entries of several labels [N, C], from class weights as in losses.py."""
    if class_weights is None:
        return None
    if isinstance(target, Labels):
        return class_weights[1, target.values][:, None]
    return np.where(target.gather(np.arange(len(target)), 0) > 0, class_weights[1], class_weights[0])


def csr(column: Column, dim: int) -> scipy.sparse.csr_matrix:
    """A field of all rows [N, D]; ids as bags."""
    if isinstance(column, Ids):
        column = bag_rows(column, dim)
    if isinstance(column, Sparse):
        lengths = column.indices.lengths
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        all_rows = np.arange(len(column))
        flat_parts = [flat(part, all_rows) for part in (column.indices, column.values)]
        return scipy.sparse.csr_matrix((flat_parts[1], flat_parts[0], offsets), shape=(len(column), dim))
    return scipy.sparse.csr_matrix(column.gather(np.arange(len(column))).reshape(len(column), -1))


def num_entries(rows: Rows) -> int:
    """The number of entries of all fields, before equal columns are merged."""
    return sum(entries(column) for column in rows.inputs.values())


def entries(column: Column) -> int:
    """The number of entries of a field: of sparse rows those that are written, of ids the tokens, of other rows all."""
    if isinstance(column, Sparse):
        return int(column.indices.lengths.sum())
    if isinstance(column, Ids):
        return int(column.lengths.sum())
    return len(column) * int(np.asarray(column.gather(np.arange(1))).size)


def flat(rows: Ids, every: np.ndarray) -> np.ndarray:
    """The values of all rows, one after the other."""
    positions = rows.flat(every)
    if len(rows.values) == 1:
        return rows.values[0][positions]
    values = np.empty(len(positions), rows.values[0].dtype if rows.values else np.float32)
    for block, members in rows.by_block(every):
        inside = np.repeat(members, rows.lengths)
        values[inside] = rows.values[block][positions[inside]]
    return values


def blocks(matrix: scipy.sparse.csr_matrix) -> Sequence[tuple[slice, scipy.sparse.csr_matrix]]:
    """Consecutive rows of a matrix, in NUM_BLOCKS parts with about as many entries each."""
    ends = np.searchsorted(matrix.indptr, np.linspace(0, matrix.nnz, NUM_BLOCKS + 1)[1:-1])
    limits = np.unique([0, *ends, matrix.shape[0]])
    return [(slice(first, last), matrix[first:last]) for first, last in itertools.pairwise(limits)]


def bag_rows(ids: Ids, dim: int) -> Sparse:
    """Ids as sparse rows, like layers.bag.Linear: counts divided by the square root of the number of tokens."""
    lengths = ids.lengths
    columns = np.concatenate([np.zeros(0, np.int32), *ids.values])
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    values = np.repeat(1 / np.sqrt(np.maximum(lengths, 1)), lengths).astype(np.float32)
    matrix = scipy.sparse.csr_matrix((values, columns, offsets), shape=(len(ids), dim))
    matrix.sum_duplicates()
    return Sparse.from_scipy(matrix)
