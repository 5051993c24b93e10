"""Percentile bootstrap confidence intervals (Efron 1979; for BLEU, Koehn 2004).   N rows, S statistics, R resamples."""

from collections.abc import Callable
from typing import Any

import numpy as np

LEVEL = 0.95


def confidence_interval(
    statistics: np.ndarray, metric: Callable[[np.ndarray], float], *, resamples: int = 1000, seed: int = 1
) -> list[float]:
    """Return [low, high], the 95 % interval of metric(sum of the rows' statistics).

    statistics: [N, S], each row's contribution to the sums; metric maps a sum [S] to a number. Each row is scored
    once, so a resample is only a weighted sum and 1,000 of them take milliseconds.

    interval(correct[:, None], lambda total: total[0] / len(correct)) -> [0.81, 0.87]
    """
    rows = len(statistics)
    if not rows:
        return [float("nan"), float("nan")]
    values = [metric(total) for total in resampled_sums(np.asarray(statistics, np.float64), resamples, seed)]
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return [float(low), float(high)]


def resampled_sums(statistics: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """Return sums over rows drawn with replacement: [N, S] -> [R, S]."""
    draws = resample_weights(len(statistics), resamples, seed)
    return np.stack([row @ statistics for row in draws])


def resample_weights(rows: int, resamples: int, seed: int) -> Any:
    """Yield how often each row is drawn, [N], for each of R resamples."""
    generator = np.random.default_rng(seed)
    for _ in range(resamples):
        yield np.bincount(generator.integers(rows, size=rows), minlength=rows).astype(np.float64)
