"""The space of a study: assignments of values to the settings that vary, and the pipeline of each.

An assignment is {dotted key: value}. It leaves out settings whose conditions do not hold.
"""

import copy
import functools
import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from textpipe.errors import ConfigError, suggest
from textpipe.pipeline.runner import Pipeline
from textpipe.pipeline.tune_settings import Parameter

Assignment = dict[str, Any]
MAX_GRID = 100_000  # combinations
DIGITS = 6  # significant digits of a value from a range
MISSING = object()


class Space:
    """The parameters of a study and the tables of the pipeline file that they change; the tables have no [tune]."""

    def __init__(self, place: str, tables: Mapping[str, Any], parameters: Sequence[Parameter]):
        self.place, self.tables = place, dict(tables)
        self.parameters = self.in_order(parameters)
        self.grid = functools.cache(self.list_grid)  # asked for in every trial

    def in_order(self, parameters: Sequence[Parameter]) -> tuple[Parameter, ...]:
        """The parameters such that each follows those that it depends on. Raises ConfigError for a circle."""
        waiting, ordered = list(parameters), []
        while waiting:
            ready = next(
                (parameter for parameter in waiting if not any(depends(parameter, other) for other in waiting)), None
            )
            if ready is None:
                keys = ", ".join(parameter.key for parameter in waiting)
                raise ConfigError(f"{self.place} [tune] settings: the conditions of {keys} depend on one another")
            waiting.remove(ready)
            ordered.append(ready)
        return tuple(ordered)

    def apply(self, assignment: Mapping[str, Any]) -> dict[str, Any]:
        """The tables of the file with these values. Raises ConfigError if a key leads through a value."""
        tables = copy.deepcopy(self.tables)
        for key, value in assignment.items():
            assign(tables, key, value, self.place)
        return tables

    def pipeline(self, assignment: Mapping[str, Any], extra: Mapping[str, Any] | None = None) -> Pipeline:
        """The checked pipeline of an assignment; extra: further values, by key. Raises ConfigError."""
        tables = self.apply(assignment)
        for key, value in (extra or {}).items():
            assign(tables, key, value, self.place)
        return Pipeline.from_tables(self.place, tables)

    def suggest(self, trial: Any) -> Assignment:
        """The assignment that an Optuna trial's sampler proposes."""
        return self.walk(lambda parameter: decode(parameter, ask(parameter, trial)))

    def walk(self, choose: Any) -> Assignment:
        """An assignment with `choose(parameter)` for every parameter whose conditions hold."""
        tables, assignment = copy.deepcopy(self.tables), {}
        for parameter in self.parameters:
            if holds(parameter, tables):
                assignment[parameter.key] = choose(parameter)
                assign(tables, parameter.key, assignment[parameter.key], self.place)
        return assignment

    def assignment(self, params: Mapping[str, Any]) -> Assignment:
        """The assignment of a stored trial's parameters."""
        return {
            parameter.key: decode(parameter, params[parameter.key])
            for parameter in self.parameters
            if parameter.key in params
        }

    def list_grid(self, points: int) -> list[dict[str, Any]]:
        """Every combination of values, as parameters of an Optuna trial. Raises ConfigError if there are too many."""
        combinations = list(itertools.islice(self.combinations(points), MAX_GRID + 1))
        if len(combinations) > MAX_GRID:
            raise ConfigError(
                f'{self.place} [tune] sampler "grid": more than {MAX_GRID:,} combinations; give fewer values, a step, '
                'fewer points, or sampler = "tpe"'
            )
        return combinations

    def combinations(self, points: int) -> Iterator[dict[str, Any]]:
        """The combinations of `list_grid`, in the order of the file."""

        def extend(position: int, tables: dict[str, Any], chosen: dict[str, Any]) -> Iterator[dict[str, Any]]:
            if position == len(self.parameters):
                yield chosen
                return
            parameter = self.parameters[position]
            if not holds(parameter, tables):
                yield from extend(position + 1, tables, chosen)
                return
            for raw in values(parameter, points):
                changed = copy.deepcopy(tables)
                assign(changed, parameter.key, decode(parameter, raw), self.place)
                yield from extend(position + 1, changed, {**chosen, parameter.key: raw})

        yield from extend(0, copy.deepcopy(self.tables), {})


