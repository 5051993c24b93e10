"""Convolution over a sequence.   Shapes: B batch, T tokens, D inputs, K kernel size, F filters."""

from collections.abc import Iterator, Sequence
from typing import Any

import keras
from keras import ops


class Convolution(keras.layers.Layer):
    """Filters of several sizes, their outputs concatenated (Kim 2014, equation 2): [B, T, D] -> [B, T, sizes * F].

    At position t, a filter of size K reads the inputs from t - (K - 1) // 2 to t + K // 2, zeros beyond the ends. Each size
    is one matrix product over all positions. Inputs at padding must be zero; a row may then be padded to any width.
    """

    def __init__(
        self, inputs: int, filters: int, kernel_sizes: Sequence[int], *, seeds: Iterator[int], **options: Any
    ) -> None:
        super().__init__(**options)
        self.inputs, self.filters, self.kernel_sizes = inputs, filters, tuple(kernel_sizes)
        self.initializers = [keras.initializers.GlorotUniform(seed=next(seeds)) for _ in self.kernel_sizes]

    @property
    def outputs(self) -> int:
        return self.filters * len(self.kernel_sizes)

    def build(self, input_shape: Any = None) -> None:
        self.kernels = [
            self.add_weight(shape=(size * self.inputs, self.filters), initializer=initializer, name=f"kernel_{size}")
            for size, initializer in zip(self.kernel_sizes, self.initializers, strict=True)
        ]
        self.bias = self.add_weight(shape=(self.outputs,), initializer="zeros", name="bias")
        self.built = True

    def call(self, inputs: Any) -> Any:
        width, widest = ops.shape(inputs)[1], max(self.kernel_sizes)
        left = (widest - 1) // 2
        padded = ops.pad(inputs, ((0, 0), (left, widest // 2), (0, 0)))
        # windows[t] holds the inputs from t - left to t + widest // 2; the window of a smaller filter is a slice of it.
        windows = ops.concatenate([padded[:, offset : offset + width] for offset in range(widest)], axis=-1)
        outputs = []
        for size, kernel in zip(self.kernel_sizes, self.kernels, strict=True):
            first = (left - (size - 1) // 2) * self.inputs
            outputs.append(ops.matmul(windows[..., first : first + size * self.inputs], kernel))  # [B, T, F]
        return ops.concatenate(outputs, axis=-1) + self.bias
