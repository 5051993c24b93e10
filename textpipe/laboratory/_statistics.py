"""Means over seeds with t intervals, and paired differences.

An interval covers the mean of all seeds with 95 % probability if the figures are about normal (Student, 1908). Rows with the same seed
share data order and, where the shapes agree, initial weights, so differences are taken seed by seed.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """A mean with the limits of its interval; NaN limits for a single figure."""

    mean: float
    low: float
    high: float
    count: int

    @property
    def excludes_zero(self) -> bool:
        return self.low > 0 or self.high < 0

    def text(self, digits: int = 3) -> str:
        """0.812 [0.806, 0.818]"""
        if math.isnan(self.low):
            return f"{self.mean:,.{digits}f}"
        return f"{self.mean:,.{digits}f} [{self.low:,.{digits}f}, {self.high:,.{digits}f}]"


def mean_interval(values: Sequence[float], *, comparisons: int = 1) -> Interval:
    """The mean and its interval; `comparisons`: of how many simultaneous ones (Bonferroni)."""
    from scipy import stats

    figures = np.asarray(values, np.float64)
    if len(figures) == 0:
        return Interval(math.nan, math.nan, math.nan, 0)
    mean = float(figures.mean())
    if len(figures) == 1:
        return Interval(mean, math.nan, math.nan, 1)
    error = float(figures.std(ddof=1)) / math.sqrt(len(figures))
    half_width = error * float(stats.t.ppf(1 - (1 - LEVEL) / 2 / comparisons, len(figures) - 1))
    return Interval(mean, mean - half_width, mean + half_width, len(figures))


class Table:
    """The rows of an experiment: one for each run."""

    def __init__(self, rows: Sequence[Mapping[str, Any]], factors: Sequence[str], measures: Mapping[str, str]):
        self.rows, self.factors, self.measures = list(rows), tuple(factors), dict(measures)

    def levels(self, factor: str) -> list[Any]:
        """The values of a factor, in the order of their first row."""
        return list(dict.fromkeys(row[factor] for row in self.rows))

    def select(self, **where: Any) -> list[Mapping[str, Any]]:
        """The rows with these values."""
        return [row for row in self.rows if all(row[name] == value for name, value in where.items())]

    def values(self, measure: str, **where: Any) -> dict[Any, float]:
        """{seed: figure} of the rows with these values, without undefined figures."""
        return {row["seed"]: row[measure] for row in self.select(**where) if row[measure] is not None}

    def mean(self, measure: str, **where: Any) -> Interval:
        """The mean over seeds."""
        return mean_interval(list(self.values(measure, **where).values()))

    def reached(self, measure: str, **where: Any) -> str:
        """ "120 [98, 142]", or with the share of the runs that reached it: "260 in 2 of 3 runs"."""
        interval, runs = self.mean(measure, **where), len(self.select(**where))
        if not interval.count:
            return f"not reached in {runs} runs"
        return interval.text(0) + ("" if interval.count == runs else f" in {interval.count} of {runs} runs")

    def difference(
        self, measure: str, first: Mapping[str, Any], second: Mapping[str, Any], *, comparisons: int = 1
    ) -> Interval:
        """first - second, over the seeds that both have."""
        left, right = self.values(measure, **first), self.values(measure, **second)
        return mean_interval([left[seed] - right[seed] for seed in left if seed in right], comparisons=comparisons)

    def summary(self) -> list[dict[str, Any]]:
        """A row for each combination of factors: {factor: value, "runs": n, measure: [mean, low, high, defined figures]}."""
        keys = list(dict.fromkeys(tuple(row[factor] for factor in self.factors) for row in self.rows))
        lines = []
        for key in keys:
            where = dict(zip(self.factors, key, strict=True))
            line: dict[str, Any] = {**where, "runs": len(self.select(**where))}
            for measure in self.measures:
                interval = self.mean(measure, **where)
                figures = (interval.mean, interval.low, interval.high)
                limits = [None if math.isnan(figure) else figure for figure in figures]
                line[measure] = [*limits, interval.count] if interval.count else None
            lines.append(line)
        return lines


def verdict(interval: Interval, digits: int = 3) -> str:
    """ "a difference of 0.012 [0.004, 0.020]" or, if the interval contains zero, "no significant difference (...)"."""
    if interval.excludes_zero:
        return f"a difference of {interval.text(digits)}"
    return f"no significant difference ({interval.text(digits)})"
