"""The encoder of pictures.   Shapes: B batch, H x W pixels, C channels, h x w regions, L = h * w, D states."""

from collections.abc import Iterator, Mapping
from typing import Any

import keras
from keras import ops

from textpipe.layers.dropout import Dropout
from textpipe.layers.image_convolution import ImageConvolution, ResidualBlock
from textpipe.layers.normalization import LayerNorm
from textpipe.layers.picture_shift import PictureShift
from textpipe.nets.encoders import Encoder

DARKEST, BRIGHTEST = 1, 255  # values of a pixel; 0 everywhere is no picture
FIRST_ID, NUM_IDS = 4, 1 << 20  # of region_ids, above the special tokens


class ImageEncoder(Encoder):
    """Patches, then stages of residual blocks, the first convolution of each halving the grid; learned positions at the end.

    grid: (h, w). size: a size table {"height", "width", "channels"}.
    """

    def __init__(self, config: Any, size: Mapping[str, Any], *, seed: int, **options: Any) -> None:
        super().__init__(config, config.filters[-1], seed=seed, **options)
        seeds, rows, columns = self.seeds, size["height"], size["width"]
        self.stages, self.blocks, channels = [], [], size["channels"]
        for index, filters in enumerate(config.filters):
            width, stride = (3, 2) if index else (config.patch, config.patch)
            self.stages.append(
                ImageConvolution(channels, filters, width, stride=stride, seeds=seeds, name=f"stage_{index}")
            )
            self.blocks.append(
                [
                    ResidualBlock(filters, config.activation, seeds=seeds, name=f"block_{index}_{number}")
                    for number in range(config.blocks)
                ]
            )
            rows, columns, channels = -(-rows // stride), -(-columns // stride), filters
        self.grid = rows, columns
        self.norm = LayerNorm(channels, name="norm")
        self.drop = Dropout(config.dropout, seed=next(seeds), name="drop")
        self.shift = PictureShift(config.shift, seed=next(seeds) if config.shift else 0, name="shift")

    def sublayers(self) -> Iterator[keras.layers.Layer]:
        for stage, blocks in zip(self.stages, self.blocks, strict=True):
            yield from (stage, *blocks)
        yield from (self.norm, self.drop, self.shift)

    def build(self, input_shape: Any = None) -> None:
        rows, columns = self.grid
        normal = keras.initializers.RandomNormal(stddev=0.1, seed=next(self.seeds))
        self.positions = self.add_weight(shape=(rows * columns, self.state_size), initializer=normal, name="positions")
        super().build()

    def call(self, pixels: Any, training: bool = False) -> tuple[Any, Any]:
        """[B, H, W, C] uint8 -> states [B, L, D], mask [B, L]: False everywhere for no picture."""
        values = ops.cast(self.shift(pixels, training=training), self.compute_dtype)
        states = (values - DARKEST) * (2 / (BRIGHTEST - DARKEST)) - 1  # -1 to 1
        for stage, blocks in zip(self.stages, self.blocks, strict=True):
            states = stage(states)
            for block in blocks:
                states = block(states)
        rows, columns = self.grid
        states = self.norm(ops.reshape(states, (-1, rows * columns, self.state_size))) + self.positions
        present = ops.any(ops.not_equal(pixels, 0), axis=(1, 2, 3))[:, None]  # [B, 1]
        mask = ops.broadcast_to(present, (ops.shape(present)[0], rows * columns))
        return self.drop(states, training=training), mask

    def region_ids(self, pixels: Any) -> Any:
        """Numbers in place of token ids, for decoders: [B, H, W, C] -> [B, L] int32; 0 for no picture.

        Each is the picture's sum of pixels and the region's position, so that draws of a sampling decoder differ between pictures.
        """
        total = ops.sum(ops.cast(pixels, "int32"), axis=(1, 2, 3))[:, None]  # [B, 1]
        rows, columns = self.grid
        ids = FIRST_ID + (total + ops.arange(rows * columns, dtype="int32")[None]) % NUM_IDS
        return ops.where(total > 0, ids, 0)
