"""Precision and recall by coverage, if only the rows with the highest probabilities are predicted positive.   Shapes: N rows.

Kannan et al. (2016), Smart Reply, answer the 11 % of mails whose probability of a short reply is highest. Ties are broken at random;
reported values are means over all orders of tied rows.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

COVERAGES = (0.05, 0.11, 0.2, 0.5)


def curve(probabilities: np.ndarray, positive: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of the positive class [N] and whether rows are positive [N] -> thresholds [N] and true positives [N].

    Entry k - 1 is for the k rows with the highest probabilities: their lowest probability, and the expected number of positives among them.

    [.9, .5, .5], [True, True, False] -> [.9, .5, .5], [1, 1.5, 2]
    """
    probabilities = np.asarray(probabilities, np.float64)
    order = np.argsort(-probabilities, kind="stable")
    thresholds, sorted_positive = probabilities[order], np.asarray(positive, np.float64)[order]
    # Each row of a group of ties counts as the share of positives in the group.
    group = np.concatenate([[0], np.cumsum(thresholds[1:] != thresholds[:-1])]) if len(order) else order
    shares = np.bincount(group, sorted_positive) / np.bincount(group)
    return thresholds, np.cumsum(shares[group])


def rows_at(coverage: float, num_rows: int) -> int:
    """The number of rows predicted positive at a coverage, at least 1: rows_at(.11, 1408) -> 155"""
    return max(1, int(coverage * num_rows + 0.5))


def table(
    probabilities: np.ndarray, positive: np.ndarray, coverages: Sequence[float] = COVERAGES
) -> list[dict[str, Any]]:
    """Precision and recall at each coverage, a share of the N rows. Recall is None if no row is positive; without rows the table is [].

    [{"coverage": .11, "rows": 155, "threshold": .97, "precision": .99, "recall": .22}, ...]
    """
    if not len(probabilities):
        return []
    thresholds, true_positives = curve(probabilities, positive)
    lines = []
    for coverage in coverages:
        count = rows_at(coverage, len(true_positives))
        num_true_positives, all_positives = float(true_positives[count - 1]), float(true_positives[-1])
        lines.append(
            {
                "coverage": coverage,
                "rows": count,
                "threshold": float(thresholds[count - 1]),
                "precision": num_true_positives / count,
                "recall": num_true_positives / all_positives if all_positives else None,
            }
        )
    return lines
