"""Do incoming texts look like those of training? A sample of them is tokenized and counted in the background.

Drift is the population stability index of text lengths, binned at the deciles of training: sum (p - q) ln(p / q), where p is
the share of incoming texts in a bin and q that of training; .1 is a shift, .25 a change.
"""

import asyncio
import bisect
import logging
import math
import sys
import time
import weakref
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from textpipe.errors import ModelError
from textpipe.serve.engine.errors import ServingError
from textpipe.serve.engine.metrics import Metrics
from textpipe.serve.engine.model_version import Signature, Version
from textpipe.serve.tensors.json_values import bytes_array

log = logging.getLogger(__name__)

MAX_SAMPLES = 64  # texts per interval; more are not sampled
WINDOW = 2000  # latest texts that the figures are taken over
MIN_TEXTS = 200  # before drift is reported: with fewer, chance alone produces some


class DriftMonitor:
    """record() samples answered requests; run() counts the samples at every interval (seconds)."""

    def __init__(self, metrics: Metrics, interval: float = 1.0):
        self.metrics, self.interval = metrics, interval
        self.samples: deque[tuple[Version, bytes, bytes]] = deque(maxlen=MAX_SAMPLES)
        self.lengths: dict[str, deque[int]] = {}
        self.unknown: dict[str, deque[tuple[int, int]]] = {}
        self.warned: weakref.WeakSet[Version] = weakref.WeakSet()

    def record(
        self, version: Version, signature: Signature, inputs: dict[str, np.ndarray], outputs: Mapping[str, np.ndarray]
    ) -> None:
        """Samples a request's texts and answers, if the model can count their tokens and has a single input."""
        if len(self.samples) == MAX_SAMPLES:
            return
        counting = version.token_counts
        if counting is None or "source_tokens" not in counting.outputs or not signature.answers_rows:
            return
        if len(inputs) != 1:
            return
        (texts,) = inputs.values()
        answers = outputs.get("answer", outputs.get("texts"))
        if texts.dtype != object or texts.ndim != 1 or not len(texts) or answers is None:
            return
        if answers.dtype != object or not answers.ndim or len(answers) != len(texts) or not answers.size:
            return
        best = answers.reshape(len(texts), -1)[:, 0]
        pairs = zip(texts[:MAX_SAMPLES], best[:MAX_SAMPLES], strict=True)
        self.samples.extend((version, text, answer) for text, answer in pairs)

    async def run(self, scheduler: Any) -> None:
        """Runs until it is cancelled."""
        while True:
            await asyncio.sleep(self.interval)
            self.metrics.waiting.set(scheduler.waiting_rows)
            samples, self.samples = list(self.samples), deque(maxlen=MAX_SAMPLES)
            for version in {id(sample[0]): sample[0] for sample in samples}.values():
                try:
                    await self.count(scheduler, version, [sample for sample in samples if sample[0] is version])
                except ServingError:  # overload or a deadline: not worth a retry
                    pass
                except Exception as error:  # an error of one model must not stop counting for the others
                    self.warn(version, error)

    def warn(self, version: Version, error: Exception) -> None:
        """Logs, once per version, why its drift cannot be computed in full."""
        if version not in self.warned:
            self.warned.add(version)
            reason = error if isinstance(error, ModelError) else f"{type(error).__name__}: {error}"
            log.warning("%s version %d: drift is not computed in full: %s", version.name, version.number, reason)

    async def count(self, scheduler: Any, version: Version, samples: Sequence[tuple[Version, bytes, bytes]]) -> None:
        signature = version.token_counts
        assert signature is not None
        columns = [bytes_array(text for _, text, _ in samples), bytes_array(answer for _, _, answer in samples)]
        inputs = {name: columns[name not in version.model.fields] for name in signature.inputs}
        with version.hold():
            counts = await scheduler.submit(version, signature, inputs, deadline=time.monotonic() + 10, internal=True)
        self.update(version, counts)

    def update(self, version: Version, counts: dict[str, np.ndarray]) -> None:
        name, metrics = version.name, self.metrics
        tokens, unknown = counts["source_tokens"].tolist(), counts["source_unknown"].tolist()
        metrics.texts.labels(name).inc(len(tokens))
        metrics.tokens.labels(name, "source").inc(sum(tokens))
        metrics.tokens.labels(name, "unknown").inc(sum(unknown))
        if "target_tokens" in counts:
            metrics.tokens.labels(name, "target").inc(int(counts["target_tokens"].sum()))
        for length in tokens:
            metrics.lengths.labels(name).observe(length)
        lengths = self.lengths.setdefault(name, deque(maxlen=WINDOW))
        lengths.extend(tokens)
        pairs = self.unknown.setdefault(name, deque(maxlen=WINDOW))
        pairs.extend(zip(unknown, tokens, strict=True))
        metrics.unknown.labels(name).set(sum(count for count, _ in pairs) / max(1, sum(total for _, total in pairs)))
        if trained := training_stats(version.about.get("texts") or {}):
            metrics.trained_unknown.labels(name).set(trained["unknown_share"])
            if len(lengths) >= MIN_TEXTS:
                metrics.drift.labels(name).set(stability_index(lengths, **trained["source_tokens"]))


def training_stats(texts: Any) -> dict[str, Any]:
    """Statistics of the training texts from textpipe.json; raises ModelError when they are malformed."""
    if not texts:
        return {}
    expected = '{"unknown_share": number, "source_tokens": {"at_most": N sorted numbers, "shares": N + 1 numbers}}'
    lengths = texts.get("source_tokens") if isinstance(texts, dict) else None
    if (
        isinstance(lengths, dict)
        and set(lengths) == {"at_most", "shares"}
        and is_number_list([texts.get("unknown_share")])
    ):
        bounds, shares = lengths["at_most"], lengths["shares"]
        if (
            is_number_list(bounds)
            and is_number_list(shares)
            and len(shares) == len(bounds) + 1
            and sorted(bounds) == bounds
        ):
            return texts
    raise ModelError(f"textpipe.json: texts: expected {expected}, found {texts!r:.100}; export the model again")


def is_number_list(value: Any) -> bool:
    """Whether it is a list of finite numbers."""
    return isinstance(value, list) and all(
        type(number) in (int, float) and abs(number) <= sys.float_info.max for number in value
    )


def stability_index(lengths: Sequence[int], at_most: Sequence[float], shares: Sequence[float]) -> float:
    """The population stability index of lengths against the shares of training texts in bins with these upper bounds, the
    last bin unbounded.

    An empty bin counts as half a text.
    """
    counts = [0] * len(shares)
    for length in lengths:
        counts[bisect.bisect_left(at_most, length)] += 1
    least = 0.5 / len(lengths)
    pairs = [(max(least, count / len(lengths)), max(least, share)) for count, share in zip(counts, shares, strict=True)]
    return sum((p - q) * math.log(p / q) for p, q in pairs)
