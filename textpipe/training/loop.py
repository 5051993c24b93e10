"""The training loop: steps in a planned order, validation, early stopping, checkpoints.

Why not keras's fit: it miscounts batches of unknown cardinality (keras#23084), fails under MultiWorkerMirroredStrategy
(keras#20585), and cannot resume inside an epoch. Here position (epoch, step), the variables (optimizer's and
random seeds' among them) and the history are the whole state, so a run that is killed anywhere and started again ends
with the same weights, bit for bit.
"""

import json
import logging
import math
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import tensorflow as tf

from textpipe.config import plugins
from textpipe.errors import ConfigError, DataError
from textpipe.training import schedule_check
from textpipe.training.batching import accumulation, batch_budget, batches
from textpipe.training.batching.rows import Rows
from textpipe.training.divergence import message
from textpipe.training.settings import Settings
from textpipe.training.state import checkpoint, early_stopping
from textpipe.training.state.interrupts import Interrupts
from textpipe.training.state.retention import CheckpointRetention
from textpipe.training.steps import Steps, fixed_widths
from textpipe.training.telemetry.curve import Curve
from textpipe.training.telemetry.progress import Progress
from textpipe.training.telemetry.resources import Resources
from textpipe.training.totals import describe, empty_sums, means
from textpipe.training.validation import Measure, Validation

log = logging.getLogger(__name__)


def fit(
    model: Any,
    data: dict[str, Rows],
    settings: Settings,
    output: Path | None = None,
    measures: Sequence[Measure] = (),
    objective: ModuleType | None = None,
) -> dict[str, Any]:
    """Trains a built model in place and leaves the best (or the last, or averaged) weights in it.

    data: {"train": rows, "valid": rows}; without "valid", or with none of it, there is no early stopping and the last
    weights are the result. measures: figures of a validation beside the
    objective's. objective: a module of objectives/; the usual one for such targets when left out. Under a tf.distribute strategy,
    build the model and call this inside its scope.

    Writes output/model.weights.h5, output/history.jsonl, output/logs/ and, while it runs, output/resume/; calling it
    again with the same arguments and a resume/ left by a killed run goes on where that stopped. Returns what
    train.json holds: `warnings` (where the schedule does not fit the run), `stopped` ("epochs", "early_stopping", "max_steps", "max_minutes"; of L-BFGS "converged",
    "iterations" or "rounding"), `epochs`, `steps`, `best` (the history's line whose weights were kept), `parameters`,
    and with settings.average `average`: the `steps` whose weights were averaged, what validation says of the mean, and
    whether that is `worse` than of the best one.

    Raises DataError when there is nothing to train on, ConfigError when the loss is no longer a number.
    KeyboardInterrupt passes through after a checkpoint.
    """
    if output is None:
        with tempfile.TemporaryDirectory() as folder:
            return fit(model, data, settings, Path(folder), measures, objective)
    train, valid = data["train"], data.get("valid")
    objective = objective or plugins.find("objectives", getattr(train.target, "objective", "softmax"))
    if len(train) == 0:
        raise DataError("train: expected rows to train on, found none; check the splits that ingest wrote")
    if not valid:
        valid = None
        log.warning("valid: no rows, so there is no early stopping and the last weights are kept")
    optimizer = plugins.find("training.optimizers", settings.optimizer.kind)
    if hasattr(optimizer, "minimize"):
        summary, history = optimizer.minimize(settings.optimizer, model, train, valid, settings, objective)
    else:
        schedule = plugins.find("training.schedules", settings.schedule.kind)

        def new_steps() -> Steps:
            rule = optimizer.build(settings.optimizer, model.trainable_variables)
            rule.build(model.trainable_variables)
            return Steps(model, rule, settings, tf.distribute.get_strategy(), len(train), objective)

        settings, budget = batch_budget.resolve(new_steps, train, settings, output / "resume" / "batch_tokens.json")
        loop = Loop(new_steps(), train, valid, settings, schedule, output, measures)
        summary, history = loop.run(), loop.history
        if budget:
            summary["batch_tokens"] = {name: budget[name] for name in ("batch_tokens", "ended_by")}
    with open(output / "history.jsonl", "w", encoding="utf-8") as file:
        file.writelines(json.dumps(line) + "\n" for line in history)
    model.save_weights(output / "model.weights.h5")
    return {**summary, "parameters": int(sum(math.prod(weight.shape) for weight in model.trainable_weights))}


