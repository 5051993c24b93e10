"""Out of scope: how well a score tells rows of no class from the others.   Shapes: N rows.

A row is in scope if its score is at least a threshold.
"""

import math
from typing import Any

import numpy as np

TRUE_POSITIVE_RATE = 0.95


def separation(scores: Any, outside: Any) -> dict[str, float | None]:
    """AUROC and FPR at 95 % TPR (Hendrycks and Gimpel 2017; Liang et al. 2018), with rows in scope as the positive ones.

    scores [N]; outside: whether a row is out of scope [N]. auroc: the probability that a row in scope scores higher than one out of scope,
    ties counted half. fpr95: the share of rows out of scope whose score reaches the threshold that 95 % of the rows in scope reach.
    None if one of the two kinds is missing.

    [.9, .8, .3], [False, False, True] -> auroc 1, fpr95 0
    """
    from sklearn import metrics

    values, inside = np.asarray(scores, np.float64), ~np.asarray(outside, bool)
    if inside.all() or not inside.any():
        return {"out_of_scope_auroc": None, "out_of_scope_fpr95": None}
    threshold = np.sort(values[inside])[::-1][rows_kept(TRUE_POSITIVE_RATE, int(inside.sum())) - 1]
    return {
        "out_of_scope_auroc": float(metrics.roc_auc_score(inside, values)),
        "out_of_scope_fpr95": float((values[~inside] >= threshold).mean()),
    }


def detection(answered_outside: Any, outside: Any) -> dict[str, float | None]:
    """F1, precision and recall of the rows out of scope, by the answers: [N], [N]. None if there are no such rows."""
    predicted, actual = np.asarray(answered_outside, bool), np.asarray(outside, bool)
    true_positives = int((predicted & actual).sum())
    if not actual.any():
        return dict.fromkeys(("out_of_scope_f1", "out_of_scope_precision", "out_of_scope_recall"))
    return {
        "out_of_scope_f1": 2 * true_positives / int(predicted.sum() + actual.sum()),
        "out_of_scope_precision": true_positives / max(1, int(predicted.sum())),
        "out_of_scope_recall": true_positives / int(actual.sum()),
    }


def rows_kept(coverage: float, num_rows: int) -> int:
    """The least number of rows that is at least a share `coverage`: rows_kept(.95, 10) -> 10"""
    return max(1, math.ceil(round(coverage * num_rows, 9)))


def at_coverage(scores: np.ndarray, coverage: float) -> dict[str, Any]:
    """The highest threshold that a share `coverage` of the rows reaches: scores of rows in scope [N].

    Thresholds are halfway between two scores, so that rounding moves no row across.

    [.9, .8, .4, .3], .75 -> {"threshold": .35, "rows": 4, "in_scope": .75}
    """
    ordered = np.sort(np.asarray(scores, np.float64))
    lowest = ordered[len(ordered) - rows_kept(coverage, len(ordered))]
    threshold = below(ordered, lowest)
    return {"threshold": threshold, "rows": len(ordered), "in_scope": float((ordered >= threshold).mean())}


def best_f1(scores: np.ndarray, outside: np.ndarray) -> dict[str, Any]:
    """The threshold with the best F1 of the rows out of scope, the lowest of several: scores [N], outside [N].

    [.9, .8, .4], [False, False, True] -> {"threshold": .6, "rows": 3, "f1": 1.0, "in_scope": 1.0}
    """
    values = np.asarray(scores, np.float64)
    distinct, group = np.unique(values, return_inverse=True)
    true_positives = np.concatenate(
        [[0], np.cumsum(np.bincount(group, outside, len(distinct)))]
    )  # with scores below distinct[k]
    rejected = np.concatenate([[0], np.cumsum(np.bincount(group, minlength=len(distinct)))])
    f1 = 2 * true_positives / np.maximum(rejected + outside.sum(), 1)
    at = int(np.argmax(f1))
    threshold = below(distinct, distinct[at]) if at < len(distinct) else above(distinct)
    accepted = values[~np.asarray(outside, bool)] >= threshold
    return {"threshold": threshold, "rows": len(values), "f1": float(f1[at]), "in_scope": float(accepted.mean())}


def below(ordered: np.ndarray, score: float) -> float:
    """Halfway between a score and the next lower one of ascending scores; far below the lowest of all."""
    lower = ordered[ordered < score]
    return float((lower[-1] + score) / 2) if len(lower) else float(score - 1)


def above(ordered: np.ndarray) -> float:
    """Above all scores."""
    return float(ordered[-1] + 1)
