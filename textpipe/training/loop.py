"""The training loop: steps in a planned order, validation, early stopping, checkpoints.

Why not Keras's fit: it miscounts batches of unknown cardinality (keras#23084), fails under MultiWorkerMirroredStrategy
(keras#20585), and cannot resume within an epoch. Here the whole state is the position (epoch, step), the variables
(including those of the optimizer and the random seeds) and the history, so a run that is killed at any point and started
again ends with the same weights, bit for bit.
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
from textpipe.training import observation, schedule_check
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

STATE = ("epoch", "step", "global_step", "history", "sums", "learning_rate", "stopped")  # of Loop, in checkpoints


def fit(
    model: Any,
    data: dict[str, Rows],
    settings: Settings,
    output: Path | None = None,
    measures: Sequence[Measure] = (),
    objective: ModuleType | None = None,
) -> dict[str, Any]:
    """Trains a built model in place and leaves the best (or the last, or averaged) weights in it.

    data: {"train": rows, "valid": rows}; without validation rows, early stopping is off and the last weights are kept.
    measures: validation metrics in addition to the objective's.
    objective: a module of objectives/; by default the one for the type of the targets.

    Under a tf.distribute strategy, build the model and call this inside its scope. Writes output/model.weights.h5,
    output/history.jsonl, output/logs/ and, while it runs, output/resume/; called again with the same arguments, it resumes
    a killed run from there. Returns the content of train.json: `warnings` (problems of the schedule), `stopped` ("epochs", "early_stopping", "max_steps", "max_minutes"; for L-BFGS
    "converged", "iterations" or "rounding"), `epochs`, `steps`, `best` (the history entry whose weights were kept),
    `parameters`, and with settings.average `average`: the `steps` whose weights were averaged, the validation metrics of
    the mean, and whether it is `worse` than the best single validation.

    Raises DataError if there are no training rows, ConfigError if the loss is no longer finite. KeyboardInterrupt is
    re-raised after a checkpoint.
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
        log.warning("valid: no rows, so early stopping is off and the last weights are kept")
    optimizer = plugins.find("training.optimizers", settings.optimizer.kind)
    if hasattr(optimizer, "minimize"):
        summary, history = optimizer.minimize(settings.optimizer, model, train, valid, settings, objective)
    else:
        schedule = plugins.find("training.schedules", settings.schedule.kind)

        def new_steps() -> Steps:
            keras_optimizer = optimizer.build(settings.optimizer, model.trainable_variables)
            keras_optimizer.build(model.trainable_variables)
            return Steps(model, keras_optimizer, settings, tf.distribute.get_strategy(), len(train), objective)

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
    """A training run over the batches of a plan. `epoch` counts from 1; `step` is the number of updates done in it."""

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
        self.total_steps = accumulation.total_updates(self.plan, settings.epochs, settings.accumulate)
        self.total_steps = min(self.total_steps, settings.max_steps or self.total_steps)
        self.warnings = schedule_check.warnings(schedule, settings.schedule, self.total_steps)
        for warning in self.warnings:
            log.warning("%s", warning)
        self.validation = Validation(steps, valid, measures, settings)
        self.metric, self.metrics = settings.best_metric, steps.objective.METRICS
        if settings.average and settings.average.best and not valid:
            raise ConfigError("[train] average.best: no validation rows to choose the best by; set average.last")
        self.retention = CheckpointRetention(self.resume / "validated", self.metric, self.metrics, settings.average)
        self.unit, self.resources = steps.objective.COUNTS, Resources(steps.objective.COUNTS)
        self.epoch, self.step, self.global_step = 1, 0, 0
        self.history: list[dict[str, Any]] = []
        self.stopped: str | None = None
        # Since the last validation; since the last point of the curve.
        self.sums, self.curve_sums = empty_sums(), empty_sums()
        self.learning_rate: float | None = None

    def run(self) -> dict[str, Any]:
        """Trains to the end and leaves the kept weights in the model."""
        self.resources.start(self.restore())
        self.saved_at = time.monotonic()
        with (
            Interrupts() as self.interrupts,
            Curve(self.logs, self.resume, self.global_step) as self.curve,
            Progress(self.total_steps, self.global_step, self.unit) as self.progress,
        ):
            while self.stopped is None:
                self.steps.start_epoch(self.epoch)
                self.rows, single = batches.epoch(self.plan, self.train, self.epoch)
                order = accumulation.group_batches(single, self.settings.accumulate)
                while self.stopped is None and self.step < len(order):
                    self.update(order[self.step])
                    self.after_step()
                if self.stopped is None:
                    self.end_epoch()
            if self.sums["steps"]:  # stopped between two validations
                self.validate()
                self.save()
        return self.finish()

    def update(self, group: list[batches.Batch]) -> None:
        """Performs one update from a group of batches."""
        began = time.monotonic()
        rate = self.next_learning_rate()
        if rate != self.learning_rate:
            self.optimizer.learning_rate.assign(rate)
            self.learning_rate = rate
        figures = self.steps.train(self.rows, group, self.global_step + 1)
        loss = figures["loss"] / figures["weight"] + figures["penalty"]
        if not math.isfinite(loss) or not math.isfinite(figures["gradient_norm"]):
            raise ConfigError(self.divergence_message())
        self.step, self.global_step = self.step + 1, self.global_step + 1
        seconds = time.monotonic() - began
        self.resources.add(seconds, figures["weight"])
        for name, figure in (*figures.items(), ("steps", 1.0)):
            self.sums[name] += figure
            self.curve_sums[name] += figure
        self.curve_sums["seconds"] += seconds
        self.progress.advance(loss, figures["weight"])
        if self.global_step % self.settings.curve_steps == 0:
            speed = self.curve_sums["weight"] / self.curve_sums["seconds"]
            timing = {f"{self.unit}_per_second": speed, "seconds": self.resources.elapsed()}
            self.curve.write(self.global_step, epoch=self.epoch, learning_rate=rate, **means(self.curve_sums), **timing)
            self.curve_sums = empty_sums()

    def after_step(self) -> None:
        """Does what is due after a step: validation, a checkpoint, a limit on time or steps, Ctrl-C."""
        settings = self.settings
        if settings.validate_steps and self.global_step % settings.validate_steps == 0:
            self.validate()
        self.stop_if_interrupted()
        if self.stopped is None and settings.max_minutes and self.resources.elapsed() >= 60 * settings.max_minutes:
            self.stopped = "max_minutes"
        if self.stopped is None and self.global_step == settings.max_steps:
            self.stopped = "max_steps"
        minutes = (time.monotonic() - self.saved_at) / 60
        due = settings.checkpoint_steps and self.global_step % settings.checkpoint_steps == 0
        if due or (settings.checkpoint_minutes and minutes >= settings.checkpoint_minutes):
            self.save()

    def end_epoch(self) -> None:
        last = self.epoch == self.settings.epochs
        if not self.settings.validate_steps or (last and self.sums["steps"]):
            self.validate()
        self.epoch, self.step = self.epoch + 1, 0
        if self.stopped is None and self.epoch > self.settings.epochs:
            self.stopped = "epochs"
        self.save()
        self.stop_if_interrupted()

    def validate(self) -> None:
        """Validates, extends the history, saves the weights if they may be needed, and applies early stopping."""
        line: dict[str, Any] = {"epoch": self.epoch, "step": self.global_step, **means(self.sums)}
        line["learning_rate"] = self.learning_rate
        with self.validation.weights():
            line |= self.validation.figures()
            if not math.isfinite(line.get("valid_loss", 0.0)):
                raise ConfigError(self.divergence_message())
            if "valid_loss" in line and self.metric not in line:
                raise ConfigError(f"[train] metric: {self.metric} is not measured; available: {', '.join(line)}")
            self.sums = empty_sums()
            self.history.append(line)
            self.retention.add(self.history, self.model.weights)
        log.info("%s, %.0f seconds", describe(line), self.resources.elapsed())
        figures = {name: value for name, value in line.items() if name.startswith("valid_")}
        timing = {**self.validation.seconds, "seconds": self.resources.elapsed()}
        self.curve.write(self.global_step, epoch=self.epoch, learning_rate=line["learning_rate"], **figures, **timing)
        rule = self.settings.early_stopping
        if figures and rule and early_stopping.should_stop(self.history, rule, self.metrics):
            self.stopped = "early_stopping"
        observation.notify(self.history, self.resume)

    def next_learning_rate(self) -> float:
        """The learning rate of the next step."""
        losses = early_stopping.losses(self.history, self.metric, self.metrics)
        factor = self.schedule.factor(self.settings.schedule, self.global_step + 1, self.total_steps, losses)
        return self.settings.optimizer.learning_rate * factor

    def stop_if_interrupted(self) -> None:
        """After Ctrl-C: saves a checkpoint and raises KeyboardInterrupt."""
        if self.interrupts.pending:
            self.save()
            log.warning("interrupted at epoch %d, step %d; run again to resume", self.epoch, self.step)
            raise KeyboardInterrupt

    def variables(self) -> list[Any]:
        """All variables that a step changes: weights, random seeds, optimizer state, moving averages."""
        return [*self.model.variables, *self.optimizer.variables, *self.steps.variables]

    def save(self) -> None:
        """Writes a checkpoint; raises ConfigError if a weight is not finite."""
        for weight in self.model.trainable_variables:
            if not np.isfinite(np.asarray(weight)).all():
                raise ConfigError(self.divergence_message())
        state = {**{name: getattr(self, name) for name in STATE}, "parallel": self.steps.parallel}
        resources = self.resources.state()
        checkpoint.save(self.resume / "checkpoint", self.variables(), {"loop": state, "resources": resources})
        self.retention.prune(self.history)
        self.saved_at = time.monotonic()

    def restore(self) -> dict[str, Any] | None:
        """Restores the checkpoint of a killed run, if there is one, and returns the resources it had used."""
        state = checkpoint.restore(self.resume / "checkpoint", self.variables())
        if state is None:
            return None
        # Gradients keep being summed in as many shards on a machine with another number of cores, for the same bits.
        self.steps.parallel = state["loop"]["parallel"]
        for name in STATE:
            setattr(self, name, state["loop"][name])
        log.info("resuming at epoch %d, step %d", self.epoch, self.step)
        return state["resources"]

    def finish(self) -> dict[str, Any]:
        """Loads the kept weights and returns the content of train.json. Figures that vary between runs go to logs/."""
        best = early_stopping.best(self.history, self.metric, self.metrics)
        line = self.history[-1 if best is None or self.settings.keep == "last" else best]
        result = {"stopped": self.stopped, "epochs": self.history[-1]["epoch"], "steps": self.global_step, "best": line}
        if self.settings.average:
            result["average"] = self.average_weights()
        elif best is not None and self.settings.keep == "best":
            self.retention.restore(line, self.model.weights)
        elif self.steps.average:
            self.steps.average.swap()
        if self.warnings:
            result["warnings"] = self.warnings
        if self.validation.measures:
            result["measures"] = {measure.name: measure.described() for measure in self.validation.measures}
        self.resources.write(self.logs / "resources.json", parallel=self.steps.parallel)
        return result

    def average_weights(self) -> dict[str, Any]:
        """Loads the mean of the kept weights; returns their steps and the validation metrics of the mean."""
        lines = [self.history[position] for position in self.retention.positions(self.history)]
        self.retention.restore_mean(lines, self.model.weights)
        result: dict[str, Any] = {"steps": [line["step"] for line in lines], **self.validation.figures()}
        if self.metric in result:
            mean = early_stopping.losses([result], self.metric, self.metrics)[0]
            result["worse"] = mean > min(early_stopping.losses(self.history, self.metric, self.metrics))
            log.info("the mean of steps %s: %s %.4g", result["steps"], self.metric, result[self.metric])
        return result

    def divergence_message(self) -> str:
        return message(self.settings, self.epoch, self.step + 1, (self.resume / "checkpoint").exists())
