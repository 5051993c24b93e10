"""Which settings of a pipeline a study varies, and how: the table [tune], read by `textpipe tune` alone.

    [tune]
    sampler = "tpe"                     # or "grid", "random", or a table with their settings
    metric = "valid_accuracy"           # of training's validations, or of evaluate, measured on the split valid
    trials = 40

    [tune.settings]
    "model.units" = [[64], [128], [256]]                                # one of these values
    "train.optimizer.learning_rate" = { low = 1e-4, high = 1e-2, log = true }
    "train.batch_rows" = { low = 16, high = 128, int = true, step = 16 }
    "model.dropout" = { low = 0, high = 0.6, when = { "model.kind" = "feed_forward" } }

[tune] is part of no stage's cache key.
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from pydantic import Field, field_validator, model_validator

from textpipe.config import plugins
from textpipe.config.sections import Plugin, Section
from textpipe.errors import suggest

RANGE = ("low", "high", "log", "int", "step")
LEAF = ("choices", "low", "high")  # a table with one of these describes a setting, any other is part of a dotted key
DEFAULT_TRIALS = 40


@dataclass(frozen=True)
class Parameter:
    """One setting that varies: `choices`, or the range from low to high, both included.

    log: uniform in the logarithm; integer: whole numbers; step: the distance of its values from low on; when: {key: the values
    of that key with which this setting is used}.
    """

    key: str
    choices: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    integer: bool = False
    step: float | None = None
    when: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)

    @classmethod
    def parse(cls, key: str, value: Any) -> "Parameter":
        """From a value of [tune.settings]. Raises ValueError."""
        if isinstance(value, list):
            value = {"choices": value}
        if not isinstance(value, dict):
            raise ValueError(f"expected a list of values or a range {{ low = ..., high = ... }}, found {value!r}")
        known = ("choices", "when") if "choices" in value else (*RANGE, "when")
        for name in value:
            if name not in known:
                raise ValueError(f"{name}: unknown key{suggest(name, known)}")
        when = parse_conditions(value.get("when", {}))
        if "choices" in value:
            return cls(key, parse_choices(value["choices"]), when=when)
        return cls(key, when=when, **parse_range(value))

    @property
    def described(self) -> dict[str, Any]:
        """As JSON, to compare two studies."""
        limits = {name: getattr(self, name) for name in ("low", "high", "log", "step")} | {"whole": self.integer}
        values = {"choices": list(self.choices)} if self.choices else limits
        return {**values, "when": {key: list(values) for key, values in self.when.items()}}


def parse_choices(choices: Any) -> tuple[Any, ...]:
    """A list of different values."""
    if not isinstance(choices, list) or not choices:
        raise ValueError(f"choices: expected a list of at least one value, found {choices!r}")
    texts = [json.dumps(choice, default=str, sort_keys=True) for choice in choices]
    twice = next((text for text in texts if texts.count(text) > 1), None)
    if twice is not None:
        raise ValueError(f"{twice} is listed twice")
    return tuple(choices)


def parse_range(value: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a Parameter for a range."""
    for name in ("low", "high"):
        if name not in value:
            raise ValueError(f"{name} is missing; a range is {{ low = ..., high = ... }}")
    for name in ("low", "high", "step"):
        if name in value and (
            isinstance(value[name], bool) or not isinstance(value[name], int | float) or not math.isfinite(value[name])
        ):
            raise ValueError(f"{name}: expected a number, found {value[name]!r}")
    for name in ("log", "int"):
        if not isinstance(value.get(name, False), bool):
            raise ValueError(f"{name}: expected true or false, found {value[name]!r}")
    low, high, step = value["low"], value["high"], value.get("step")
    log, integer = value.get("log", False), value.get("int", False)
    if low >= high:
        raise ValueError(f"expected low below high, found low = {low} and high = {high}")
    if log and low <= 0:
        raise ValueError(f"log = true needs low above 0, found {low}")
    if log and step is not None:
        raise ValueError("log = true and step cannot both be set; leave one out")
    if step is not None and not 0 < step <= high - low:
        raise ValueError(f"step: expected a number above 0 and at most high - low, found {step}")
    if integer and any(number != int(number) for number in (low, high, step or 1)):
        raise ValueError("int = true needs whole numbers for low, high and step")
    kind = int if integer else float
    if step is not None:  # high is the last value that is reached
        first, distance = Decimal(str(low)), Decimal(str(step))
        high = first + (Decimal(str(high)) - first) // distance * distance
    return {
        "low": kind(low), "high": kind(high), "log": log, "integer": integer, "step": None if step is None else kind(step),
    }  # fmt: skip


