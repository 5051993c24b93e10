"""Fits with several strengths of the L2 penalty, of which the best on valid is kept."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from textpipe.errors import ConfigError
from textpipe.training import full_batch_settings
from textpipe.training.batching import batches
from textpipe.training.full_batch import Objective
from textpipe.training.steps import Steps


@dataclass(frozen=True)
class Fit:
    """A fit that may be kept: its l2, its line of the history, its weights [D + 1, C], and why the search ended."""

    l2: float
    line: dict[str, Any]
    weights: np.ndarray
    stopped: str


class Path:
    """The fits of an objective with each of `values`, the model's l2, strongest first; iterated over, the values to fit in turn.

    Up to the model's l2_extensions more values follow, as long as the fit with the last one would be kept. Raises ConfigError if there are several values and no validation rows to choose one.
    """

    def __init__(self, function: Objective, train, valid, settings, objective):
        model = function.model
        self.function, self.num_valid = function, len(valid) if valid else 0
        self.values = list(getattr(model, "l2_path", (model.l2,)))
        self.extensions: int = getattr(model, "l2_extensions", 0)
        if len(self.values) > 1 and not valid:
            raise ConfigError(
                f"[model] l2: {len(self.values)} values, but no validation rows to choose one; set [ingest] split.valid, or give one value"
            )
        self.valid, self.order, self.steps = valid, [], None
        if valid:
            self.steps = Steps(model, None, settings, tf.distribute.get_strategy(), len(train), objective)
            self.order = batches.plan(valid, settings).epoch(0)
        self.fits: list[Fit] = []
        self.last: Fit | None = None

    def __iter__(self) -> Iterator[float]:
        for number in itertools.count():
            if number == len(self.values):
                if not self.extensions or self.best().l2 != self.values[-1]:
                    return
                self.extensions -= 1
                self.values.append(next_value(*self.values[-2:]))
            yield self.values[number]

    def add(self, l2: float, line: dict[str, Any], weights: np.ndarray, stopped: str) -> None:
        """Validates the weights that are in the model, extends their line of the history, and drops the fits that they dominate.

        A fit with a lower accuracy and a higher loss than another is never chosen, whatever comes, so its weights need no memory.
        """
        if self.steps:
            line |= self.steps.validate(self.valid, self.order)
        if len(self.values) > 1:
            line["l2"] = l2
            full_batch_settings.log_fit(line)
        self.last = Fit(l2, line, weights, stopped)
        remaining = [fit for fit in self.fits if not full_batch_settings.dominates(line, fit.line)]
        dominated = any(full_batch_settings.dominates(fit.line, line) for fit in remaining)
        self.fits = remaining if dominated else [*remaining, self.last]

    def best(self) -> Fit:
        """The fit to keep of those so far."""
        return self.fits[full_batch_settings.choose_fit([fit.line for fit in self.fits], self.num_valid)]

    def finish(self) -> Fit:
        """Leaves the weights to keep in the model and returns their fit."""
        best_fit = self.best()
        if best_fit is not self.last:
            self.function.penalize(best_fit.l2)
            self.function.assign(self.function.rescale(best_fit.weights))
        full_batch_settings.warn_at_the_ends(self.values, best_fit.l2)
        return best_fit


def next_value(last_but_one: float, last: float) -> float:
    """The value that continues a falling path in the ratio of its last two, rounded to one digit if that is less than the last.

    0.03, 0.01 -> 0.003
    """
    exact = last * last / last_but_one
    rounded = float(f"{exact:.1g}")
    return rounded if rounded < last else exact
