"""The best validation, and when to stop: pure functions of the history, so no further state needs saving.

metrics: whether a metric is to be minimized or maximized, {name: "min" | "max"}; METRICS of an objective.
"""

from collections.abc import Mapping
from typing import Any

from textpipe.training.settings import EarlyStopping


def losses(history: list[dict[str, Any]], metric: str, metrics: Mapping[str, str]) -> list[float]:
    """The metric at each validation, with its sign such that lower is better.

    valid_accuracy .5, .7 -> -.5, -.7
    """
    sign = -1 if metrics.get(metric) == "max" else 1
    return [sign * line[metric] for line in history if metric in line]


def best(history: list[dict[str, Any]], metric: str, metrics: Mapping[str, str]) -> int | None:
    """Position of the first entry with the best value; None before any validation."""
    return next(iter(ranking(history, metric, metrics)), None)


def ranking(history: list[dict[str, Any]], metric: str, metrics: Mapping[str, str]) -> list[int]:
    """Positions in the history from the best value to the worst, the earlier of two equal values first.

    valid_loss 3, 1, 2, 1 -> 1, 3, 2, 0
    """
    positions = [position for position, line in enumerate(history) if metric in line]
    values = losses(history, metric, metrics)
    return [position for _, position in sorted(zip(values, positions, strict=True))]


def should_stop(history: list[dict[str, Any]], rule: EarlyStopping, metrics: Mapping[str, str]) -> bool:
    """Whether the last `patience` validations have not improved on the best before them by more than min_delta.

    patience = 2, valid_loss 3, 2, 2.1, 2.2: True
    """
    lowest, waited = float("inf"), 0
    for value in losses(history, rule.metric, metrics):
        if value < lowest - rule.min_delta:
            lowest, waited = value, 0
        else:
            waited += 1
    return waited >= rule.patience
