"""Confidence intervals by resampling rows: the percentile bootstrap (Efron 1979; for BLEU, Koehn 2004)."""

from collections.abc import Callable
from typing import Any

import numpy as np

LEVEL = 0.95


def confidence_interval(
    statistics: np.ndarray, figure: Callable[[np.ndarray], float], *, resamples: int = 1000, seed: int = 1
) -> list[float]:
    """[low, high], the 95 % interval of figure(sum of the rows' statistics).

    statistics: [N, S], what each row adds to the sums the figure is made of; figure takes such a sum, [S]. A row is
    scored once and drawn many times: a resample costs one weighted sum, so 1,000 of them take milliseconds.

    interval(correct[:, None], lambda total: total[0] / len(correct)) -> [0.81, 0.87]
    """
    rows = len(statistics)
    if not rows:
        return [float("nan"), float("nan")]
    figures = [figure(total) for total in resampled_sums(np.asarray(statistics, np.float64), resamples, seed)]
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(figures, [tail, 1 - tail])
    return [float(low), float(high)]


def resampled_sums(statistics: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """Sums over rows drawn with replacement: [N, S] -> [R, S]."""
    draws = resample_weights(len(statistics), resamples, seed)
    return np.stack([row @ statistics for row in draws])


def resample_weights(rows: int, resamples: int, seed: int) -> Any:
    """How often each row is drawn, one resample after another: R times [N]."""
    generator = np.random.default_rng(seed)
    for _ in range(resamples):
        yield np.bincount(generator.integers(rows, size=rows), minlength=rows).astype(np.float64)
