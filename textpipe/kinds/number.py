"""A number; an empty cell is a missing value."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    import tensorflow as tf

NOUN, PLURAL = "a number", "numbers"
EXAMPLE = 3  # a cell, in a model card
FEATURE = "scalar"
OPTIONAL = True  # an empty cell is a value
BOOLEANS = {"true": 1.0, "false": 0.0}  # booleans of JSON and Parquet files


class NumberProfile:
    """Mean, standard deviation, minimum and maximum of the numbers that are not missing."""

    def __init__(self) -> None:
        self.rows = self.missing = 0
        self.mean = self.squares = 0.0  # squares: sum of squared deviations from the mean
        self.low, self.high = math.inf, -math.inf

    def add(self, rows: "np.ndarray", cells: "pa.Array") -> None:
        """Add a batch of numbers, merging means and squares pairwise (Chan, Golub and LeVeque 1979)."""
        values = cells.drop_null().to_numpy()
        self.missing += cells.null_count
        if not len(values):
            return
        previous, self.rows = self.rows, self.rows + len(values)
        mean = float(values.mean())
        delta = mean - self.mean
        self.mean += delta * len(values) / self.rows
        self.squares += float(((values - mean) ** 2).sum()) + delta**2 * previous * len(values) / self.rows
        self.low, self.high = min(self.low, float(values.min())), max(self.high, float(values.max()))

    def table(self) -> dict[str, Any]:
        """{"missing": 3, "mean": 2.5, "deviation": 1.1, "min": 1.0, "max": 9.0}; only "missing" without numbers."""
        if not self.rows:
            return {"missing": self.missing}
        deviation = math.sqrt(self.squares / self.rows)
        statistics = {"mean": self.mean, "deviation": deviation, "min": self.low, "max": self.high}
        return {"missing": self.missing, **{name: float(f"{value:.9g}") for name, value in statistics.items()}}


profile = NumberProfile


def arrow() -> "pa.DataType":
    """float64"""
    import pyarrow as pa

    return pa.float64()


def spec() -> "tf.TensorSpec":
    """[B] float32; NaN is a missing value."""
    import tensorflow as tf

    return tf.TensorSpec([None], tf.float32)


def parse(cell: str) -> float | None:
    """ "3.5" -> 3.5, "true" -> 1, "" -> None. Raises ValueError for other text and non-finite numbers."""
    text = cell.strip()
    if not text:
        return None
    if text in BOOLEANS:
        return BOOLEANS[text]
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or "_" in text:
        raise ValueError(f"{text[:40]!r} is not a finite number")
    return value


def tensor(column: "pa.Array") -> "tf.Tensor":
    """Convert a column to the tensor that callers send: [N] float32, NaN for missing values."""
    import pyarrow.compute as pc
    import tensorflow as tf

    return tf.constant(pc.fill_null(column, math.nan).to_numpy(zero_copy_only=False), tf.float32)


def line(table: Mapping[str, Any]) -> str:
    """Summarize a profile for the terminal: mean, deviation, range, and number of missing values."""
    missing = f", {table['missing']:,} missing" if table["missing"] else ""
    if "mean" not in table:
        return f"no numbers{missing}"
    return (
        f"mean {table['mean']:g}, deviation {table['deviation']:g}, from {table['min']:g} to {table['max']:g}{missing}"
    )
