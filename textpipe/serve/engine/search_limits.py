"""Limits of a generator's search: bounds of its options, and its deadline.

An export states both: textpipe.json has {"bounds": {option: [low, high]}}, and the signature `options` has an input `deadline`
in Unix seconds, past which the search loop fails. textpipe.json also says how the outputs of other signatures follow from
those of `options`, so that these can have a deadline too. For exports without bounds, the options below are bounded, because memory
grows with them; nothing is known about models of other tools.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from textpipe.serve.engine.errors import ServingError, invalid_argument

BOUNDS, NBEST = "bounds", "n_best"
DEADLINE_ERROR = "DEADLINE_EXCEEDED"  # in the message of a search that was stopped
DEFAULT_MAX = {
    "beam_size": 64, "n_best": 64, "num_samples": 64, "max_length": 1000, "min_length": 1000, "max_extra": 1000, "max_ratio": 100,
}  # fmt: skip

WIDTH_OPTIONS = ("beam_size", "n_best", "num_samples")  # the largest of these is the number of hypotheses per row
MAX_CANDIDATES = 8192  # of a request, which are scored one by one
MAX_HYPOTHESES = 8192  # of a request; the memory of a search grows with them

Bounds = dict[str, tuple[float, float]]


@dataclass(frozen=True)
class OptionLimits:
    """The operator's upper bounds: of all models, and of single models by name, which take precedence."""

    common: Mapping[str, float] = field(default_factory=dict)
    models: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def bounds(self, model: str, about: Mapping[str, Any], defaults: Mapping[str, np.ndarray]) -> Bounds:
        """(low, high) of a model's numeric options; the model's own defaults are always allowed."""
        bounds: Bounds = {}
        stated, of_model = about.get(BOUNDS) or {}, self.models.get(model, {})
        for name, default in defaults.items():
            if default.dtype == object or not np.issubdtype(default.dtype, np.number):
                continue
            low, high = stated.get(name, (-math.inf, DEFAULT_MAX.get(name, math.inf) if about else math.inf))
            high = of_model.get(name, self.common.get(name, high))
            bounds[name] = float(low), max(float(high), float(default.reshape(-1)[0]))
        return {name: pair for name, pair in bounds.items() if pair != (-math.inf, math.inf)}


def check_candidates(names: Iterable[str], tensors: Mapping[str, np.ndarray]) -> None:
    """Raises ServingError for more candidates than a request may have. names: the inputs that hold candidates."""
    for name in names:
        if name in tensors and tensors[name].size > MAX_CANDIDATES:
            raise invalid_argument(
                f"{name}: {tensors[name].size} texts where this server takes {MAX_CANDIDATES} in a request"
            )


def check_options(bounds: Bounds, tensors: Mapping[str, np.ndarray]) -> None:
    """Raises ServingError for an option outside its bounds."""
    for name, (low, high) in bounds.items():
        array = tensors.get(name)
        if array is None or array.dtype == object or not array.size:
            continue
        for value in (array.min(), array.max()):
            if not low <= value <= high:
                raise invalid_argument(f"option {name} takes {format_range(low, high)}, found {value.item()}")


def check_width(
    bounds: Bounds, defaults: Mapping[str, np.ndarray], tensors: Mapping[str, np.ndarray], max_rows: int
) -> None:
    """Raises ServingError when a request has too many hypotheses: its rows times the largest of WIDTH_OPTIONS.

    max_rows rows with the model's own defaults are always allowed.
    """
    names = [name for name in WIDTH_OPTIONS if name in bounds and name in defaults]
    if not names:
        return
    rows = max((len(array) for array in tensors.values() if array.ndim and array.dtype == object), default=1)
    width, default = (
        max(max_width(options, name) for name in names) for options in ({**defaults, **tensors}, defaults)
    )
    limit = max(MAX_HYPOTHESES, max_rows * default)
    if rows * width > limit:
        raise invalid_argument(
            f"{rows} rows times {width}, the largest of {', '.join(names)}, is {rows * width} where a request may have "
            f"{limit}; send {max(1, limit // width)} rows at most in a request"
        )


def max_width(options: Mapping[str, np.ndarray], name: str) -> int:
    array = options[name]
    return int(array.max()) if array.size and np.issubdtype(array.dtype, np.number) else 1


def format_range(low: float, high: float) -> str:
    """(1, 16) -> "1 to 16"; (-inf, 16) -> "16 at most" """
    if high == math.inf:
        return f"{low:g} at least"
    return f"{high:g} at most" if low == -math.inf else f"{low:g} to {high:g}"


def json_schema(bounds: Bounds, defaults: Mapping[str, np.ndarray]) -> dict[str, dict[str, Any]]:
    """{"beam_size": {"type": "integer", "default": 5, "minimum": 1, "maximum": 64}}"""
    schemas: dict[str, dict[str, Any]] = {}
    for name, default in defaults.items():
        if default.dtype == object:
            continue
        integer = np.issubdtype(default.dtype, np.integer)
        schemas[name] = {"type": "integer" if integer else "number", "default": default.reshape(-1)[0].item()}
        for key, bound in zip(("minimum", "maximum"), bounds.get(name, (-math.inf, math.inf)), strict=True):
            if math.isfinite(bound):
                schemas[name][key] = int(bound) if integer else bound
    return schemas


def earliest_deadline(requested: np.ndarray | None, deadline: float) -> np.ndarray:
    """The earlier of the client's requested deadline and the server's, in Unix seconds; 0.0 is none."""
    seconds = 0.0
    if requested is not None:
        if requested.size != 1 or requested.dtype == object or math.isnan(seconds := float(requested.reshape(-1)[0])):
            raise invalid_argument("deadline: expected a time in Unix seconds")
        seconds = max(seconds, 1.0) if seconds else 0.0  # a negative time is in the past, not "no deadline"
    return np.array(min((value for value in (seconds, deadline) if value), default=0.0), np.float64)


def deadline_exceeded() -> ServingError:
    return ServingError("DEADLINE_EXCEEDED", "the deadline passed before there was an answer")
