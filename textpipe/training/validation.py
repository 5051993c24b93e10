"""Validation: loss and accuracy over every row, and further metrics of a run (BLEU)."""

import time
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, Protocol

from textpipe.training.batching import batches
from textpipe.training.batching.rows import Rows
from textpipe.training.settings import Settings
from textpipe.training.steps import Steps, fixed_widths


class Measure(Protocol):
    """A further metric of a model, under its name in the history."""

    name: str

    def __call__(self, model) -> float: ...

    def described(self) -> dict[str, Any]:
        """How it was measured, for train.json."""


class Validation:
    """Measures the model, or with settings.ema the moving average of its weights.

    rows: the validation split; if None or empty, nothing is measured.
    """

    def __init__(self, steps: Steps, rows: Rows | None, measures: Sequence[Measure], settings: Settings):
        self.steps, self.rows, self.measures = steps, rows, tuple(measures) if rows else ()
        self.batches = batches.plan(rows, settings, fixed_widths=fixed_widths(steps.model)).epoch(0) if rows else []
        self.seconds: dict[str, float] = {}  # of the last validation, by metric

    def figures(self) -> dict[str, float]:
        """valid_loss, valid_accuracy, for texts valid_perplexity, and the further metrics, with the current weights."""
        if not self.rows:
            return {}
        began = time.monotonic()
        figures = self.steps.validate(self.rows, self.batches)
        self.seconds = {"validation_seconds": time.monotonic() - began}
        for measure in self.measures:
            began = time.monotonic()
            figures[measure.name] = measure(self.steps.model)
            self.seconds[f"{measure.name}_seconds"] = time.monotonic() - began
        return figures

    def weights(self):
        """A context in which the model holds the weights to measure and keep."""
        return self.steps.average.in_place() if self.steps.average else nullcontext()
