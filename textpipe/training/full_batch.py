"""The objective of a linear classifier over a whole split, and its gradient.   N rows, D features, C logits."""

import numpy as np
import tensorflow as tf

from textpipe.columns import Labels, Sparse
from textpipe.training import losses
from textpipe.training.rows import Rows


class Objective:
    """Mean loss per row, with the model's penalty, as a function of all its trainable weights in one vector [P].

    model: logits are features @ model.linear.kernel + model.bias, the only trainable weights. The products are those of
    compressed rows, which even with the compression take half the time of a SparseTensor's.
    """

    def __init__(self, model, rows: Rows):
        assert isinstance(rows.target, Labels)
        self.model, self.num_rows = model, len(rows)
        self.kernel, self.bias = model.linear.kernel, model.bias
        (column,) = rows.inputs.values()
        source = column if isinstance(column, Sparse) else bags(column, self.kernel.shape[0])
        batch = source.gather(np.arange(len(rows)))
        self.matrix, self.transposed = batch, tf.sparse.reorder(tf.sparse.transpose(batch))
        self.labels = tf.constant(rows.target.values)
        self.penalize(model.l2)

    def penalize(self, l2: float) -> None:
        """Sets the strength of the model's L2 penalty."""
        self.model.l2 = l2
        self.graph = tf.function(self.gradient, autograph=False)

    def start(self) -> np.ndarray:
        """The model's weights now, [P] float32."""
        return np.concatenate([np.asarray(weight.value).ravel() for weight in (self.kernel, self.bias)])

    def assign(self, point: np.ndarray) -> None:
        """Gives the model these weights."""
        cut = self.kernel.shape[0] * self.kernel.shape[1]
        self.kernel.assign(point[:cut].reshape(self.kernel.shape))
        self.bias.assign(point[cut:])

    def __call__(self, point: np.ndarray) -> tuple[float, np.ndarray]:
        """Value and gradient [P] float32."""
        self.assign(point)
        value, kernel, bias = self.graph()
        return float(value), np.concatenate([kernel.numpy().ravel(), bias.numpy()])

    def gradient(self):
        kernel, bias = tf.convert_to_tensor(self.kernel.value), tf.convert_to_tensor(self.bias.value)
        with tf.GradientTape() as tape:
            tape.watch([kernel, bias])
            logits = self.product(kernel) + bias  # [N, C]
            value = losses.of_classes(logits, self.labels)["loss"] / self.num_rows
        slopes = tape.gradient(value, [kernel, bias])
        weights = [self.kernel.value, self.bias.value]
        with tf.GradientTape() as tape:
            penalty = self.model.penalty() / self.num_rows
        extra = tape.gradient(penalty, weights)
        return value + penalty, *(
            one if other is None else one + other for one, other in zip(slopes, extra, strict=True)
        )

    @tf.custom_gradient
    def product(self, kernel):
        """features @ kernel: [D, C] -> [N, C]."""
        logits = tf.raw_ops.SparseMatrixMatMul(a=compressed(self.matrix), b=kernel)

        def gradient(slopes):
            return tf.raw_ops.SparseMatrixMatMul(a=compressed(self.transposed), b=slopes)

        return logits, gradient


def compressed(batch: tf.SparseTensor):
    """The compressed sparse rows of a SparseTensor in canonical order."""
    return tf.raw_ops.SparseTensorToCSRSparseMatrix(
        indices=batch.indices, values=batch.values, dense_shape=batch.dense_shape
    )


def bags(ids, dim: int) -> Sparse:
    """Ids as the sparse rows that layers.bag.Linear makes of them: counts over the root of the number of tokens."""
    import scipy.sparse

    lengths = ids.lengths
    columns = np.concatenate([np.zeros(0, np.int32), *ids.values])
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    values = np.repeat(1 / np.sqrt(np.maximum(lengths, 1)), lengths).astype(np.float32)
    matrix = scipy.sparse.csr_matrix((values, columns, offsets), shape=(len(ids), dim))
    matrix.sum_duplicates()
    return Sparse.from_scipy(matrix)
