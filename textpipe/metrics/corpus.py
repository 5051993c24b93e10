"""Corpus figures as functions of sums over rows, many sums at once.   N rows, R sums, S statistics, C classes.

A row is scored once; a resample, a swap of two systems' answers or a part of the rows is then a sum of statistics [S],
and a thousand of them [R, S] become a thousand figures [R] in a millisecond. The figures are sacrebleu's (Post 2018).
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

CHRF_ORDERS = 6  # lengths of chrF's n-grams of characters
CHRF_BETA = 2  # how much more chrF's recall counts than its precision
LOG_OF_ZERO = -9999999999.0  # sacrebleu's logarithm of 0


@dataclass(frozen=True)
class Measure:
    """A corpus figure: what each row of a system adds to the sums, [N, S], and the figures of sums, [R, S] -> [R]."""

    name: str
    statistics: Sequence[np.ndarray]  # one [N, S] for each system
    figure: Callable[[np.ndarray], np.ndarray]
    signature: str = ""
    less_is_better: bool = False
    percent: bool = False  # a share of 1, to be told as such


def bleu(sums: np.ndarray) -> np.ndarray:
    """BLEU (Papineni et al. 2002), 0 to 100, with sacrebleu's exponential smoothing: [R, 10] -> [R].

    sums: 4 counts of matching n-grams, 4 of the answers' n-grams, length of the answers and of the references.
    """
    matches, totals, answer, reference = sums[:, :4], sums[:, 4:8], sums[:, 8], sums[:, 9]
    # The k-th order without a match counts 2**-k matches.
    missed = np.cumsum((matches == 0) & (totals > 0), axis=1)
    counted = np.where(matches > 0, matches, 0.5**missed)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.where(totals > 0, np.log(100 * counted / totals), LOG_OF_ZERO)
        brevity = np.where(answer < reference, np.exp(1 - reference / answer), 1.0)
    return np.where(matches.any(axis=1), brevity * np.exp(logs.mean(axis=1)), 0.0)


def chrf_statistics(answers: Sequence[str], references: Sequence[str | Sequence[str]]) -> np.ndarray:
    """What each row adds to chrF (Popović 2015): [N, 18], the answer's, the reference's and their common n-grams.

    Of several references of a row the one that gives the best chrF counts.
    """
    found = np.zeros((len(answers), 3 * CHRF_ORDERS))
    for row, (answer, given) in enumerate(zip(answers, references, strict=True)):
        ours = [ngrams("".join(answer.split()), order) for order in range(1, CHRF_ORDERS + 1)]
        rows = np.array([chrf_row(ours, reference) for reference in ([given] if isinstance(given, str) else given)])
        found[row] = rows[chrf(rows).argmax()] if len(rows) > 1 else rows[0]
    return found


def chrf_row(ours: Sequence[Counter[str]], reference: str) -> list[float]:
    """The statistics of one answer, its n-grams by length, beside one reference: [18]."""
    counts: list[float] = []
    for order, answer in enumerate(ours, 1):
        theirs = ngrams("".join(reference.split()), order)
        # As sacrebleu counts: no n-grams of an answer where the reference has none.
        counts += answer.total() if theirs else 0, theirs.total(), (answer & theirs).total()
    return counts


def ngrams(text: str, order: int) -> Counter[str]:
    """ngrams("abab", 2) -> {"ab": 2, "ba": 1}"""
    return Counter(text[at : at + order] for at in range(len(text) - order + 1))


def chrf(sums: np.ndarray) -> np.ndarray:
    """chrF2, 0 to 100, over the orders that answer and reference both have: [R, 18] -> [R]."""
    answer, reference, common = (sums[:, part::3] for part in range(3))  # [R, 6]
    counted = (answer > 0) & (reference > 0)
    orders = np.maximum(counted.sum(axis=1), 1)
    precision = np.where(counted, common / np.maximum(answer, 1), 0).sum(axis=1) / orders
    recall = np.where(counted, common / np.maximum(reference, 1), 0).sum(axis=1) / orders
    weight = CHRF_BETA**2 * precision + recall
    return 100 * (1 + CHRF_BETA**2) * precision * recall / np.where(weight > 0, weight, 1)


def ter(sums: np.ndarray) -> np.ndarray:
    """TER (Snover et al. 2006), edits per 100 words of the references: [R, 2] -> [R]; 100 for edits against nothing."""
    edits, words = sums[:, 0], sums[:, 1]
    return np.where(words > 0, 100 * edits / np.maximum(words, 1), 100.0 * (edits > 0))


def proportion(rows: int) -> Callable[[np.ndarray], np.ndarray]:
    """The share of rows that count: [R, 1] -> [R]."""
    return lambda sums: sums[:, 0] / rows


def class_statistics(answers: Sequence[str], references: Sequence[str], labels: Sequence[str]) -> np.ndarray:
    """What each row adds to its classes' counts: [N, 3 C], right answers, answers and references of each class."""
    number = {label: at for at, label in enumerate(labels)}
    found = np.zeros((len(answers), 3, len(labels)))
    for row, (answer, reference) in enumerate(zip(answers, references, strict=True)):
        found[row, 1, number[answer]] = found[row, 2, number[reference]] = 1
        found[row, 0, number[answer]] = answer == reference
    return found.reshape(len(answers), -1)


def f1_by_class(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """F1 of each class, and which classes are wanted or answered at all: [R, 3 C] -> [R, C], [R, C]."""
    right, answered, wanted = np.split(sums, 3, axis=1)
    return 2 * right / np.maximum(answered + wanted, 1), answered + wanted > 0


def f1_macro(sums: np.ndarray) -> np.ndarray:
    """Mean F1 of the classes that are wanted or answered: [R, 3 C] -> [R]."""
    figures, seen = f1_by_class(sums)
    return (figures * seen).sum(axis=1) / np.maximum(seen.sum(axis=1), 1)
