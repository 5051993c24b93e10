"""The objective of a linear classifier over a whole split, and its gradient.   N rows, D features, C logits."""

import numpy as np
import tensorflow as tf

from textpipe.data.columns import Column, Ids, Labels, Sparse
from textpipe.training import losses
from textpipe.training.batching.rows import Rows


class Objective:
    """Mean loss per row plus the model's penalty, as a function of all trainable weights in one vector [P].

    model: logits are the sum of feature @ kernel over model.kernels, one per field, + model.bias; these are the only
    trainable weights. Products use compressed sparse rows: including the compression, they take half the time of those
    of a SparseTensor.
    """

    def __init__(self, model, rows: Rows):
        assert isinstance(rows.target, Labels)
        self.model, self.num_rows = model, len(rows)
        self.kernels, self.bias = model.kernels, model.bias
        self.blocks = [
            Block(rows.inputs[name], kernel.shape[0]) for name, kernel in zip(rows.inputs, self.kernels, strict=True)
        ]
        self.labels = tf.constant(rows.target.values)
        self.penalize(model.l2)

    def penalize(self, l2: float) -> None:
        """Sets the strength of the model's L2 penalty."""
        self.model.l2 = l2
        self.graph = tf.function(self.gradient, autograph=False)

    def start(self) -> np.ndarray:
        """The current weights of the model, [P] float32."""
        return np.concatenate([np.asarray(weight.value).ravel() for weight in (*self.kernels, self.bias)])

    def assign(self, point: np.ndarray) -> None:
        """Assigns these weights to the model."""
        first = 0
        for weight in (*self.kernels, self.bias):
            last = first + int(np.prod(weight.shape))
            weight.assign(point[first:last].reshape(weight.shape))
            first = last

    def __call__(self, point: np.ndarray) -> tuple[float, np.ndarray]:
        """Value and gradient [P] float32."""
        self.assign(point)
        value, *gradients = self.graph()
        return float(value), np.concatenate([gradient.numpy().ravel() for gradient in gradients])

    def gradient(self):
        weights = [weight.value for weight in (*self.kernels, self.bias)]
        *kernels, bias = [tf.convert_to_tensor(weight) for weight in weights]
        with tf.GradientTape() as tape:
            tape.watch([*kernels, bias])
            first, *others = [block.product(kernel) for block, kernel in zip(self.blocks, kernels, strict=True)]
            logits = first  # [N, C]
            for other in others:
                logits += other
            logits += bias
            value = losses.classification_sums(logits, self.labels)["loss"] / self.num_rows
        loss_gradients = tape.gradient(value, [*kernels, bias])
        with tf.GradientTape() as tape:
            penalty = self.model.penalty() / self.num_rows
        penalty_gradients = tape.gradient(penalty, weights)
        return value + penalty, *(
            loss_gradient if penalty_gradient is None else loss_gradient + penalty_gradient
            for loss_gradient, penalty_gradient in zip(loss_gradients, penalty_gradients, strict=True)
        )


class Block:
    """A field of all rows, prepared for products with its kernel."""

    def __init__(self, column: Column, dim: int):
        if isinstance(column, Ids):
            column = bag_rows(column, dim)
        self.matrix = column.gather(np.arange(len(column)))
        self.sparse = isinstance(self.matrix, tf.SparseTensor)
        if self.sparse:
            self.transposed = tf.sparse.reorder(tf.sparse.transpose(self.matrix))
        else:
            self.matrix = tf.constant(self.matrix.reshape(len(column), -1))

    def product(self, kernel: tf.Tensor) -> tf.Tensor:
        """feature @ kernel: [D, C] -> [N, C]."""
        return self.compressed_product(kernel) if self.sparse else tf.matmul(self.matrix, kernel)

    @tf.custom_gradient
    def compressed_product(self, kernel):
        logits = tf.raw_ops.SparseMatrixMatMul(a=to_csr(self.matrix), b=kernel)

        def gradient(logit_gradients):
            return tf.raw_ops.SparseMatrixMatMul(a=to_csr(self.transposed), b=logit_gradients)

        return logits, gradient


def to_csr(batch: tf.SparseTensor):
    """A SparseTensor in canonical order as compressed sparse rows."""
    return tf.raw_ops.SparseTensorToCSRSparseMatrix(
        indices=batch.indices, values=batch.values, dense_shape=batch.dense_shape
    )


def bag_rows(ids, dim: int) -> Sparse:
    """Ids as sparse rows, like layers.bag.Linear: counts divided by the square root of the number of tokens."""
    import scipy.sparse

    lengths = ids.lengths
    columns = np.concatenate([np.zeros(0, np.int32), *ids.values])
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    values = np.repeat(1 / np.sqrt(np.maximum(lengths, 1)), lengths).astype(np.float32)
    matrix = scipy.sparse.csr_matrix((values, columns, offsets), shape=(len(ids), dim))
    matrix.sum_duplicates()
    return Sparse.from_scipy(matrix)
