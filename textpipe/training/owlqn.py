"""L-BFGS for a smooth convex function plus l1 * sum |w|: weights that do not help are exactly 0.   P variables.

Andrew and Gao, 2007, Scalable Training of L1-Regularized Log-Linear Models (OWL-QN): each iteration stays in one orthant, in which the
penalty is linear; a weight whose sign would change stops at 0.
"""

from collections.abc import Callable

import numpy as np

from textpipe.training.lbfgs import DECREASE, NOISE, TRIALS, CurvaturePairs, Ending, Function, Minimum, dot


def minimize(
    function: Function,
    start: np.ndarray,
    l1: np.ndarray,
    *,
    tolerance: float,
    max_iterations: int,
    memory: int = 10,
    report: Callable[[float, np.ndarray], None] = lambda value, gradient: None,
    min_decrease: float = 0.0,
) -> Minimum:
    """Minimizes function(w) + sum l1 * |w| from `start` [P].

    function: value and gradient [P] of the smooth part; l1 [P]: strengths, 0 for weights that are not penalized. `gradient` of the
    result, of `report` and for the tolerance is the pseudo-gradient: the slope of the steepest descent, 0 at an optimum.
    """
    point = start.astype(np.float32)
    l1 = l1.astype(np.float32)
    smooth, gradient = function(point)
    value = smooth + penalty(point, l1)
    pairs = CurvaturePairs(len(point), memory)
    ending = Ending(value, max_iterations=max_iterations, min_decrease=min_decrease)
    iterations, calls, stopped = 0, 1, "converged"
    while (largest := float(np.abs(slope := pseudo_gradient(point, gradient, l1)).max())) > tolerance:
        if reason := ending.reason(largest):
            stopped = reason
            break
        direction = pairs.direction(slope)
        direction[direction * slope >= 0] = 0  # only downhill, so that the pseudo-gradient's signs hold
        orthant = np.where(point != 0, np.sign(point), -np.sign(slope))
        length = 1.0 if pairs.count else 1.0 / float(np.linalg.norm(slope))
        for _ in range(TRIALS):
            trial: np.ndarray = point + np.float32(length) * direction
            trial[trial * orthant <= 0] = 0
            trial_smooth, trial_gradient = function(trial)
            trial_value = trial_smooth + penalty(trial, l1)
            calls += 1
            if trial_value <= value + DECREASE * dot(slope, trial - point) + NOISE * abs(value):
                break
            length /= 2
        else:
            stopped = "rounding"
            break
        pairs.add(trial - point, trial_gradient - gradient)
        point, value, gradient = trial, trial_value, trial_gradient
        iterations += 1
        report(value, pseudo_gradient(point, gradient, l1))
        if ending.is_slow(value):
            break
    return Minimum(point, value, pseudo_gradient(point, gradient, l1), iterations, calls, stopped)


def penalty(point: np.ndarray, l1: np.ndarray) -> float:
    """sum l1 * |w|"""
    return float(np.dot(np.abs(point), l1))


def pseudo_gradient(point: np.ndarray, gradient: np.ndarray, l1: np.ndarray) -> np.ndarray:
    """The derivative in the direction of steepest descent [P]; 0 where neither side descends (equation 4)."""
    at_zero = np.sign(gradient) * np.maximum(np.abs(gradient) - l1, 0)
    return np.where(point != 0, gradient + l1 * np.sign(point), at_zero)
