"""Scores of labels and probabilities.   Shapes: N rows, C classes.

Definitions are scikit-learn's; the calibration error is Guo et al. 2017, equation 3.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from textpipe.errors import DataError
from textpipe.metrics import bootstrap

NAMES = (
    "accuracy",
    "f1_macro",
    "precision_macro",
    "recall_macro",
    "f1",
    "precision",
    "recall",
    "roc_auc",
    "log_loss",
    "calibration_error",
)
BINARY_ONLY = ("f1", "precision", "recall")  # of the positive class, classes[1]; there is none among three
NUM_BINS = 15


def score(
    labels: Sequence[str],
    probabilities: np.ndarray,
    references: Sequence[str],
    answers: Sequence[str],
    *,
    resamples: int = 1000,
    seed: int = 1,
) -> dict[str, Any]:
    """Figures, intervals and the confusion matrix of N answered rows.

    labels: the C class names, in the order of the columns of probabilities [N, C]; of two classes the second is
    positive. roc_auc averages one class against the rest over the classes both present and absent in the references; it
    is None when no class is. A figure of no rows is None. confusion[i][j] counts references i answered j. Raises
    DataError when a reference is not among the labels.
    """
    from sklearn import metrics

    labels = list(labels)
    known = {label: number for number, label in enumerate(labels)}
    strange = sorted(set(references) - set(known))
    if strange:
        raise DataError(
            f"label {strange[0]!r}: found in the rows to score but not in training ({len(strange)} such); "
            "train on every label, or drop the rows"
        )
    true = np.array([known[label] for label in references], np.int64)  # [N]
    found = np.array([known[label] for label in answers], np.int64)  # [N]
    probabilities = np.asarray(probabilities, np.float64).reshape(len(true), len(labels))  # [N, C]
    confusion = np.zeros((len(labels), len(labels)), np.int64)  # [C, C]
    np.add.at(confusion, (true, found), 1)
    figures: dict[str, float | None] = dict.fromkeys(NAMES)
    intervals: dict[str, list[float]] = {}
    if len(labels) != 2:
        figures = {name: None for name in NAMES if name not in BINARY_ONLY}
    if len(true):
        figures |= confusion_metrics(confusion)
        # float32 probabilities sum to 1 within 1e-7, which log_loss would warn about.
        probabilities = probabilities / probabilities.sum(axis=1, keepdims=True)
        losses = -np.log(np.clip(probabilities[np.arange(len(true)), true], np.finfo(np.float64).eps, 1))
        figures["log_loss"] = float(losses.mean())
        figures["calibration_error"] = calibration_error(probabilities.max(axis=1), found == true)
        areas = [
            metrics.roc_auc_score(true == number, probabilities[:, number])
            for number in range(len(labels))
            if 0 < np.count_nonzero(true == number) < len(true)
        ]
        figures["roc_auc"] = float(np.mean(areas)) if areas else None
    if len(true) and resamples:
        size = len(labels)
        mean = bootstrap.confidence_interval(
            np.stack([found == true, losses], axis=1), lambda total: total[0], resamples=resamples, seed=seed
        )
        intervals["accuracy"] = [bound / len(true) for bound in mean]
        mean = bootstrap.confidence_interval(losses[:, None], lambda total: total[0], resamples=resamples, seed=seed)
        intervals["log_loss"] = [bound / len(true) for bound in mean]
        cells = true * size + found
        drawn = [
            confusion_metrics(np.bincount(cells, weights=draw, minlength=size * size).reshape(size, size))
            for draw in bootstrap.resample_weights(len(true), resamples, seed)
        ]
        for name in ("f1_macro", "f1") if size == 2 else ("f1_macro",):
            intervals[name] = [float(bound) for bound in np.quantile([one[name] for one in drawn], [0.025, 0.975])]
    return {
        "metrics": figures,
        "intervals": intervals,
        "labels": labels,
        "confusion": confusion.tolist(),
        "support": confusion.sum(axis=1).tolist(),
    }


def confusion_metrics(confusion: np.ndarray) -> dict[str, float]:
    """Figures that follow from the confusion matrix [C, C] alone; precision of a class never answered is 0.

    Macro averages run over classes that occur in the references or the answers, as scikit-learn's do.
    """
    right = np.diag(confusion).astype(np.float64)  # [C]
    answered, present = confusion.sum(axis=0), confusion.sum(axis=1)  # [C]
    seen = (answered + present) > 0
    precision = right / np.maximum(answered, 1)
    recall = right / np.maximum(present, 1)
    f1 = 2 * right / np.maximum(answered + present, 1)
    figures = {
        "accuracy": float(right.sum() / confusion.sum()),
        "f1_macro": float(f1[seen].mean()),
        "precision_macro": float(precision[seen].mean()),
        "recall_macro": float(recall[seen].mean()),
    }
    if len(confusion) == 2:
        figures |= {"f1": float(f1[1]), "precision": float(precision[1]), "recall": float(recall[1])}
    return figures


def calibration_error(confidences: np.ndarray, correct: np.ndarray) -> float:
    """Expected calibration error over 15 bins of equal width: confidences [N], correct [N] -> a share.

    How far the confidence of a bin's rows lies from their accuracy, on average over rows.
    """
    bins = np.clip(np.ceil(confidences * NUM_BINS).astype(int) - 1, 0, NUM_BINS - 1)  # a bin is (low, high]
    gaps = np.bincount(bins, weights=confidences - correct, minlength=NUM_BINS)  # [BINS], rows x gap
    return float(np.abs(gaps).sum() / len(confidences))
