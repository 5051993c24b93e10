"""batch_tokens = "auto": the largest batch that fits into memory and still trains faster than half of it.

Steps are tried with the longest rows of the training split, in batches that double. Before each try the memory it will
need is foretold from the two before it, with a margin; the search ends where it would not fit, where a batch twice the
size is hardly faster per token, where an epoch would have few updates left, or where batch_rows allows no larger batch.
A try is what an update of the run is, with its accumulation and its scheduled sampling. Trying changes nothing: every variable
is put back. What was found depends on the machine and on what else runs on it, so it is written down before training
begins and a resumed run reads it.

A CPU is measured by the process's resident memory. A GPU has no figure of that kind; there the search ends where
TensorFlow says that memory is exhausted, and takes half of that.
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

# Share of the memory that is free which a step may take: other widths, validation and other processes need some.
MEMORY_SHARE = 0.5

# A batch of twice the tokens must be faster per token by this share, or it only makes updates rarer.
MIN_SPEEDUP = 0.05

# Updates an epoch must keep.
MIN_UPDATES = 100


def resolve(
    new_steps: Callable[[], Steps], train: Rows, settings: Settings, note: Path
) -> tuple[Settings, dict[str, Any] | None]:
    """Settings with a number for batch_tokens, and how it was found (None when it was given).

    note: where the finding is kept for a resumed run.
    """
    if settings.batch_tokens != "auto":
        return settings, None
    if not train.lengths:
        raise ConfigError("[train] batch_tokens: sparse rows have no tokens to count; set batch_rows")
    if note.exists():
        found = json.loads(note.read_text(encoding="utf-8"))
    else:
        found = search(new_steps(), train, settings)
        write(note, found)
        log.info("batch_tokens: %d (%s)", found["batch_tokens"], found["ended_by"])
    return settings.model_copy(update={"batch_tokens": found["batch_tokens"]}), found


def write(note: Path, found: dict[str, Any]) -> None:
    """Writes the finding; the file is either absent or whole."""
    note.parent.mkdir(parents=True, exist_ok=True)
    part = note.with_name(note.name + ".part")
    with open(part, "w", encoding="utf-8") as file:
        json.dump(found, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, note)


def search(steps: Steps, train: Rows, settings: Settings) -> dict[str, Any]:
    """{"batch_tokens", "ended_by": "memory", "speed", "updates", "rows" or "largest", "tried": sizes and what they took}."""
    before = [np.array(variable) for variable in steps.model.variables]
    trial = Trial(steps, train, settings)
    free = memory.available()
    tried: list[dict[str, float]] = []
    tokens, ended_by = max(MIN_TOKENS, trial.width), "largest"
    while tokens <= MAX_TOKENS:
        if tried and trial.updates(tokens) < MIN_UPDATES:
            ended_by = "updates"
            break
        if tried and trial.num_rows(tokens) == trial.num_rows(int(tried[-1]["tokens"])):
            ended_by = "rows"
            break
        if free and predicted_bytes(tried, tokens) > MEMORY_SHARE * free:
            ended_by = "memory"
            break
        try:
            tried.append(trial.take(tokens))
        except tf.errors.ResourceExhaustedError:
            tried, ended_by = tried[:-1], "memory"
            break
        if len(tried) > 1 and tried[-1]["speed"] < (1 + MIN_SPEEDUP) * tried[-2]["speed"]:
            tried, ended_by = tried[:-1], "speed"
            break
        tokens *= 2
    for variable, value in zip(steps.model.variables, before, strict=True):
        variable.assign(value)
    if not tried:
        raise ConfigError(
            f'[train] batch_tokens "auto": not even {tokens} tokens fit into {free / 2**20:.0f} MiB of free memory; '
            "close other programs, make the model smaller, or lower the features' max_length"
        )
    sizes = [{"tokens": one["tokens"], "bytes": one["bytes"]} for one in tried]
    return {"batch_tokens": int(tried[-1]["tokens"]), "ended_by": ended_by, "free_bytes": free, "tried": sizes}


def predicted_bytes(tried: list[dict[str, float]], tokens: int) -> float:
    """Bytes a step of so many tokens will take, on the line through the last two tried; 0 before any."""
    if not tried:
        return 0.0
    if len(tried) == 1:
        return tried[0]["bytes"] * tokens / tried[0]["tokens"]
    one, two = tried[-2:]
    slope = max(0.0, two["bytes"] - one["bytes"]) / (two["tokens"] - one["tokens"])
    return two["bytes"] + slope * (tokens - two["tokens"])


class Trial:
    """Steps on the longest rows of the widest shape, which need the most memory for a token."""

    def __init__(self, steps: Steps, train: Rows, settings: Settings):
        self.steps, self.train, self.settings = steps, train, settings.model_copy(update={"batch_tokens": None})
        widest = batches.plan(train, self.settings.model_copy(update={"batch_rows": len(train)})).epoch(1)
        batch = max(widest, key=lambda batch: max(batch.widths.values()))
        lengths = np.sum([tokens[batch.rows] for tokens in train.lengths.values()], axis=0)
        self.rows = batch.rows[np.argsort(-lengths, kind="stable")]
        self.widths = batch.widths
        self.width = max(self.widths.values())
        self.resident = memory.resident()
        if not memory.reset_peak():
            log.warning("batch_tokens: this system does not tell what memory a step takes; speed alone decides")

    def updates(self, tokens: int) -> int:
        """Updates of an epoch with batches of so many tokens."""
        settings = self.settings.model_copy(update={"batch_tokens": tokens})
        plan = batches.plan(self.train, settings, fixed_widths=fixed_widths(self.steps.model))
        return accumulation.num_updates(plan.num_batches, self.settings.accumulate)

    def num_rows(self, tokens: int) -> int:
        """Rows of a batch of so many tokens."""
        return max(1, min(tokens // self.width, self.settings.batch_rows or tokens))

    def take(self, tokens: int) -> dict[str, float]:
        """Three updates: bytes they took beside what was resident before the first try, and tokens per second."""
        batch = Batch(np.resize(self.rows, self.num_rows(tokens)), self.widths)
        # Gradients are summed from the second batch on; an update of more takes no more memory and as long for a token.
        group = [batch] * min(self.settings.accumulate, 2)
        sampling = self.settings.scheduled_sampling
        number = sampling.start + sampling.steps if sampling else 1  # an update at which words are replaced
        self.steps.train(self.train, group, number)  # traces, and fills the allocator's pools
        memory.reset_peak()
        seconds = []
        for _ in range(2):
            began = time.monotonic()
            self.steps.train(self.train, group, number)
            seconds.append(time.monotonic() - began)
        speed = len(group) * tokens / min(seconds)
        return {"tokens": tokens, "bytes": max(0, memory.peak() - self.resident), "speed": speed}
