"""Limited-memory BFGS for smooth convex functions of very many variables.   P variables, m curvature pairs.

Liu and Nocedal, 1989, with the two-loop recursion on coefficients instead of vectors (Chen, Wang and Zhou, 2014): the
pairs are the rows of one matrix [2m, P], so an iteration reads them twice, in two matrix-vector products, instead of 40
times one by one. With 1.8 million variables that is most of the solver's time. Pure NumPy; float32 is enough, because
scalars are float64 and the line search tests slopes, which suffer less from rounding than differences of values.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

# Wolfe's conditions with the constants of Nocedal and Wright, 2006, section 3.1.
DECREASE, CURVATURE = 1e-4, 0.9
TRIALS = 20
# Relative difference below which two values of a float32 mean count as equal.
NOISE = 1e-6
# Iterations without a lower value or gradient after which only rounding is left.
PATIENCE = 10
# Iterations over which the decrease of the value is averaged.
WINDOW = 5

Function = Callable[[np.ndarray], tuple[float, np.ndarray]]  # [P] -> value, gradient [P]


@dataclass(frozen=True)
class Minimum:
    """stopped: "converged" (no entry of the gradient exceeds the tolerance, or the value hardly decreases), "iterations", or "rounding" (steps lower the
    value by no more than its rounding error)."""

    point: np.ndarray
    value: float
    gradient: np.ndarray
    iterations: int
    calls: int
    stopped: str


@dataclass
class Trial:
    """A point on the search line: its distance from the origin, value and gradient, and the slope along the line."""

    length: float
    point: np.ndarray
    value: float
    gradient: np.ndarray
    slope: float


class Ending:
    """When a search is over: after too many iterations, or when neither the value nor the gradient gets lower.

    value: at the start. min_decrease: also when the last WINDOW iterations lowered the value by less than this share of it each, on
    average.
    """

    def __init__(self, value: float, *, max_iterations: int, min_decrease: float):
        self.max_iterations, self.min_decrease = max_iterations, min_decrease
        self.lowest_value, self.smallest_gradient, self.stale = value, np.inf, 0
        self.values = [value]  # of the points so far

    def reason(self, largest: float) -> str | None:
        """Minimum.stopped if the search must not go on from the last point; largest: the largest entry of its gradient."""
        value = self.values[-1]
        if value < self.lowest_value - NOISE * abs(self.lowest_value) or largest < 0.9 * self.smallest_gradient:
            self.lowest_value, self.smallest_gradient, self.stale = (
                min(value, self.lowest_value),
                min(largest, self.smallest_gradient),
                0,
            )
        else:
            self.stale += 1
        if self.stale == PATIENCE:
            return "rounding"
        return "iterations" if len(self.values) > self.max_iterations else None

    def is_slow(self, value: float) -> bool:
        """Adds the value of a new point; whether the values now fall too slowly."""
        self.values.append(value)
        if not self.min_decrease or len(self.values) <= WINDOW:
            return False
        return self.values[-1 - WINDOW] - value < self.min_decrease * WINDOW * abs(value)


def minimize(
    function: Function,
    start: np.ndarray,
    *,
    tolerance: float,
    max_iterations: int,
    memory: int = 10,
    report: Callable[[float, np.ndarray], None] = lambda value, gradient: None,
    steepest: Callable[[np.ndarray], float] = lambda gradient: float(np.abs(gradient).max()),
    min_decrease: float = 0.0,
) -> Minimum:
    """Minimizes a convex function from `start` [P]; report(value, gradient) is called after each iteration.

    steepest: the largest entry of a gradient, compared with the tolerance. min_decrease: see Ending.
    """
    point = start.astype(np.float32)
    value, gradient = function(point)
    pairs = CurvaturePairs(len(point), memory)
    ending = Ending(value, max_iterations=max_iterations, min_decrease=min_decrease)
    iterations, calls, stopped = 0, 1, "converged"
    while (largest := steepest(gradient)) > tolerance:
        if reason := ending.reason(largest):
            stopped = reason
            break
        direction = pairs.direction(gradient)
        # The first direction has no scale; later ones are scaled by the pairs, so that a length of 1 usually works.
        length = 1.0 if pairs.count else 1.0 / float(np.linalg.norm(gradient))
        trial, num_tried = search(
            function, Trial(0.0, point, value, gradient, dot(gradient, direction)), direction, length
        )
        calls += num_tried
        if trial is None:
            stopped = "rounding"
            break
        pairs.add(trial.point - point, trial.gradient - gradient)
        point, value, gradient = trial.point, trial.value, trial.gradient
        iterations += 1
        report(value, gradient)
        if ending.is_slow(value):
            break
    return Minimum(point, value, gradient, iterations, calls, stopped)


def search(function: Function, origin: Trial, direction: np.ndarray, length: float) -> tuple[Trial | None, int]:
    """A point along the direction that meets Wolfe's conditions, or None, and the number of points tried.

    The slope of a convex function never decreases along a line, so its sign tells the side of the minimum.
    """
    low, high, last = origin, None, None
    for num_tried in range(1, TRIALS + 1):
        point = origin.point + np.float32(length) * direction
        value, gradient = function(point)
        trial = Trial(length, point, value, gradient, dot(gradient, direction))
        limit = origin.value + DECREASE * length * origin.slope + NOISE * abs(origin.value)
        if np.isfinite(value) and value <= limit:
            if abs(trial.slope) <= CURVATURE * abs(origin.slope):
                return trial, num_tried
            last = trial if last is None or value < last.value else last
        if not np.isfinite(value) or value > limit or trial.slope > 0:
            high = trial
        else:
            low = trial
        length = 4 * low.length if high is None else between(low, high)
    return (last if last is not None and last.value < origin.value else None), TRIALS


def between(low: Trial, high: Trial) -> float:
    """Where a linear slope would be zero, kept away from both ends."""
    span, share = high.length - low.length, 0.5
    if np.isfinite(high.slope) and high.slope > low.slope:
        share = -low.slope / (high.slope - low.slope)
    return low.length + span * min(max(share, 0.1), 0.9)


class CurvaturePairs:
    """The latest m steps s and changes of gradient y, and the implied inverse Hessian."""

    def __init__(self, size: int, memory: int):
        self.memory, self.count = memory, 0
        self.rows = np.zeros((2 * memory, size), np.float32)  # steps, then changes; slot i holds pair i, i + m, ...
        self.products = np.zeros((2 * memory, 2 * memory))  # of all pairs of rows

    def add(self, step: np.ndarray, change: np.ndarray) -> None:
        """Adds a pair in place of the oldest; a pair without positive curvature, caused by rounding, is dropped."""
        if dot(step, change) <= 0:
            return
        slot = self.count % self.memory
        indices = [slot, slot + self.memory]
        self.rows[indices] = step, change
        self.products[indices] = self.rows @ step, self.rows @ change
        self.products[:, indices] = self.products[indices].T
        self.count += 1

    def direction(self, gradient: np.ndarray) -> np.ndarray:
        """- (inverse Hessian) gradient: [P] -> [P]. Nocedal and Wright, algorithm 7.4, on coefficients of the rows."""
        if self.count == 0:
            return -gradient
        with_gradient = (self.rows @ gradient).astype(np.float64)  # [2m]
        weights, gradient_weight = np.zeros(2 * self.memory), 1.0  # the vector q = weights @ rows + own * gradient
        newest = range(self.count - 1, max(-1, self.count - 1 - self.memory), -1)
        slots = [number % self.memory for number in newest]
        shares = {}
        for slot in slots:
            step, change = slot, slot + self.memory
            along = self.products[step] @ weights + gradient_weight * with_gradient[step]
            shares[slot] = along / self.products[step, change]
            weights[change] -= shares[slot]
        last = slots[0] + self.memory
        scale = self.products[slots[0], last] / self.products[last, last]
        weights, gradient_weight = weights * scale, gradient_weight * scale
        for slot in reversed(slots):
            step, change = slot, slot + self.memory
            along = self.products[change] @ weights + gradient_weight * with_gradient[change]
            weights[step] += shares[slot] - along / self.products[step, change]
        return -(weights.astype(np.float32) @ self.rows + np.float32(gradient_weight) * gradient)


def dot(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.dot(first, second))
