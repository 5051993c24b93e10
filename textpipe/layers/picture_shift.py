"""Pictures moved at random in training.   Shapes: B batch, H x W pixels, C channels."""

from typing import Any

import keras
from keras import ops


class PictureShift(keras.layers.Layer):
    """Moves each picture of a batch by up to `pixels` along each axis, in training; the pixels at its edges are repeated outwards.

    [B, H, W, C] -> the same. A form of augmentation (Krizhevsky et al. 2012, section 4.1). seed: int; the generator's state is a
    variable, so checkpoints contain it. 0 moves nothing and has no generator.

    [[1, 2, 3]] moved by 1 to the right -> [[1, 1, 2]]
    """

    def __init__(self, pixels: int, *, seed: int, **options: Any) -> None:
        super().__init__(**options)
        self.pixels = pixels
        self.generator = keras.random.SeedGenerator(seed) if pixels else None

    def build(self, input_shape: Any = None) -> None:
        self.built = True

    def call(self, pictures: Any, training: bool = False) -> Any:
        if not training or not self.pixels:
            return pictures
        batch, height, width, channels = ops.shape(pictures)
        moves = keras.random.randint((batch, 2), -self.pixels, self.pixels + 1, dtype="int32", seed=self.generator)
        rows = sources(moves[:, :1], height)  # [B, H]
        columns = sources(moves[:, 1:], width)  # [B, W]
        at = ops.arange(batch, dtype="int32")[:, None] * height + rows  # of all rows of the batch
        flat = at[:, :, None] * width + columns[:, None, :]  # [B, H, W]
        return ops.take(ops.reshape(pictures, (-1, channels)), flat, axis=0)


def sources(moves: Any, size: int) -> Any:
    """The place that each place of an axis takes its pixel from: [B, 1] -> [B, size]."""
    return ops.clip(ops.arange(size, dtype="int32")[None] - moves, 0, size - 1)
