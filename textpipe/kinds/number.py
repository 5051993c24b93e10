"""A number; an empty cell is a missing one."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    import tensorflow as tf

NOUN, PLURAL = "a number", "numbers"
FEATURE = "scalar"
OPTIONAL = True  # an empty cell is a value
BOOLEANS = {"true": 1.0, "false": 0.0}  # as JSON and Parquet files have them


class NumberProfile:
    """Mean, standard deviation and bounds of the numbers that are there."""

    def __init__(self) -> None:
        self.rows = self.missing = 0
        self.mean = self.squares = 0.0  # squares: of the distances from the mean, summed
        self.low, self.high = math.inf, -math.inf

    def add(self, rows: "np.ndarray", cells: "pa.Array") -> None:
        """Count numbers (Chan, Golub and LeVeque 1979: the sums of two parts from those of each)."""
        values = cells.drop_null().to_numpy()
        self.missing += cells.null_count
        if not len(values):
            return
        before, self.rows = self.rows, self.rows + len(values)
        mean = float(values.mean())
        step = mean - self.mean
        self.mean += step * len(values) / self.rows
        self.squares += float(((values - mean) ** 2).sum()) + step**2 * before * len(values) / self.rows
        self.low, self.high = min(self.low, float(values.min())), max(self.high, float(values.max()))

    def table(self) -> dict[str, Any]:
        """{"missing": 3, "mean": 2.5, "deviation": 1.1, "min": 1.0, "max": 9.0}; no figures of no numbers."""
        if not self.rows:
            return {"missing": self.missing}
        deviation = math.sqrt(self.squares / self.rows)
        figures = {"mean": self.mean, "deviation": deviation, "min": self.low, "max": self.high}
        return {"missing": self.missing, **{name: float(f"{value:.9g}") for name, value in figures.items()}}


profile = NumberProfile


def arrow() -> "pa.DataType":
    """float64"""
    import pyarrow as pa

    return pa.float64()


def spec() -> "tf.TensorSpec":
    """[B] float32; NaN is a missing number."""
    import tensorflow as tf

    return tf.TensorSpec([None], tf.float32)


def parse(cell: str) -> float | None:
    """ "3.5" -> 3.5, "true" -> 1, "" -> None; ValueError for what is no finite number."""
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
    """A column as callers send it: [N] float32, NaN where a number is missing."""
    import pyarrow.compute as pc
    import tensorflow as tf

    return tf.constant(pc.fill_null(column, math.nan).to_numpy(zero_copy_only=False), tf.float32)


def line(table: Mapping[str, Any]) -> str:
    """A profile for the terminal: mean, bounds, and how many are missing."""
    missing = f", {table['missing']:,} missing" if table["missing"] else ""
    if "mean" not in table:
        return f"no numbers{missing}"
    return (
        f"mean {table['mean']:g}, deviation {table['deviation']:g}, from {table['min']:g} to {table['max']:g}{missing}"
    )
