"""Corpus metrics as vectorized functions of sums over rows.   N rows, R sums, S statistics, C classes.

Each row is scored once; a resample, a swap of two systems' answers or a subset of rows is then a sum of statistics [S],
and a thousand sums [R, S] give a thousand values [R] in a millisecond. The metrics match sacrebleu (Post 2018).
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

CHRF_ORDERS = 6  # chrF uses character n-grams up to this length
CHRF_BETA = 2  # weight of recall relative to precision in chrF
LOG_OF_ZERO = -9999999999.0  # sacrebleu's value for log(0)


@dataclass(frozen=True)
class Measure:
    """A corpus metric: per-row statistics [N, S] of each system, and `compute`, from sums [R, S] to values [R]."""

    name: str
    statistics: Sequence[np.ndarray]  # [N, S] per system
    compute: Callable[[np.ndarray], np.ndarray]
    signature: str = ""
    less_is_better: bool = False
    percent: bool = False  # a fraction, displayed as a percentage


def bleu(sums: np.ndarray) -> np.ndarray:
    """BLEU (Papineni et al. 2002), 0 to 100, with sacrebleu's exponential smoothing: [R, 10] -> [R].

    sums: 4 counts of matching n-grams, 4 of the answers' n-grams, length of the answers and of the references.
    """
    matches, totals, answer, reference = sums[:, :4], sums[:, 4:8], sums[:, 8], sums[:, 9]
    # The k-th order without a match counts as 2**-k matches.
    unmatched = np.cumsum((matches == 0) & (totals > 0), axis=1)
    smoothed = np.where(matches > 0, matches, 0.5**unmatched)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.where(totals > 0, np.log(100 * smoothed / totals), LOG_OF_ZERO)
        brevity = np.where(answer < reference, np.exp(1 - reference / answer), 1.0)
    return np.where(matches.any(axis=1), brevity * np.exp(logs.mean(axis=1)), 0.0)


def chrf_statistics(answers: Sequence[str], references: Sequence[str | Sequence[str]]) -> np.ndarray:
    """Return each row's statistics for chrF (Popović 2015), [N, 18]: n-grams of the answer, the reference and both.

    Of several references per row, the one with the best chrF is used.
    """
    statistics = np.zeros((len(answers), 3 * CHRF_ORDERS))
    for row, (answer, expected) in enumerate(zip(answers, references, strict=True)):
        answer_ngrams = [ngrams("".join(answer.split()), order) for order in range(1, CHRF_ORDERS + 1)]
        candidates = [expected] if isinstance(expected, str) else expected
        rows = np.array([chrf_row(answer_ngrams, reference) for reference in candidates])
        statistics[row] = rows[chrf(rows).argmax()] if len(rows) > 1 else rows[0]
    return statistics


def chrf_row(answer_ngrams: Sequence[Counter[str]], reference: str) -> list[float]:
    """Return the chrF statistics [18] of one answer, given as n-grams by length, against one reference."""
    counts: list[float] = []
    for order, answer in enumerate(answer_ngrams, 1):
        expected = ngrams("".join(reference.split()), order)
        # As in sacrebleu, the answer's n-grams do not count if the reference has none of this length.
        counts += answer.total() if expected else 0, expected.total(), (answer & expected).total()
    return counts


def ngrams(text: str, order: int) -> Counter[str]:
    """ngrams("abab", 2) -> {"ab": 2, "ba": 1}"""
    return Counter(text[at : at + order] for at in range(len(text) - order + 1))


def chrf(sums: np.ndarray) -> np.ndarray:
    """chrF2, 0 to 100, over the orders present in both answer and reference: [R, 18] -> [R]."""
    answer, reference, common = (sums[:, offset::3] for offset in range(3))  # [R, 6]
    counted = (answer > 0) & (reference > 0)
    orders = np.maximum(counted.sum(axis=1), 1)
    precision = np.where(counted, common / np.maximum(answer, 1), 0).sum(axis=1) / orders
    recall = np.where(counted, common / np.maximum(reference, 1), 0).sum(axis=1) / orders
    weight = CHRF_BETA**2 * precision + recall
    return 100 * (1 + CHRF_BETA**2) * precision * recall / np.where(weight > 0, weight, 1)


def ter(sums: np.ndarray) -> np.ndarray:
    """TER (Snover et al. 2006), edits per 100 reference words: [R, 2] -> [R]; 100 if there are edits but no reference words."""
    edits, words = sums[:, 0], sums[:, 1]
    return np.where(words > 0, 100 * edits / np.maximum(words, 1), 100.0 * (edits > 0))


def proportion(rows: int) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function from counts to proportions of rows: [R, 1] -> [R]."""
    return lambda sums: sums[:, 0] / rows


def class_statistics(answers: Sequence[str], references: Sequence[str], labels: Sequence[str]) -> np.ndarray:
    """Return each row's class counts, [N, 3 C]: correct answers, answers and references per class."""
    index = {label: number for number, label in enumerate(labels)}
    counts = np.zeros((len(answers), 3, len(labels)))
    for row, (answer, reference) in enumerate(zip(answers, references, strict=True)):
        counts[row, 1, index[answer]] = counts[row, 2, index[reference]] = 1
        counts[row, 0, index[answer]] = answer == reference
    return counts.reshape(len(answers), -1)


def f1_by_class(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the F1 of each class, and which classes occur in references or answers: [R, 3 C] -> [R, C], [R, C]."""
    correct, predicted, actual = np.split(sums, 3, axis=1)
    return 2 * correct / np.maximum(predicted + actual, 1), predicted + actual > 0


def f1_macro(sums: np.ndarray) -> np.ndarray:
    """Mean F1 of the classes that occur in references or answers: [R, 3 C] -> [R]."""
    f1, occurs = f1_by_class(sums)
    return (f1 * occurs).sum(axis=1) / np.maximum(occurs.sum(axis=1), 1)