class Loop:
    """A run over the plan's batches. `epoch` counts from 1; `step` is how many updates of it are done."""

    def __init__(
        self,
        steps: Steps,
        train: Rows,
        valid: Rows | None,
        settings: Settings,
        schedule: ModuleType,
        output: Path,
        measures: Sequence[Measure] = (),
    ):
        self.steps, self.model, self.optimizer = steps, steps.model, steps.optimizer
        self.train, self.settings, self.schedule = train, settings, schedule
        self.resume, self.logs = output / "resume", output / "logs"
        self.plan = batches.plan(train, settings, fixed_widths=fixed_widths(steps.model))
        self.total_steps = settings.epochs * accumulation.num_updates(self.plan.num_batches, settings.accumulate)
        self.total_steps = min(self.total_steps, settings.max_steps or self.total_steps)
        self.warnings = schedule_check.warnings(schedule, settings.schedule, self.total_steps)
        for warning in self.warnings:
            log.warning("%s", warning)
        self.validation = Validation(steps, valid, measures, settings)
        self.metric, self.metrics = settings.chosen_by, steps.objective.METRICS
        if settings.average and settings.average.best and not valid:
            raise ConfigError("[train] average.best: no rows to validate on, so none is best; set average.last")
        self.kept = CheckpointRetention(self.resume / "validated", self.metric, self.metrics, settings.average)
        self.unit = steps.objective.COUNTS
        self.resources = Resources(self.unit)
        self.epoch, self.step, self.taken = 1, 0, 0
        self.history: list[dict[str, Any]] = []
        self.stopped: str | None = None
        self.sums, self.recent = empty_sums(), empty_sums()  # since the last validation, the last point of the curve
        self.learning_rate: float | None = None

    def run(self) -> dict[str, Any]:
        """Trains to the end; the model then holds the weights that are kept."""
        self.resources.start(self.restore())
        self.saved = time.monotonic()
        with (
            Interrupts() as self.interrupts,
            Curve(self.logs, self.resume, self.taken) as self.curve,
            Progress(self.total_steps, self.taken, self.unit) as self.progress,
        ):
            while self.stopped is None:
                self.rows, single = batches.epoch(self.plan, self.train, self.epoch)
                order = accumulation.group_batches(single, self.settings.accumulate)
                while self.stopped is None and self.step < len(order):
                    self.take(order[self.step])
                    self.between_steps()
                if self.stopped is None:
                    self.end_epoch()
            if self.sums["steps"]:  # stopped between two validations
                self.report()
                self.save()
        return self.finish()

    def take(self, group: list[batches.Batch]) -> None:
        """One update."""
        began = time.monotonic()
        rate = self.rate()
        if rate != self.learning_rate:
            self.optimizer.learning_rate.assign(rate)
            self.learning_rate = rate
        figures = self.steps.train(self.rows, group, self.taken + 1)
        loss = figures["loss"] / figures["weight"] + figures["penalty"]
        if not math.isfinite(loss) or not math.isfinite(figures["gradient_norm"]):
            raise ConfigError(self.divergence())
        self.step, self.taken = self.step + 1, self.taken + 1
        seconds = time.monotonic() - began
        self.resources.add(seconds, figures["weight"])
        for name, figure in (*figures.items(), ("steps", 1.0)):
            self.sums[name] += figure
            self.recent[name] += figure
        self.recent["seconds"] += seconds
        self.progress.advance(loss, figures["weight"])
        if self.taken % self.settings.curve_steps == 0:
            speed = self.recent["weight"] / self.recent["seconds"]
            timing = {f"{self.unit}_per_second": speed, "seconds": self.resources.elapsed()}
            self.curve.write(self.taken, epoch=self.epoch, learning_rate=rate, **means(self.recent), **timing)
            self.recent = empty_sums()

    def between_steps(self) -> None:
        """What may fall due after a step: validation, a checkpoint, the end of the time, Ctrl-C."""
        settings = self.settings
        if settings.validate_steps and self.taken % settings.validate_steps == 0:
            self.report()
        self.pause()
        if self.stopped is None and settings.max_minutes and self.resources.elapsed() >= 60 * settings.max_minutes:
            self.stopped = "max_minutes"
        if self.stopped is None and self.taken == settings.max_steps:
            self.stopped = "max_steps"
        minutes = (time.monotonic() - self.saved) / 60
        due = settings.checkpoint_steps and self.taken % settings.checkpoint_steps == 0
        if due or (settings.checkpoint_minutes and minutes >= settings.checkpoint_minutes):
            self.save()

    def end_epoch(self) -> None:
        last = self.epoch == self.settings.epochs
        if not self.settings.validate_steps or (last and self.sums["steps"]):
            self.report()
        self.epoch, self.step = self.epoch + 1, 0
        if self.stopped is None and self.epoch > self.settings.epochs:
            self.stopped = "epochs"
        self.save()
        self.pause()

    def report(self) -> None:
        """Validates, adds a line to the history, keeps the weights if they are wanted, and applies early stopping."""
        line: dict[str, Any] = {"epoch": self.epoch, "step": self.taken, **means(self.sums)}
        line["learning_rate"] = self.learning_rate
        with self.validation.weights():
            line |= self.validation.figures()
            if not math.isfinite(line.get("valid_loss", 0.0)):
                raise ConfigError(self.divergence())
            if "valid_loss" in line and self.metric not in line:
                raise ConfigError(f"[train] metric: {self.metric} is not measured; measured are {', '.join(line)}")
            self.sums = empty_sums()
            self.history.append(line)
            self.kept.add(self.history, self.model.weights)
        log.info("%s, %.0f seconds", describe(line), self.resources.elapsed())
        found = {name: value for name, value in line.items() if name.startswith("valid_")}
        timing = {**self.validation.seconds, "seconds": self.resources.elapsed()}
        self.curve.write(self.taken, epoch=self.epoch, learning_rate=line["learning_rate"], **found, **timing)
        rule = self.settings.early_stopping
        if found and rule and early_stopping.should_stop(self.history, rule, self.metrics):
            self.stopped = "early_stopping"

    def rate(self) -> float:
        """The learning rate of the next step."""
        losses = early_stopping.losses(self.history, self.metric, self.metrics)
        factor = self.schedule.factor(self.settings.schedule, self.taken + 1, self.total_steps, losses)
        return self.settings.optimizer.learning_rate * factor

    def pause(self) -> None:
        """After Ctrl-C: a checkpoint, and KeyboardInterrupt."""
        if self.interrupts.pending:
            self.save()
            log.warning("interrupted at epoch %d, step %d; run again to go on from there", self.epoch, self.step)
            raise KeyboardInterrupt

    def variables(self) -> list[Any]:
        """Everything a step changes: weights, random seeds, the optimizer's moments and step count, moving averages."""
        return [*self.model.variables, *self.optimizer.variables, *self.steps.variables]

    def save(self) -> None:
        for weight in self.model.trainable_variables:
            if not np.isfinite(np.asarray(weight)).all():
                raise ConfigError(self.divergence())
        own = ("epoch", "step", "taken", "history", "sums", "learning_rate", "stopped")
        state = {**{name: getattr(self, name) for name in own}, "parallel": self.steps.parallel}
        resources = self.resources.state()
        checkpoint.save(self.resume / "checkpoint", self.variables(), {"loop": state, "resources": resources})
        self.kept.prune(self.history)
        self.saved = time.monotonic()

    def restore(self) -> dict[str, Any] | None:
        """Where a killed run stopped, or nothing; what it had used up by then."""
        state = checkpoint.restore(self.resume / "checkpoint", self.variables())
        if state is None:
            return None
        # Gradients are summed as before, also where there are other cores now: the same bits go on.
        self.steps.parallel = state["loop"].pop("parallel")
        for name, value in state["loop"].items():
            setattr(self, name, value)
        log.info("resuming at epoch %d, step %d", self.epoch, self.step)
        return state["resources"]

    def finish(self) -> dict[str, Any]:
        """The kept weights into the model; what train.json says. Figures that time and machine decide go to logs/."""
        best = early_stopping.best(self.history, self.metric, self.metrics)
        line = self.history[-1 if best is None or self.settings.keep == "last" else best]
        result = {"stopped": self.stopped, "epochs": self.history[-1]["epoch"], "steps": self.taken, "best": line}
        if self.settings.average:
            result["average"] = self.average()
        elif best is not None and self.settings.keep == "best":
            self.kept.restore(line, self.model.weights)
        elif self.steps.average:
            self.steps.average.swap()
        if self.warnings:
            result["warnings"] = self.warnings
        if self.validation.measures:
            result["measures"] = {measure.name: measure.described() for measure in self.validation.measures}
        self.resources.write(self.logs / "resources.json", parallel=self.steps.parallel)
        return result

    def average(self) -> dict[str, Any]:
        """Averages the kept weights into the model; their steps, and how the mean validates beside the best of them."""
        lines = [self.history[position] for position in self.kept.wanted(self.history)]
        self.kept.restore_mean(lines, self.model.weights)
        result: dict[str, Any] = {"steps": [line["step"] for line in lines], **self.validation.figures()}
        if self.metric in result:
            mean = early_stopping.losses([result], self.metric, self.metrics)[0]
            result["worse"] = mean > min(early_stopping.losses(self.history, self.metric, self.metrics))
            log.info("the mean of steps %s: %s %.4g", result["steps"], self.metric, result[self.metric])
        return result

    def divergence(self) -> str:
        return message(self.settings, self.epoch, self.step + 1, (self.resume / "checkpoint").exists())
