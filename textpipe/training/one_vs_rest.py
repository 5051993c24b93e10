"""One LIBLINEAR fit for each class against the rest.   N rows, D features, C classes.

On one core: LIBLINEAR's random numbers are shared by all threads, and results would differ from run to run.
"""

import threading
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse

from textpipe.runtime import interruptible

# Entries times classes up to which one call fits all classes: some ten seconds. It saves a third of the time, for LIBLINEAR copies the rows
# in each call, but shows no progress, and has all weights in memory twice, in float64: at most 800 MB.
ONE_CALL = 400_000_000
ONE_CALL_WEIGHTS = 50_000_000
_liblinear = threading.Lock()


def fit(
    matrix: scipy.sparse.csr_matrix,
    signs: np.ndarray,
    row_weights: np.ndarray | None,
    options: dict[str, Any],
    report: Callable[[int], None] = lambda num_classes: None,
) -> tuple[np.ndarray, int]:
    """The weights [D + 1, C] float32, the bias last, and the largest number of passes over the rows.

    signs: +1 for the classes of a row and -1 for the others [N, C]; row_weights: [N, 1], of entries [N, C], or None for 1; options: of
    LinearSVC; report(number of classes done) is called after each call. Ctrl-C ends the fit at once.
    """
    num_classes = signs.shape[1]
    weights = np.zeros((matrix.shape[1] + 1, num_classes), np.float32)
    one_weight = row_weights is None or row_weights.shape[1] == 1
    one_class = num_classes > 2 and bool(((signs > 0).sum(axis=1) == 1).all())
    is_small = matrix.nnz * num_classes <= ONE_CALL and weights.size <= ONE_CALL_WEIGHTS
    if one_weight and one_class and is_small:
        calls = [(slice(None), signs.argmax(axis=1))]
    else:
        calls = [(slice(number, number + 1), signs[:, number]) for number in range(num_classes)]
        matrix = matrix.astype(
            np.float64
        )  # LIBLINEAR's numbers: or each call would convert them, in a quarter of its time
    passes = 0
    for columns, labels in calls:
        if len(np.unique(labels)) < 2:  # a label that all rows have, or none
            weights[-1, columns] = labels[0]
            continue
        sample_weight = None
        if row_weights is not None:
            sample_weight = row_weights[:, 0] if row_weights.shape[1] == 1 else row_weights[:, columns][:, 0]
        classifier = interruptible.call(fit_alone, matrix, labels, sample_weight, options)
        weights[:-1, columns], weights[-1, columns] = classifier.coef_.T, classifier.intercept_
        passes = max(passes, int(np.max(classifier.n_iter_)))
        report(num_classes if columns.stop is None else columns.stop)
    return weights, passes


def fit_alone(matrix: Any, labels: np.ndarray, row_weights: np.ndarray | None, options: dict[str, Any]) -> Any:
    """A fitted LinearSVC; an earlier call that was given up ends first."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.svm import LinearSVC

    with _liblinear, warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return LinearSVC(**options).fit(matrix, labels, sample_weight=row_weights)