def depends(one: Parameter, other: Parameter) -> bool:
    """Whether a parameter's value or condition is meaningful only after the other's."""
    parent = one.key.rpartition(".")[0]
    above = one.key.startswith(other.key + ".") or (other.key == f"{parent}.kind" != one.key)
    conditions = any(key == other.key or key.startswith(other.key + ".") for key in one.when)
    return one is not other and (above or conditions)


def ask(parameter: Parameter, trial: Any) -> Any:
    """The value that a trial's sampler proposes: the JSON of a choice, or a number."""
    if parameter.choices:
        return trial.suggest_categorical(parameter.key, [encode(choice) for choice in parameter.choices])
    if parameter.integer:
        return trial.suggest_int(parameter.key, int(parameter.low), int(parameter.high), step=int(parameter.step or 1), log=parameter.log)  # fmt: skip
    return trial.suggest_float(parameter.key, parameter.low, parameter.high, step=parameter.step, log=parameter.log)


def encode(choice: Any) -> str:
    """A choice as JSON: Optuna stores lists and tables only as text, and takes 1 and true for equal."""
    return json.dumps(choice, default=str, sort_keys=True, ensure_ascii=False)


def decode(parameter: Parameter, raw: Any) -> Any:
    """The value of a setting from what Optuna stores; numbers of a range have six significant digits."""
    if parameter.choices:
        return json.loads(raw)
    if parameter.integer:
        return int(raw)
    return min(parameter.high, max(parameter.low, float(f"{raw:.{DIGITS}g}")))


def values(parameter: Parameter, points: int) -> list[Any]:
    """The values of a parameter in a grid, as Optuna stores them."""
    if parameter.choices:
        return [encode(choice) for choice in parameter.choices]
    low, high = parameter.low, parameter.high
    if parameter.step is not None:
        kind, first, step = (int if parameter.integer else float), Decimal(str(low)), Decimal(str(parameter.step))
        count = int((Decimal(str(high)) - first) / step) + 1
        return [kind(first + at * step) for at in range(min(count, MAX_GRID + 1))]
    shares = [at / (points - 1) for at in range(points)]
    if parameter.log:
        numbers = [math.exp(math.log(low) + share * (math.log(high) - math.log(low))) for share in shares]
    else:
        numbers = [low + share * (high - low) for share in shares]
    numbers[0], numbers[-1] = low, high  # without rounding
    return list(dict.fromkeys(round(number) for number in numbers)) if parameter.integer else numbers


def holds(parameter: Parameter, tables: Mapping[str, Any]) -> bool:
    """Whether the conditions of a parameter hold in these tables."""
    return all(lookup(tables, key) in values for key, values in parameter.when.items())


def lookup(tables: Mapping[str, Any], key: str) -> Any:
    """The value of a dotted key, or MISSING; codec = "bpe" is short for { kind = "bpe" }."""
    value: Any = tables
    for name in key.split("."):
        if isinstance(value, str) and name == "kind":
            continue
        if not isinstance(value, Mapping) or name not in value:
            return MISSING
        value = value[name]
    return value["kind"] if isinstance(value, Mapping) and set(value) == {"kind"} else value


def assign(tables: dict[str, Any], key: str, value: Any, place: str) -> None:
    """Set a dotted key. Another kind of a plug-in replaces the plug-in's table: its other keys are those of the old kind."""
    *parents, last = key.split(".")
    table = tables
    for at, name in enumerate(parents):
        part = table.get(name, {})
        if isinstance(part, str):
            part = {"kind": part}
        if not isinstance(part, dict):
            raise ConfigError(f"{place} [tune] settings {key}: {'.'.join(parents[: at + 1])!r} is a value, not a table")
        table[name] = part
        table = part
    if last == "kind" and table.get("kind") not in (None, value):
        table.clear()
    table[last] = copy.deepcopy(value)


def unknown_condition(space: Space) -> str | None:
    """What is wrong with the first condition that can never hold; None if there is none."""
    keys = {parameter.key: parameter for parameter in space.parameters}
    for parameter in space.parameters:
        for key, accepted_values in parameter.when.items():
            varied = any(key == other or key.startswith(other + ".") for other in keys)
            if not varied and lookup(space.tables, key) is MISSING:
                return f"{parameter.key}: when: {key} is neither in the file nor varied{suggest(key, keys)}"
            choices = keys[key].choices if key in keys else ()
            missing = [value for value in accepted_values if choices and value not in choices]
            if missing:
                return f"{parameter.key}: when: {key} is never {missing[0]!r}; it is one of {', '.join(map(repr, choices))}"
    return None
