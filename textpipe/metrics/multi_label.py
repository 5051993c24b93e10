"""Multi-label classification metrics, defined as in scikit-learn.   Shapes: N rows, C classes."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from textpipe.errors import DataError
from textpipe.metrics import bootstrap

NAMES = (
    *("f1_micro", "f1_macro", "precision_micro", "recall_micro"),
    *("subset_accuracy", "average_precision", "hamming_loss"),
)


def score(
    labels: Sequence[str],
    probabilities: np.ndarray,
    references: Sequence[Iterable[str]],
    answers: Sequence[Iterable[str]],
    *,
    resamples: int = 1000,
    seed: int = 1,
) -> dict[str, Any]:
    """Return metrics and intervals of N answers.

    labels: the C class names, in the order of the columns of probabilities [N, C]; references, answers: the names of each
    row. f1_macro averages over the classes in references or answers, average_precision over those in references.
    Metrics of no rows are None. Raises DataError if a reference is not among the labels.
    """
    from sklearn import metrics

    true, answered = (multi_hot(labels, rows) for rows in (references, answers))  # [N, C] bool
    values: dict[str, float | None] = dict.fromkeys(NAMES)
    intervals: dict[str, list[float]] = {}
    if len(true):
        counts = np.stack([true & answered, true, answered]).sum(axis=1, dtype=np.float64)  # [3, C]
        correct, actual, predicted = counts
        occurs = actual + predicted > 0
        f1 = 2 * correct / np.maximum(actual + predicted, 1)
        probabilities = np.asarray(probabilities, np.float64).reshape(true.shape)
        precisions = [
            metrics.average_precision_score(true[:, number], probabilities[:, number])
            for number in np.flatnonzero(actual)
        ]
        values |= {
            "f1_micro": micro_f1(counts.sum(axis=1)),
            "f1_macro": float(f1[occurs].mean()) if occurs.any() else None,
            "precision_micro": float(correct.sum() / max(predicted.sum(), 1)),
            "recall_micro": float(correct.sum() / max(actual.sum(), 1)),
            "subset_accuracy": float((true == answered).all(axis=1).mean()),
            "average_precision": float(np.mean(precisions)) if precisions else None,
            "hamming_loss": float((true != answered).mean()),
        }
    if len(true) and resamples:
        rows = np.stack([(true & answered).sum(axis=1), true.sum(axis=1), answered.sum(axis=1)], axis=1)  # [N, 3]
        intervals["f1_micro"] = bootstrap.confidence_interval(rows, micro_f1, resamples=resamples, seed=seed)
        exact = (true == answered).all(axis=1)[:, None]
        bounds = bootstrap.confidence_interval(exact, lambda total: total[0], resamples=resamples, seed=seed)
        intervals["subset_accuracy"] = [bound / len(true) for bound in bounds]
    return {
        "metrics": values,
        "intervals": intervals,
        "labels": list(labels),
        "support": true.sum(axis=0).tolist(),
        "answered": answered.sum(axis=0).tolist(),
        "right": (true & answered).sum(axis=0).tolist(),
    }


def micro_f1(totals: np.ndarray) -> float:
    """Micro-averaged F1, from the total numbers of correct, actual and predicted labels [3]; 0 if there are none."""
    correct, actual, predicted = totals
    return float(2 * correct / max(actual + predicted, 1))


def multi_hot(labels: Sequence[str], rows: Sequence[Iterable[str]]) -> np.ndarray:
    """Return [N, C] bool: the classes of each row. Raises DataError for an unknown name."""
    known = {label: number for number, label in enumerate(labels)}
    unknown = sorted({name for row in rows for name in row} - set(known))
    if unknown:
        raise DataError(
            f"label {unknown[0]!r}: occurs in the rows to score but not in training ({len(unknown)} such labels); "
            "train on every label, or remove it"
        )
    encoded = np.zeros((len(rows), len(labels)), bool)
    for number, row in enumerate(rows):
        encoded[number, [known[name] for name in row]] = True
    return encoded
