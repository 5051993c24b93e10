"""Derivatives of a function of one number from its values: central differences, extrapolated (Ridders, 1982).

Central differences have an error series in even powers of the step, so (4 D(h/2) - D(h)) / 3 has error O(h^4). Where that is not
enough, Ridders' tableau of ever smaller steps gives the estimate together with an estimate of its error.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

STEP = 1e-3
SMALL_STEP = 1e-5
STARTS = (1e-2, 1e-3, 1e-4)  # first steps of the tableau; a kink at a distance below the first spoils the others too
LEVELS = 6
ROUNDING = 32 * 2.0**-52  # relative error of a loss in float64
SLOPE_TOLERANCE = 1e-4  # relative difference of the slopes on both sides above which a point is a kink

Function = Callable[[float], float]


@dataclass(frozen=True)
class Comparison:
    """A derivative by autodiff and by differences.

    error: |analytic - numeric| / max(|analytic|, |numeric|, smallest); at a kink the distance to the interval of one-sided slopes.
    state: "kink" where the slopes on both sides differ, so that any value between them is a subgradient.
    """

    analytic: float
    numeric: float
    error: float
    state: Literal["smooth", "kink"]
    passed: bool


def smallest_derivative(value: float, tolerance: float) -> float:
    """The derivative below which the rounding of a function of this value exceeds `tolerance`: errors are relative to at least this."""
    return ROUNDING * max(abs(value), 1e-3) / STEP / tolerance


def compare(function: Function, analytic: float, value: float, tolerance: float) -> Comparison:
    """Compare `analytic` with the derivative of `function` at 0, where it has this `value`.

    Two steps suffice for most entries; a larger difference, or slopes that differ, are examined with smaller steps.
    """
    smallest = smallest_derivative(value, tolerance)
    outer, inner = sides(function, STEP), sides(function, STEP / 2)
    numeric = (4 * central(inner, STEP / 2) - central(outer, STEP)) / 3
    error = relative(analytic, numeric, smallest)
    derivatives = one_sided_derivatives(outer, inner, value, STEP)
    if error <= tolerance and relative(*derivatives, smallest) <= 1e-3:
        return Comparison(analytic, numeric, error, "smooth", True)
    close = sides(function, SMALL_STEP), sides(function, SMALL_STEP / 2)
    derivatives = one_sided_derivatives(*close, value, SMALL_STEP)
    if relative(*derivatives, STEP / SMALL_STEP * smallest) > SLOPE_TOLERANCE:
        return at_kink(analytic, derivatives, smallest)
    numeric, uncertainty = ridders(function)
    error = relative(analytic, numeric, smallest)
    if error > tolerance and uncertainty > tolerance * max(abs(numeric), smallest):
        return at_kink(analytic, derivatives, smallest)  # too close for the tableau
    return Comparison(analytic, numeric, error, "smooth", error <= tolerance)


def at_kink(analytic: float, derivatives: tuple[float, float], smallest: float) -> Comparison:
    """A subgradient lies between the slopes, which differences give to SLOPE_TOLERANCE."""
    low, high = sorted(derivatives)
    error = relative(analytic, min(max(analytic, low), high), STEP / SMALL_STEP * smallest)
    return Comparison(analytic, (low + high) / 2, error, "kink", error <= SLOPE_TOLERANCE)


def sides(function: Function, step: float) -> tuple[float, float]:
    """f(-h), f(h)"""
    return function(-step), function(step)


def central(values: tuple[float, float], step: float) -> float:
    return (values[1] - values[0]) / (2 * step)


def one_sided_derivatives(
    outer: tuple[float, float], inner: tuple[float, float], value: float, step: float
) -> tuple[float, float]:
    """The derivatives from the left and from the right at 0, with error O(h^2), from values at +-h and +-h/2."""
    left = 2 * (value - inner[0]) / (step / 2) - (value - outer[0]) / step
    right = 2 * (inner[1] - value) / (step / 2) - (outer[1] - value) / step
    return left, right


def ridders(function: Function) -> tuple[float, float]:
    """The derivative at 0 and an estimate of its error: the best entry of the tableaus of all STARTS.

    C. J. F. Ridders (1982), Accurate computation of F'(x) and F'(x) F''(x), Advances in Engineering Software 4 (2).
    """
    best, uncertainty = 0.0, float("inf")
    for start in STARTS:
        previous: list[float] = []
        for level in range(LEVELS):
            step = start / 2**level
            row = [central(sides(function, step), step)]
            factor = 4.0
            for older in previous:
                row.append((factor * row[-1] - older) / (factor - 1))
                change = max(abs(row[-1] - row[-2]), abs(row[-1] - older))
                if change < uncertainty:
                    best, uncertainty = row[-1], change
                factor *= 4
            if previous and abs(row[-1] - previous[-1]) > 2 * uncertainty:  # rounding has taken over
                break
            previous = row
    return best, uncertainty


def relative(left: float, right: float, smallest: float) -> float:
    """|left - right| / max(|left|, |right|, smallest)"""
    return abs(left - right) / max(abs(left), abs(right), smallest)
