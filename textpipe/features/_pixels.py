"""Pictures as pixels, in the graph and as an Arrow column.   Shapes: N rows, H x W pixels, C channels."""

from collections import Counter
from functools import cached_property
from typing import Any

import pyarrow as pa
import tensorflow as tf

from textpipe.data import arrow, image_ops


class Pixels(tf.Module):
    """Pictures decoded and resized; 0 everywhere stands for no picture."""

    def __init__(self, config: Any):
        super().__init__(name="pixels")
        self.options = lambda: config

    @property
    def size(self) -> dict:
        """The size table of features.json."""
        config = self.options()
        return {"kind": "pixels", "height": config.height, "width": config.width, "channels": config.channels}

    def __call__(self, contents: tf.Tensor) -> tf.Tensor:
        """[N] string -> [N, H, W, C] uint8."""
        config = self.options()
        return image_ops.to_pixels(contents, height=config.height, width=config.width, channels=config.channels)

    @cached_property
    def traced(self) -> Any:
        """The feature as a traced function."""
        return arrow.trace_text_function(self.__call__)

    def schema(self, name: str) -> list[pa.Field]:
        """name: fixed_size_binary, H * W * C bytes."""
        config = self.options()
        return [pa.field(name, pa.binary(config.height * config.width * config.channels))]

    def arrays(self, contents: tf.Tensor, stats: Counter) -> list[pa.Array]:
        """[N] string -> the column of `schema`; adds the number of pictures to stats."""
        pixels = self.traced(contents).numpy()
        stats["pictures"] += len(pixels)
        ((field),) = self.schema("pixels")
        return [pa.FixedSizeBinaryArray.from_buffers(field.type, len(pixels), [None, pa.py_buffer(pixels.tobytes())])]
