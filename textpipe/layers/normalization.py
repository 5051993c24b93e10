"""Layer normalization (Ba et al. 2016) and softmax in few passes over their inputs.   Shapes: N tokens, D size, K outputs."""

import keras
from keras import ops

EPSILON = 1e-6


class LayerNorm(keras.layers.Layer):
    """gain * (x - mean) / sqrt(variance + epsilon) + shift over the last axis, equations 3 and 4.

    Before a product with a matrix, `normalize` and `fold` replace two passes over all tokens by two small products with that
    matrix: (gain * n + shift) @ W = n @ (gain * W) + shift @ W.
    """

    def __init__(self, size: int, **kwargs):
        super().__init__(**kwargs)
        self.size = size

    def build(self, input_shape=None):
        self.gain = self.add_weight(shape=(self.size,), initializer="ones", name="gain")
        self.shift = self.add_weight(shape=(self.size,), initializer="zeros", name="shift")
        self.built = True

    def call(self, inputs):
        """[..., D] -> [..., D]"""
        return self.normalize(inputs) * self.gain + self.shift

    def normalize(self, inputs):
        """Normalize each row to mean 0 and variance 1, without gain and shift."""
        return normalize(inputs)

    def fold(self, kernel, bias):
        """Kernel [D, K] and bias [K] with gain and shift folded in, to be applied to normalize(x)."""
        return self.gain[:, None] * kernel, bias + ops.matmul(self.shift[None], kernel)[0]


@ops.custom_gradient
def normalize(inputs):
    """(x - mean) / sqrt(variance + epsilon) over the last axis; its gradient needs only the result."""
    centred = inputs - ops.mean(inputs, axis=-1, keepdims=True)
    scale = ops.rsqrt(ops.mean(ops.square(centred), axis=-1, keepdims=True) + EPSILON)
    outputs = centred * scale

    def gradient(upstream):
        projection = ops.mean(upstream * outputs, axis=-1, keepdims=True)
        return (upstream - ops.mean(upstream, axis=-1, keepdims=True) - outputs * projection) * scale

    return outputs, gradient


def plain_softmax(scores):
    """Softmax as a single operation, for inference.

    ops.softmax would warn when one-token sources give it an axis of length 1.
    """
    return ops.softmax(scores) if scores.shape[-1] != 1 else ops.ones_like(scores)


@ops.custom_gradient
def softmax(scores):
    """exp(s) / sum(exp(s)) over the last axis; its gradient needs only the result."""
    weights = plain_softmax(scores)

    def gradient(upstream):
        return weights * (upstream - ops.sum(upstream * weights, axis=-1, keepdims=True))

    return weights, gradient
