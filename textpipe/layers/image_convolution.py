"""Convolutions over pictures and grids of regions.   Shapes: B batch, H x W positions, C channels, K outputs."""

from collections.abc import Iterator
from typing import Any

import keras
from keras import ops

from textpipe.layers.normalization import LayerNorm


class ImageConvolution(keras.layers.Layer):
    """[B, H, W, C] -> [B, ceil(H / stride), ceil(W / stride), K], padded with zeros; He initialization (He et al. 2015)."""

    def __init__(self, inputs: int, outputs: int, size: int, *, stride: int = 1, seeds: Iterator[int], **options: Any):
        super().__init__(**options)
        self.shape, self.stride, self.seeds = (size, size, inputs, outputs), stride, seeds

    def build(self, input_shape: Any = None) -> None:
        normal = keras.initializers.HeNormal(seed=next(self.seeds))
        self.kernel = self.add_weight(shape=self.shape, initializer=normal, name="kernel")
        self.bias = self.add_weight(shape=self.shape[-1:], initializer="zeros", name="bias")
        self.built = True

    def call(self, inputs: Any) -> Any:
        convolved = ops.conv(inputs, self.kernel, strides=self.stride, padding="same", data_format="channels_last")
        return convolved + self.bias


class ResidualBlock(keras.layers.Layer):
    """x + conv(activation(conv(norm(x)))), both 3 x 3 (He et al. 2016, "pre-activation"): [B, H, W, C] -> the same."""

    def __init__(self, channels: int, activation: str, *, seeds: Iterator[int], **options: Any):
        super().__init__(**options)
        self.norm = LayerNorm(channels, name="norm")
        self.first = ImageConvolution(channels, channels, 3, seeds=seeds, name="first")
        self.second = ImageConvolution(channels, channels, 3, seeds=seeds, name="second")
        self.activation = keras.activations.get(activation)

    def build(self, input_shape: Any = None) -> None:
        for layer in (self.norm, self.first, self.second):
            layer.build()
        self.built = True

    def call(self, inputs: Any) -> Any:
        return inputs + self.second(self.activation(self.first(self.norm(inputs))))
