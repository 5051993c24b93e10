"""batch_tokens = "auto": the largest batch that fits into memory and still trains faster than half of it.

Tries updates on the longest rows of the training split and doubles the batch each time. Before each trial, the memory it
will need is extrapolated from the last two, with a margin. The search ends when the next batch would not fit, when twice
the size is hardly faster per token, when an epoch would have too few updates, or when batch_rows allows no larger batch.
A trial is a full update, with accumulation and scheduled sampling; afterwards every variable is restored. The result
depends on the machine and its load, so it is written to a file before training begins, and a resumed run reads it.

On a CPU, the process's resident memory is measured. On a GPU, the search ends when TensorFlow reports that memory is
exhausted, and takes half of that size.
"""

import json
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from textpipe.errors import ConfigError
from textpipe.training.batching import accumulation, batches
from textpipe.training.batching.batches import Batch
from textpipe.training.batching.rows import Rows
from textpipe.training.settings import Settings
from textpipe.training.steps import Steps, fixed_widths
from textpipe.training.telemetry import memory

log = logging.getLogger(__name__)

MIN_TOKENS, MAX_TOKENS = 1024, 65536  # tokens

# Share of the free memory that a step may take: other widths, validation and other processes need some.
MEMORY_SHARE = 0.5

# A batch of twice the tokens must be this much faster per token; otherwise it only makes updates rarer.
MIN_SPEEDUP = 0.05

# Minimum number of updates in an epoch.
MIN_UPDATES = 100


def resolve(
    new_steps: Callable[[], Steps], train: Rows, settings: Settings, note: Path
) -> tuple[Settings, dict[str, Any] | None]:
    """Settings with a number for batch_tokens, and the result of the search (None if the number was given).

    note: file that keeps the result for a resumed run.
    """
    if settings.batch_tokens != "auto":
        return settings, None
    if not train.lengths:
        raise ConfigError("[train] batch_tokens: sparse rows have no tokens to count; set batch_rows")
    if note.exists():
        result = json.loads(note.read_text(encoding="utf-8"))
    else:
        result = search(new_steps(), train, settings)
        write(note, result)
        log.info("batch_tokens: %d (%s)", result["batch_tokens"], result["ended_by"])
    return settings.model_copy(update={"batch_tokens": result["batch_tokens"]}), result


def write(note: Path, result: dict[str, Any]) -> None:
    """Writes the result atomically."""
    note.parent.mkdir(parents=True, exist_ok=True)
    part = note.with_name(note.name + ".part")
    with open(part, "w", encoding="utf-8") as file:
        json.dump(result, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, note)


def search(steps: Steps, train: Rows, settings: Settings) -> dict[str, Any]:
    """{"batch_tokens", "ended_by": "memory", "speed", "updates", "rows" or "largest", "tried": sizes and their bytes}."""
    before = [np.array(variable) for variable in steps.model.variables]
    trial = Trial(steps, train, settings)
    free = memory.available()
    trials: list[dict[str, float]] = []
    tokens, ended_by = max(MIN_TOKENS, trial.width), "largest"
    while tokens <= MAX_TOKENS:
        if trials and trial.updates(tokens) < MIN_UPDATES:
            ended_by = "updates"
            break
        if trials and trial.num_rows(tokens) == trial.num_rows(int(trials[-1]["tokens"])):
            ended_by = "rows"
            break
        if free and predicted_bytes(trials, tokens) > MEMORY_SHARE * free:
            ended_by = "memory"
            break
        try:
            trials.append(trial.measure(tokens))
        except tf.errors.ResourceExhaustedError:
            trials, ended_by = trials[:-1], "memory"
            break
        if len(trials) > 1 and trials[-1]["speed"] < (1 + MIN_SPEEDUP) * trials[-2]["speed"]:
            trials, ended_by = trials[:-1], "speed"
            break
        tokens *= 2
    for variable, value in zip(steps.model.variables, before, strict=True):
        variable.assign(value)
    if not trials:
        raise ConfigError(
            f'[train] batch_tokens "auto": not even {tokens} tokens fit into {free / 2**20:.0f} MiB of free memory; '
            "close other programs, make the model smaller, or lower the features' max_length"
        )
    sizes = [{"tokens": result["tokens"], "bytes": result["bytes"]} for result in trials]
    return {"batch_tokens": int(trials[-1]["tokens"]), "ended_by": ended_by, "free_bytes": free, "tried": sizes}


def predicted_bytes(trials: list[dict[str, float]], tokens: int) -> float:
    """Bytes that a step of this many tokens needs, extrapolated linearly from the last two trials; 0 before any."""
    if not trials:
        return 0.0
    if len(trials) == 1:
        return trials[0]["bytes"] * tokens / trials[0]["tokens"]
    previous, last = trials[-2:]
    slope = max(0.0, last["bytes"] - previous["bytes"]) / (last["tokens"] - previous["tokens"])
    return last["bytes"] + slope * (tokens - last["tokens"])


class Trial:
    """Updates on the longest rows of the widest shape, which need the most memory per token."""

    def __init__(self, steps: Steps, train: Rows, settings: Settings):
        self.steps, self.train, self.settings = steps, train, settings.model_copy(update={"batch_tokens": None})
        widest = batches.plan(
            train, self.settings.model_copy(update={"batch_rows": len(train), "curriculum": None})
        ).epoch(1)
        batch = max(widest, key=lambda batch: max(batch.widths.values()))
        lengths = np.sum([tokens[batch.rows] for tokens in train.lengths.values()], axis=0)
        self.rows = batch.rows[np.argsort(-lengths, kind="stable")]
        self.widths = batch.widths
        self.width = max(self.widths.values())
        self.resident = memory.resident()
        if not memory.reset_peak():
            log.warning("batch_tokens: this system does not report the memory of a step; only speed decides")

    def updates(self, tokens: int) -> int:
        """Updates in an epoch with batches of this many tokens."""
        settings = self.settings.model_copy(update={"batch_tokens": tokens})
        plan = batches.plan(self.train, settings, fixed_widths=fixed_widths(self.steps.model))
        return accumulation.num_updates(plan.num_batches, self.settings.accumulate)

    def num_rows(self, tokens: int) -> int:
        """Rows in a batch of this many tokens."""
        return max(1, min(tokens // self.width, self.settings.batch_rows or tokens))

    def measure(self, tokens: int) -> dict[str, float]:
        """Runs three updates; returns the bytes they added to the resident memory, and tokens per second."""
        batch = Batch(np.resize(self.rows, self.num_rows(tokens)), self.widths)
        # Gradients are summed from the second batch on; further batches take no more memory and as long per token.
        group = [batch] * min(self.settings.accumulate, 2)
        sampling = self.settings.scheduled_sampling
        number = sampling.start + sampling.steps if sampling else 1  # an update that replaces words
        self.steps.train(self.train, group, number)  # traces, and fills the allocator's pools
        memory.reset_peak()
        seconds = []
        for _ in range(2):
            began = time.monotonic()
            self.steps.train(self.train, group, number)
            seconds.append(time.monotonic() - began)
        speed = len(group) * tokens / min(seconds)
        return {"tokens": tokens, "bytes": max(0, memory.peak() - self.resident), "speed": speed}
