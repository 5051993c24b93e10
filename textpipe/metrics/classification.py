"""Classification metrics.   Shapes: N rows, C classes.

Definitions follow scikit-learn; the calibration error is Guo et al. 2017, equation 3.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from textpipe.errors import DataError
from textpipe.metrics import bootstrap, coverage, out_of_scope

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
BINARY_ONLY = ("f1", "precision", "recall")  # of the positive class, labels[1]; only defined for two classes
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
    """Return metrics, intervals and the confusion matrix of N answers.

    labels: the C class names, in the order of the columns of probabilities [N, C]; the second of two is the positive
    class. roc_auc is the one-vs-rest average over classes that are both present in and absent from the references; None
    if there is no such class. Metrics of no rows are None. For two classes "coverage" holds precision and recall of the positive
    class when only the rows with its highest probabilities are positive (metrics/coverage.py). confusion[i][j] counts references i with answer j. Raises
    DataError if a reference is not among the labels.
    """
    from sklearn import metrics

    labels = list(labels)
    known = {label: number for number, label in enumerate(labels)}
    unknown = sorted(set(references) - set(known))
    if unknown:
        raise DataError(
            f"label {unknown[0]!r}: occurs in the rows to score but not in training ({len(unknown)} such labels); "
            "train on every label, or drop the rows"
        )
    true = np.array([known[label] for label in references], np.int64)  # [N]
    predicted = np.array([known[label] for label in answers], np.int64)  # [N]
    probabilities = np.asarray(probabilities, np.float64).reshape(len(true), len(labels))  # [N, C]
    confusion = np.zeros((len(labels), len(labels)), np.int64)  # [C, C]
    np.add.at(confusion, (true, predicted), 1)
    values: dict[str, float | None] = dict.fromkeys(NAMES)
    intervals: dict[str, list[float]] = {}
    if len(labels) != 2:
        values = {name: None for name in NAMES if name not in BINARY_ONLY}
    if len(true):
        values |= confusion_metrics(confusion)
        # Renormalize, because float32 probabilities sum to 1 only within 1e-7.
        probabilities = probabilities / probabilities.sum(axis=1, keepdims=True)
        losses = -np.log(np.clip(probabilities[np.arange(len(true)), true], np.finfo(np.float64).eps, 1))
        values["log_loss"] = float(losses.mean())
        values["calibration_error"] = calibration_error(probabilities.max(axis=1), predicted == true)
        areas = [
            metrics.roc_auc_score(true == number, probabilities[:, number])
            for number in range(len(labels))
            if 0 < np.count_nonzero(true == number) < len(true)
        ]
        values["roc_auc"] = float(np.mean(areas)) if areas else None
    if len(true) and resamples:
        size = len(labels)
        mean = bootstrap.confidence_interval(
            np.stack([predicted == true, losses], axis=1), lambda total: total[0], resamples=resamples, seed=seed
        )
        intervals["accuracy"] = [bound / len(true) for bound in mean]
        mean = bootstrap.confidence_interval(losses[:, None], lambda total: total[0], resamples=resamples, seed=seed)
        intervals["log_loss"] = [bound / len(true) for bound in mean]
        cells = true * size + predicted
        resampled = [
            confusion_metrics(np.bincount(cells, weights=draw, minlength=size * size).reshape(size, size))
            for draw in bootstrap.resample_weights(len(true), resamples, seed)
        ]
        for name in ("f1_macro", "f1") if size == 2 else ("f1_macro",):
            intervals[name] = [
                float(bound) for bound in np.quantile([sample[name] for sample in resampled], [0.025, 0.975])
            ]
    report = {
        "metrics": values,
        "intervals": intervals,
        "labels": labels,
        "confusion": confusion.tolist(),
        "support": confusion.sum(axis=1).tolist(),
    }
    if len(labels) == 2:
        report["coverage"] = coverage.table(probabilities[:, 1], true == 1)
    return report


def score_with_scope(
    labels: Sequence[str],
    outputs: Mapping[str, Any],
    references: Sequence[str],
    outside_label: str,
    *,
    resamples: int = 1000,
    seed: int = 1,
) -> dict[str, Any]:
    """As `score`, where outside_label is the reference and the answer of rows out of scope.

    outputs: answer [N], probabilities [N, C] and scope [N]. Metrics of the confusion matrix count the label as one more class. log_loss,
    calibration_error and roc_auc are those of the rows with a class. In addition: in_scope_accuracy of the answers to those rows,
    class_accuracy of their most probable class whatever its score, and metrics/out_of_scope.py.
    """
    probabilities = np.asarray(outputs["probabilities"], np.float64).reshape(len(references), len(labels))  # [N, C]
    answers = [str(answer) for answer in outputs["answer"]]
    outside = np.array([reference == outside_label for reference in references], bool)  # [N]
    padded = np.concatenate([probabilities, np.zeros((len(references), 1))], axis=1)
    options: dict[str, Any] = {"resamples": resamples, "seed": seed}
    report = score([*labels, outside_label], padded, references, answers, **options)
    in_scope_rows = np.flatnonzero(~outside).tolist()
    best = [labels[at] for at in probabilities[in_scope_rows].argmax(axis=1).tolist()] if len(in_scope_rows) else []
    inside = score(labels, probabilities[in_scope_rows], [references[at] for at in in_scope_rows], best, **options)
    for part in ("metrics", "intervals"):
        for name in ("log_loss", "calibration_error", "roc_auc"):
            report[part].pop(name, None)
            if name in inside[part]:
                report[part][name] = inside[part][name]
    correct = [answers[at] == references[at] for at in in_scope_rows]
    report["metrics"] |= {
        "in_scope_accuracy": float(np.mean(correct)) if correct else None,
        "class_accuracy": inside["metrics"]["accuracy"],
        **out_of_scope.separation(outputs["scope"], outside),
        **out_of_scope.detection([answer == outside_label for answer in answers], outside),
    }
    return report


def confusion_metrics(confusion: np.ndarray) -> dict[str, float]:
    """Compute the metrics that follow from the confusion matrix [C, C]; precision of a class never predicted is 0.

    Macro averages include classes that occur in the references or the answers, as in scikit-learn.
    """
    correct = np.diag(confusion).astype(np.float64)  # [C]
    predicted, actual = confusion.sum(axis=0), confusion.sum(axis=1)  # [C]
    occurs = (predicted + actual) > 0
    precision = correct / np.maximum(predicted, 1)
    recall = correct / np.maximum(actual, 1)
    f1 = 2 * correct / np.maximum(predicted + actual, 1)
    values = {
        "accuracy": float(correct.sum() / confusion.sum()),
        "f1_macro": float(f1[occurs].mean()),
        "precision_macro": float(precision[occurs].mean()),
        "recall_macro": float(recall[occurs].mean()),
    }
    if len(confusion) == 2:
        values |= {"f1": float(f1[1]), "precision": float(precision[1]), "recall": float(recall[1])}
    return values


def calibration_error(confidences: np.ndarray, correct: np.ndarray) -> float:
    """Expected calibration error over 15 equal-width bins: confidences [N], correct [N] -> 0 to 1.

    The mean over rows of the gap between a bin's confidence and its accuracy.
    """
    bins = np.clip(np.ceil(confidences * NUM_BINS).astype(int) - 1, 0, NUM_BINS - 1)  # a bin is (low, high]
    gaps = np.bincount(bins, weights=confidences - correct, minlength=NUM_BINS)  # [BINS], rows x gap
    return float(np.abs(gaps).sum() / len(confidences))
