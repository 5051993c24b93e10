"""Standardized numbers, in the graph and as an Arrow column.   Shapes: N rows."""

from collections import Counter

import pyarrow as pa
import tensorflow as tf


class Scalar(tf.Module):
    """(value - mean) / deviation; a missing value counts as the mean."""

    def __init__(self, mean: float, deviation: float):
        super().__init__(name="scalar")
        self.mean, self.deviation = mean, deviation

    @property
    def size(self) -> dict:
        """The size table of features.json."""
        return {"kind": "scalar", "mean": self.mean, "deviation": self.deviation}

    def __call__(self, values: tf.Tensor) -> tf.Tensor:
        """[N] float32, NaN for missing values -> [N] float32."""
        return tf.where(tf.math.is_nan(values), 0.0, (values - self.mean) / self.deviation)

    def schema(self, name: str) -> list[pa.Field]:
        """name: float32."""
        return [pa.field(name, pa.float32())]

    def arrays(self, values: tf.Tensor, stats: Counter) -> list[pa.Array]:
        """[N] float32 -> the column of `schema`; adds the number of missing values to stats."""
        stats["missing"] += int(tf.math.count_nonzero(tf.math.is_nan(values)))
        return [pa.array(self(values).numpy())]
