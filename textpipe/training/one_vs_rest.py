"""LIBLINEAR fits of each class against the rest.   N rows, D features, C classes.

LIBLINEAR uses one core. Classes are cut into parts, which do not depend on the number of cores, so that neither do the results; large
problems fit their parts in several processes. Threads would not do: they would share LIBLINEAR's random numbers.
"""

import functools
import itertools
import logging
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse

from textpipe.config import plugins
from textpipe.errors import ResourceError
from textpipe.runtime import interruptible, threads
from textpipe.training.telemetry import memory

# LIBLINEAR copies the rows in each call, so a part has several classes; the others of its rows are one class more.
PART_CLASSES = 32
PART_WEIGHTS = 25_000_000  # of a part at most, unless it has one class; in float64, and twice
# Entries times classes times fits from which on processes are worth their second of start: some four seconds of one core.
PROCESSES = 300_000_000
MAX_WORKERS = 8  # they share the memory's bandwidth
# Of a worker: its libraries; of each entry its rows in float32, in float64 and as LIBLINEAR keeps them.
WORKER_BYTES, ENTRY_BYTES = 150 * 2**20, 50
ALONE = "liblinear: the system does not let further processes run, perhaps for lack of memory; this one fits alone, with the same result"
_liblinear = threading.Lock()

log = logging.getLogger(__name__)


class Problem(NamedTuple):
    """matrix: rows [N, D]. signs: +1 for the classes of a row and -1 for the others [N, C]. row_weights: [N, 1], of entries [N, C], or None for 1."""

    matrix: scipy.sparse.csr_matrix
    signs: np.ndarray
    row_weights: np.ndarray | None

    @property
    def together(self) -> bool:
        """Whether one call can fit several classes: each row has one class and one weight."""
        one_weight = self.row_weights is None or self.row_weights.shape[1] == 1
        return one_weight and self.signs.shape[1] > 2 and bool(((self.signs > 0).sum(axis=1) == 1).all())

    def parts(self) -> list[slice]:
        """The classes of each part: count_parts of the same size, or more where their weights would not fit."""
        num_classes = self.signs.shape[1]
        if not self.together:
            return [slice(number, number + 1) for number in range(num_classes)]
        count = count_parts(num_classes)
        while count < num_classes and self.matrix.shape[1] * -(-num_classes // count) > PART_WEIGHTS:
            count *= 2
        edges = [num_classes * number // count for number in range(count + 1)]
        return [slice(first, last) for first, last in itertools.pairwise(edges) if first < last]


def count_parts(num_classes: int) -> int:
    """The power of 2 that cuts the classes into parts of PART_CLASSES to 2 * PART_CLASSES - 1; 1 for fewer classes."""
    count = 1
    while num_classes // (2 * count) >= PART_CLASSES:
        count *= 2
    return count


class Fitted(NamedTuple):
    """The weights of a part's classes, the bias last [D + 1, K] float32, and the largest number of passes over the rows."""

    weights: np.ndarray
    passes: int


class Fits:
    """Fits of one problem with different options. engine: of `processes`, or None to fit in this process."""

    def __init__(self, problem: Problem, engine: Any = None):
        self.problem, self.engine, self.parts = problem, engine, problem.parts()

    def fit(
        self, options: dict[str, Any], report: Callable[[int], None] = lambda num_classes: None
    ) -> tuple[np.ndarray, int]:
        """The weights [D + 1, C] float32, the bias last, and the largest number of passes over the rows.

        options: of LinearSVC; report(number of classes done) is called after each part. Ctrl-C ends the fit at once.
        """
        weights = np.zeros((self.problem.matrix.shape[1] + 1, self.problem.signs.shape[1]), np.float32)
        passes = 0
        for classes, fitted in zip(self.parts, self.each(options), strict=True):
            weights[:, classes], passes = fitted.weights, max(passes, fitted.passes)
            report(classes.stop)
        return weights, passes

    def each(self, options: dict[str, Any]) -> Iterator[Fitted]:
        """The fit of each part, in order. If the processes keep dying, this process fits the parts that are left."""
        items = [(classes, options) for classes in self.parts]
        num_done = 0
        if self.engine is not None:
            try:
                for fitted in self.engine.map(functools.partial(part_fitter, self.problem), items):
                    num_done += 1
                    yield fitted
                return
            except (ResourceError, OSError):
                self.engine.close()
                self.engine = None
                log.warning(ALONE)
        fit_part = part_fitter(self.problem)
        for item in items[num_done:]:
            yield interruptible.call(fit_part, item)


@contextmanager
def processes(num_entries: int, num_classes: int, num_parts: int, num_fits: int) -> Iterator[Any]:
    """The engine for Fits, whose processes start at once and end with the block; None if one process will do, or half of the free memory
    holds no two of them."""
    workers = min(threads.core_share(), num_parts, MAX_WORKERS)
    free = memory.available()  # 0 if unknown
    if free:
        workers = min(workers, free // 2 // (WORKER_BYTES + ENTRY_BYTES * num_entries))
    if workers < 2 or num_entries * num_classes * num_fits < PROCESSES:
        yield None
        return
    engine = plugins.find("engines", "processes").Processes(workers, imports=("sklearn.svm", __name__))
    try:
        try:
            engine.scheduler.start()
        except OSError:
            log.warning(ALONE)
            yield None
        else:
            yield engine
    finally:
        engine.close()


def part_fitter(problem: Problem) -> Callable[[tuple[slice, dict[str, Any]]], Fitted]:
    """A function of the classes of a part and the options of LinearSVC."""
    matrix, signs, row_weights = problem
    together = problem.together
    if not together:
        # LIBLINEAR's numbers: or each call would convert them, in a quarter of its time.
        matrix = matrix.astype(np.float64)

    def fit_part(item: tuple[slice, dict[str, Any]]) -> Fitted:
        classes, options = item
        part = signs[:, classes]
        width = part.shape[1]
        # The rows of other classes are class `width`.
        labels = np.where((part > 0).any(axis=1), part.argmax(axis=1), width) if together else part[:, 0]
        sample_weight = None
        if row_weights is not None:
            sample_weight = row_weights[:, 0] if row_weights.shape[1] == 1 else row_weights[:, classes][:, 0]
        weights = np.zeros((matrix.shape[1] + 1, width), np.float32)
        present = np.unique(labels)
        weights[-1] = np.where((part > 0).all(axis=0), 1, -1)  # unless some rows have the class, and others do not
        if len(present) < 2:
            return Fitted(weights, 0)
        classifier = fit_alone(matrix, labels, sample_weight, options)
        coefficients, intercepts = classifier.coef_, classifier.intercept_
        if not together:
            present = np.zeros(1, np.int64)
        elif len(present) == 2:  # LIBLINEAR fits the second against the first
            coefficients, intercepts = np.vstack([-coefficients, coefficients]), np.append(-intercepts, intercepts)
        inside = present < width
        weights[:-1, present[inside]], weights[-1, present[inside]] = coefficients[inside].T, intercepts[inside]
        return Fitted(weights, int(np.max(classifier.n_iter_)))

    return fit_part


def fit_alone(matrix: Any, labels: np.ndarray, row_weights: np.ndarray | None, options: dict[str, Any]) -> Any:
    """A fitted LinearSVC; an earlier call that was given up ends first."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.svm import LinearSVC

    with _liblinear, warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return LinearSVC(**options).fit(matrix, labels, sample_weight=row_weights)
