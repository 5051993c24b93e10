"""What a caller may ask of a generator's search: bounds of its options, and the time at which it stops.

An export says both: textpipe.json has {"bounds": {option: [low, high]}}, and the signature `options` an input `deadline`,
Unix seconds, past which the loop of a search ends with an error. What textpipe.json says of a signature's search tells how it
is made of the outputs of that one, so that it can be answered under a deadline too. Of exports that state no bounds, the
options named here are bounded, for they say how much memory a search takes; of other tools' models nothing is known.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from textpipe.serve.engine.errors import ServingError, invalid_argument

BOUNDS, NBEST = "bounds", "n_best"
DEADLINE_ERROR = "DEADLINE_EXCEEDED"  # in the message of a search that was stopped
DEFAULT_MAX = {
    "beam_size": 64, "n_best": 64, "num_samples": 64, "max_length": 1000, "min_length": 1000, "max_extra": 1000, "max_ratio": 100,
}  # fmt: skip

WIDTH_OPTIONS = ("beam_size", "n_best", "num_samples")  # each row is searched in as many lines as the largest of these
MAX_HYPOTHESES = 8192  # of a request; the memory of a search grows with them

Bounds = dict[str, tuple[float, float]]


@dataclass(frozen=True)
class OptionLimits:
    """The operator's own upper bounds: of all models, and of models by name, which go before."""

    common: Mapping[str, float] = field(default_factory=dict)
    models: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def bounds(self, model: str, about: Mapping[str, Any], settings: Mapping[str, np.ndarray]) -> Bounds:
        """(low, high) of a model's options, whose settings these are; what it does without being told is allowed."""
        found: Bounds = {}
        stated, own = about.get(BOUNDS) or {}, self.models.get(model, {})
        for name, value in settings.items():
            if value.dtype == object or not np.issubdtype(value.dtype, np.number):
                continue
            low, high = stated.get(name, (-math.inf, DEFAULT_MAX.get(name, math.inf) if about else math.inf))
            high = own.get(name, self.common.get(name, high))
            found[name] = float(low), max(float(high), float(value.reshape(-1)[0]))
        return {name: pair for name, pair in found.items() if pair != (-math.inf, math.inf)}


def check_options(bounds: Bounds, tensors: Mapping[str, np.ndarray]) -> None:
    """Raises Fault for an option outside its bounds."""
    for name, (low, high) in bounds.items():
        array = tensors.get(name)
        if array is None or array.dtype == object or not array.size:
            continue
        for value in (array.min(), array.max()):
            if not low <= value <= high:
                raise invalid_argument(f"option {name} takes {format_range(low, high)}, found {value.item()}")


def check_width(
    bounds: Bounds, defaults: Mapping[str, np.ndarray], tensors: Mapping[str, np.ndarray], most_rows: int
) -> None:
    """Raises Fault where the rows of a request are searched too widely all together.

    As many rows as a request may have, searched as the model does without being told, are always allowed.
    """
    names = [name for name in WIDTH_OPTIONS if name in bounds and name in defaults]
    if not names:
        return
    rows = max((len(array) for array in tensors.values() if array.ndim and array.dtype == object), default=1)
    width, own = (max(max_width(given, name) for name in names) for given in ({**defaults, **tensors}, defaults))
    most = max(MAX_HYPOTHESES, most_rows * own)
    if rows * width > most:
        raise invalid_argument(
            f"{rows} rows times {width}, the largest of {', '.join(names)}, is {rows * width} where a request may have "
            f"{most}; send {max(1, most // width)} rows at most in a request"
        )


def max_width(given: Mapping[str, np.ndarray], name: str) -> int:
    array = given[name]
    return int(array.max()) if array.size and np.issubdtype(array.dtype, np.number) else 1


def format_range(low: float, high: float) -> str:
    """(1, 16) -> "1 to 16"; (-inf, 16) -> "16 at most" """
    if high == math.inf:
        return f"{low:g} at least"
    return f"{high:g} at most" if low == -math.inf else f"{low:g} to {high:g}"


def json_schema(bounds: Bounds, settings: Mapping[str, np.ndarray]) -> dict[str, dict[str, Any]]:
    """As JSON Schema: {"beam_size": {"type": "integer", "default": 5, "minimum": 1, "maximum": 64}}"""
    found: dict[str, dict[str, Any]] = {}
    for name, value in settings.items():
        if value.dtype == object:
            continue
        whole = np.issubdtype(value.dtype, np.integer)
        found[name] = {"type": "integer" if whole else "number", "default": value.reshape(-1)[0].item()}
        for key, bound in zip(("minimum", "maximum"), bounds.get(name, (-math.inf, math.inf)), strict=True):
            if math.isfinite(bound):
                found[name][key] = int(bound) if whole else bound
    return found


def earliest_deadline(given: np.ndarray | None, until: float) -> np.ndarray:
    """The deadline of a call: the server's, or its caller's where that comes sooner; 0.0 is none."""
    own = 0.0
    if given is not None:
        if given.size != 1 or given.dtype == object or math.isnan(own := float(given.reshape(-1)[0])):
            raise invalid_argument("deadline: expected a time in Unix seconds")
        own = max(own, 1.0) if own else 0.0  # a time before 1970 has passed, and is not no time
    return np.array(min((value for value in (own, until) if value), default=0.0), np.float64)


def deadline_exceeded() -> ServingError:
    return ServingError("DEADLINE_EXCEEDED", "the deadline passed before there was an answer")
