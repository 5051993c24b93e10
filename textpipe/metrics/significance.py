"""Paired significance tests between systems on the same rows.   N rows, R resamples, S statistics, K systems.

Paired bootstrap (Koehn 2004): the same rows are drawn with replacement for both systems. Approximate randomization
(Riezler and Maxwell 2005): the two answers of each row are swapped at random. McNemar's exact test: compares the numbers
of rows that only one of the systems answers correctly. All p-values are two-sided.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from textpipe.metrics import bootstrap
from textpipe.metrics.corpus import Measure

LEVEL = bootstrap.LEVEL
BLOCK_FLIPS = 64_000_000  # random flips generated at once
TOLERANCE = 1e-9  # rounding differences between summation orders are smaller

MetricFunction = Callable[[np.ndarray], np.ndarray]


def bootstrap_values(measure: Measure, *, resamples: int, seed: int) -> np.ndarray:
    """Return each system's values on the same R resamples of the rows, [K, R]; draws as sacrebleu with the same seed."""
    return np.stack([measure.compute(bootstrap.resampled_sums(rows, resamples, seed)) for rows in measure.statistics])


def percentile_interval(values: np.ndarray) -> list[float]:
    """Return [low, high], the percentile interval of resampled values [R]."""
    tail = (1 - LEVEL) / 2
    return [float(bound) for bound in np.quantile(values, [tail, 1 - tail])]


def bootstrap_p(differences: np.ndarray, observed: float) -> float:
    """Return the p-value of the observed difference, given the differences [R] of the resamples.

    Shifted by the observed difference, the resampled ones follow the null distribution, so those count that are at most
    0 or at least twice the observed difference (Berg-Kirkpatrick et al. 2012, two-sided). sacrebleu's paired-bs is
    one-sided and gives about half of it.
    """
    extreme = np.abs(differences - observed) >= abs(observed) - TOLERANCE
    return float((extreme.sum() + 1) / (len(differences) + 1))


def randomization_p(first: np.ndarray, second: np.ndarray, compute: MetricFunction, *, trials: int, seed: int) -> float:
    """Return the p-value of the difference under random swaps of answers: first, second [N, S].

    If there are at most `trials` of the 2**N possible swaps, all are tried and the p-value is exact.
    """
    observed = abs(float(np.diff(compute(np.stack([first.sum(axis=0), second.sum(axis=0)])))[0]))
    rows = len(first)
    exact = rows < 63 and 2**rows <= trials
    extreme = num_trials = 0
    for unswapped in all_flips(rows) if exact else random_flips(rows, trials, seed):  # [R, N], true: not swapped
        keep, swap = unswapped.astype(np.float64), (~unswapped).astype(np.float64)
        first_values, second_values = compute(keep @ first + swap @ second), compute(swap @ first + keep @ second)
        extreme += int((np.abs(first_values - second_values) >= observed - TOLERANCE).sum())
        num_trials += len(unswapped)
    return extreme / num_trials if exact else (extreme + 1) / (num_trials + 1)


def random_flips(rows: int, trials: int, seed: int) -> Iterator[np.ndarray]:
    """Yield random flips for every row of every trial, in blocks [R, N]; as sacrebleu with the same seed."""
    generator = np.random.default_rng(seed)
    block = max(1, BLOCK_FLIPS // max(rows, 1))
    for start in range(0, trials, block):
        yield generator.integers(2, size=(min(block, trials - start), rows), dtype=bool)


def all_flips(rows: int) -> Iterator[np.ndarray]:
    """Yield all 2**N combinations of flips, [2**N, N]."""
    yield (np.arange(2**rows)[:, None] >> np.arange(rows)[None]) % 2 == 0


def mcnemar_p(only_first: int, only_second: int) -> float:
    """McNemar's exact test, from the numbers of rows that only one system answers correctly.

    mcnemar_p(1, 8) -> .0391
    """
    rows = only_first + only_second
    tail = sum(math.comb(rows, count) for count in range(min(only_first, only_second) + 1))
    return min(1.0, float(2 * tail / 2**rows))


def compare(measure: Measure, *, resamples: int, trials: int, seed: int) -> tuple[list[dict[str, Any]], np.ndarray]:
    """Return each system's value and its difference from the first system's, and the resampled values [K, R].

    [{"value", "interval"},
     {"value", "interval", "difference", "difference_interval", "p_bootstrap", "p_randomization"}]
    """
    samples = bootstrap_values(measure, resamples=resamples, seed=seed)
    values = measure.compute(np.stack([rows.sum(axis=0) for rows in measure.statistics]))  # [K]
    table: list[dict[str, Any]] = []
    for system, rows in enumerate(measure.statistics):
        entry: dict[str, Any] = {"value": float(values[system]), "interval": percentile_interval(samples[system])}
        if system:
            difference, differences = float(values[system] - values[0]), samples[system] - samples[0]
            entry |= {
                "difference": difference,
                "difference_interval": percentile_interval(differences),
                "p_bootstrap": bootstrap_p(differences, difference),
                "p_randomization": randomization_p(
                    measure.statistics[0], rows, measure.compute, trials=trials, seed=seed
                ),
            }
        table.append(entry)
    return table, samples