def parse_conditions(when: Any) -> dict[str, tuple[Any, ...]]:
    """{"model.kind" = "pooled"} and {model = { kind = ["pooled"] }} -> {"model.kind": ("pooled",)}"""
    if not isinstance(when, dict):
        raise ValueError(f'when: expected a table {{ "model.kind" = ... }}, found {when!r}')
    conditions: dict[str, tuple[Any, ...]] = {}
    for key, value in when.items():
        if isinstance(value, dict):
            conditions |= {f"{key}.{name}": values for name, values in parse_conditions(value).items()}
        else:
            conditions[key] = tuple(value) if isinstance(value, list) else (value,)
    return conditions


def leaves(tables: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and what [tune.settings] says of them; keys may be quoted or nested tables."""
    for name, value in tables.items():
        key = f"{prefix}{name}"
        if isinstance(value, dict) and not any(word in value for word in LEAF):
            yield from leaves(value, f"{key}.")
        else:
            yield key, value


class Tune(Section):
    """settings: the settings that vary, by their dotted key: a list of values, or a range { low, high } with log, int, step;
        { choices = [...], when = { "model.kind" = "pooled" } } and a range with `when` are used only with these values of
        other settings.
    sampler: how the next settings are chosen.
    pruner: how trials to end early are chosen, by their validation metric.
    trials: total number of trials; by default 40, or all points of a grid.
    metric: the metric to optimize: one that training measures on its validations, or one of evaluate, which is then measured
        on the split valid. Default: the metric by which training chooses the best validation.
    max_minutes: no trial starts after this many minutes of a call.
    keep: number of best trials whose trained models are kept in the store; those of other trials are deleted.
    """

    settings: dict[str, Any]
    sampler: Plugin.of("searches") = Field(default="tpe", validate_default=True)
    pruner: Plugin.of("pruners") = Field(default="none", validate_default=True)
    trials: int | None = Field(default=None, ge=1)
    metric: str | None = None
    seed: int = Field(default=1, ge=0, lt=2**32)  # seed of the search; trials use the pipeline's seed
    max_minutes: float | None = Field(default=None, gt=0)
    keep: int = Field(default=3, ge=1)

    @field_validator("sampler", mode="before")
    @classmethod
    def sampler_is_known(cls, value: Any) -> Any:
        """Refuses an unknown search by the name of its key."""
        kind = value.get("kind") if isinstance(value, dict) else value
        known = plugins.names("searches")
        if isinstance(kind, str) and "." not in kind and kind not in known:
            raise ValueError(f"unknown sampler {kind!r}{suggest(kind, known)}")
        return value

    @model_validator(mode="after")
    def settings_are_valid(self):
        """Refuses all faulty settings at once."""
        faults, seen = [], set()
        for key, value in leaves(self.settings):
            try:
                Parameter.parse(key, value)
                if key in seen:
                    raise ValueError("is given twice")
                if key == "task" or key.split(".")[0] == "tune":
                    raise ValueError("cannot be varied")
            except ValueError as error:
                faults.append(f"{key}: {error}")
            seen.add(key)
        if not seen:
            faults.append('names no setting; give at least one, for example "model.l2" = [0.1, 1, 10]')
        if faults:
            raise ValueError("\n".join(f"settings {fault}" for fault in faults))
        return self

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """The settings that vary, in the order of the file."""
        return tuple(Parameter.parse(key, value) for key, value in leaves(self.settings))
