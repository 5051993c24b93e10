"""Losses of linear classifiers over all rows at once, with their gradients, in NumPy.   N rows, C logits.

`signs` are +1 for the class of a row and -1 for the others; the hinge losses and the logistic loss of several labels are sums over
the classes, one against the rest. training/losses.py computes the same losses of a batch, in the graph.
"""

from collections.abc import Callable

import numpy as np

Loss = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


def softmax(logits: np.ndarray, signs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cross-entropy of each row [N] and its gradient [N, C]."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    is_target = signs > 0
    exponentials = np.exp(shifted)
    totals = exponentials.sum(axis=1)
    exponentials /= totals[:, None]
    exponentials[is_target] -= 1
    return np.log(totals) - shifted[is_target], exponentials


def logistic(logits: np.ndarray, signs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """ln(1 + exp(-sign * logit)) [N, C] and its gradient [N, C]."""
    margins = signs * logits
    tails = np.exp(-np.abs(margins))  # never overflows
    losses = np.maximum(-margins, 0) + np.log1p(tails)
    return losses, -signs * np.where(margins >= 0, tails, 1) / (1 + tails)


def squared_hinge(logits: np.ndarray, signs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """max(0, 1 - sign * logit)^2 [N, C] and its gradient [N, C]."""
    gaps = np.maximum(1 - signs * logits, 0)
    return gaps * gaps, -2 * signs * gaps


def curvature(loss: str, num_logits: int) -> float:
    """The order of magnitude of a loss's second derivative in one logit."""
    if loss == "squared_hinge":
        return 2.0
    return 0.25 if num_logits == 1 else (1 - 1 / num_logits) / num_logits
