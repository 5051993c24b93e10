"""Is one system better than another on the same rows, or was it luck?   N rows, R draws, S statistics, K systems.

Paired bootstrap (Koehn 2004): rows are drawn with replacement, the same ones for both systems. Approximate
randomization (Riezler and Maxwell 2005): the two answers of a row change places by the toss of a coin. McNemar's exact
test: of the rows that one system alone has right, how many are whose. All p-values are two-sided.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from textpipe.metrics import bootstrap
from textpipe.metrics.corpus import Measure

LEVEL = bootstrap.LEVEL
BLOCK_FLIPS = 64_000_000  # coins tossed at once
TOLERANCE = 1e-9  # sums in another order differ by less

Figure = Callable[[np.ndarray], np.ndarray]


def resampled(measure: Measure, *, resamples: int, seed: int) -> np.ndarray:
    """The figures of every system on the same R resamples of the rows, [K, R]; sacrebleu's draws for an equal seed."""
    return np.stack([measure.figure(bootstrap.resampled_sums(rows, resamples, seed)) for rows in measure.statistics])


def interval(figures: np.ndarray) -> list[float]:
    """[low, high]: the percentile interval of resampled figures [R]."""
    tail = (1 - LEVEL) / 2
    return [float(bound) for bound in np.quantile(figures, [tail, 1 - tail])]


def bootstrap_p(differences: np.ndarray, found: float) -> float:
    """How often chance alone gives a difference as large as the one found; differences [R] are the resamples'.

    Resampled differences scatter around the one found; moved to 0 they show what no difference looks like, so those
    count that lie at 0 or beyond, or at twice the difference or beyond (Berg-Kirkpatrick et al. 2012, both sides).
    sacrebleu's paired-bs gives about half of it: it counts one side.
    """
    extreme = np.abs(differences - found) >= abs(found) - TOLERANCE
    return float((extreme.sum() + 1) / (len(differences) + 1))


def randomization_p(first: np.ndarray, second: np.ndarray, figure: Figure, *, trials: int, seed: int) -> float:
    """How often swapping answers at random gives a difference as large as the one found: first, second [N, S].

    All 2**N ways are tried where these are no more than `trials`; then the p-value is exact.
    """
    found = abs(float(np.diff(figure(np.stack([first.sum(axis=0), second.sum(axis=0)])))[0]))
    rows = len(first)
    exact = rows < 63 and 2**rows <= trials
    extreme = tried = 0
    for kept in all_flips(rows) if exact else random_flips(rows, trials, seed):  # [R, N], true: the answers stay
        stay, move = kept.astype(np.float64), (~kept).astype(np.float64)
        ours, theirs = figure(stay @ first + move @ second), figure(move @ first + stay @ second)
        extreme += int((np.abs(ours - theirs) >= found - TOLERANCE).sum())
        tried += len(kept)
    return extreme / tried if exact else (extreme + 1) / (tried + 1)


def random_flips(rows: int, trials: int, seed: int) -> Iterator[np.ndarray]:
    """Coins for every row of every trial, in blocks [R, N]; sacrebleu's for an equal seed."""
    generator = np.random.default_rng(seed)
    block = max(1, BLOCK_FLIPS // max(rows, 1))
    for start in range(0, trials, block):
        yield generator.integers(2, size=(min(block, trials - start), rows), dtype=bool)


def all_flips(rows: int) -> Iterator[np.ndarray]:
    """All 2**N ways to swap, [2**N, N]."""
    yield (np.arange(2**rows)[:, None] >> np.arange(rows)[None]) % 2 == 0


def mcnemar_p(only_first: int, only_second: int) -> float:
    """McNemar's test, exact: counts of rows that one system alone has right.

    mcnemar_p(1, 8) -> .0391
    """
    rows = only_first + only_second
    below = sum(math.comb(rows, count) for count in range(min(only_first, only_second) + 1))
    return min(1.0, float(2 * below / 2**rows))


def compare(measure: Measure, *, resamples: int, trials: int, seed: int) -> tuple[list[dict[str, Any]], np.ndarray]:
    """Figures of every system and its difference from the first; and the resampled figures [K, R].

    [{"value", "interval"},
     {"value", "interval", "difference", "difference_interval", "p_bootstrap", "p_randomization"}]
    """
    drawn = resampled(measure, resamples=resamples, seed=seed)
    values = measure.figure(np.stack([rows.sum(axis=0) for rows in measure.statistics]))  # [K]
    table: list[dict[str, Any]] = []
    for at, rows in enumerate(measure.statistics):
        line: dict[str, Any] = {"value": float(values[at]), "interval": interval(drawn[at])}
        if at:
            difference, scattered = float(values[at] - values[0]), drawn[at] - drawn[0]
            line |= {
                "difference": difference,
                "difference_interval": interval(scattered),
                "p_bootstrap": bootstrap_p(scattered, difference),
                "p_randomization": randomization_p(
                    measure.statistics[0], rows, measure.figure, trials=trials, seed=seed
                ),
            }
        table.append(line)
    return table, drawn
