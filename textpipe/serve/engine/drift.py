"""Are the texts that come like those the model was trained on? A sample is counted in tokens, beside the answers.

Drift is the population stability index of lengths, cut at the deciles of training: sum (p - q) ln(p / q), p the share
of texts in a class and q that of training's; .1 is a shift, .25 a change.
"""

import asyncio
import bisect
import logging
import math
import sys
import time
import weakref
from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np

from textpipe.errors import ModelError
from textpipe.serve.engine.errors import ServingError
from textpipe.serve.engine.metrics import Metrics
from textpipe.serve.engine.model_version import Signature, Version
from textpipe.serve.tensors.json_values import bytes_array

log = logging.getLogger(__name__)

MAX_SAMPLES = 64  # texts that are counted at a time; others go by uncounted
WINDOW = 2000
MIN_TEXTS = 200  # texts before a drift is told: of fewer, chance alone makes one


class DriftMonitor:
    """note() what was answered; run() counts some of it, every so many seconds."""

    def __init__(self, measures: Metrics, every: float = 1.0):
        self.measures, self.every = measures, every
        self.noted: deque[tuple[Version, bytes, bytes]] = deque(maxlen=MAX_SAMPLES)
        self.lengths: dict[str, deque[int]] = {}
        self.unknown: dict[str, deque[tuple[int, int]]] = {}
        self.told: weakref.WeakSet[Version] = weakref.WeakSet()  # versions of which a fault was logged

    def note(
        self, version: Version, signature: Signature, given: dict[str, np.ndarray], found: dict[str, np.ndarray]
    ) -> None:
        """The texts of a request and their answers; of a model that counts no tokens, nothing."""
        if version.counts is None or not signature.answers_rows:
            return
        if len(self.noted) == MAX_SAMPLES or len(given) != 1:
            return
        (texts,) = given.values()
        answers = found.get("answer", found.get("texts"))
        if texts.dtype != object or texts.ndim != 1 or not len(texts) or answers is None:
            return
        if answers.dtype != object or not answers.ndim or len(answers) != len(texts) or not answers.size:
            return
        best = answers.reshape(len(texts), -1)[:, 0]
        self.noted.extend(
            (version, text, answer) for text, answer in zip(texts[:MAX_SAMPLES], best[:MAX_SAMPLES], strict=True)
        )

    async def run(self, queue: Any) -> None:
        """Until it is cancelled."""
        while True:
            await asyncio.sleep(self.every)
            self.measures.waiting.set(queue.waiting)
            noted, self.noted = list(self.noted), deque(maxlen=MAX_SAMPLES)
            for version in {id(one[0]): one[0] for one in noted}.values():
                try:
                    await self.count(queue, version, [one for one in noted if one[0] is version])
                except ServingError:  # what cannot be counted now is not worth a retry
                    pass
                except Exception as error:  # one model's fault is not to end the counting of the others
                    self.tell(version, error)

    def tell(self, version: Version, error: Exception) -> None:
        """Logs, once for each version, what keeps its texts from being counted or compared with training's."""
        if version not in self.told:
            self.told.add(version)
            why = error if isinstance(error, ModelError) else f"{type(error).__name__}: {error}"
            log.warning("%s version %d: its texts are not watched in full: %s", version.name, version.number, why)

    async def count(self, queue: Any, version: Version, noted: Sequence[tuple[Version, bytes, bytes]]) -> None:
        signature = version.counts
        assert signature is not None
        columns = [bytes_array(one[1] for one in noted), bytes_array(one[2] for one in noted)]
        given = {name: columns[name not in version.model.fields] for name in signature.inputs}
        with version.hold():
            found = await queue.ask(version, signature, given, deadline=time.monotonic() + 10, own=True)
        self.add(version, found)

    def add(self, version: Version, found: dict[str, np.ndarray]) -> None:
        name, measures = version.name, self.measures
        tokens, unknown = found["source_tokens"].tolist(), found["source_unknown"].tolist()
        measures.texts.labels(name).inc(len(tokens))
        measures.tokens.labels(name, "source").inc(sum(tokens))
        measures.tokens.labels(name, "unknown").inc(sum(unknown))
        if "target_tokens" in found:
            measures.tokens.labels(name, "target").inc(int(found["target_tokens"].sum()))
        for length in tokens:
            measures.lengths.labels(name).observe(length)
        lengths = self.lengths.setdefault(name, deque(maxlen=WINDOW))
        lengths.extend(tokens)
        pairs = self.unknown.setdefault(name, deque(maxlen=WINDOW))
        pairs.extend(zip(unknown, tokens, strict=True))
        measures.unknown.labels(name).set(sum(one for one, _ in pairs) / max(1, sum(all_ for _, all_ in pairs)))
        if trained := training_stats(version.about.get("texts") or {}):
            measures.trained_unknown.labels(name).set(trained["unknown_share"])
            if len(lengths) >= MIN_TEXTS:
                measures.drift.labels(name).set(stability_index(lengths, **trained["source_tokens"]))


def training_stats(texts: Any) -> dict[str, Any]:
    """What textpipe.json says of the texts of training; raises ModelError when it is not of the shape that drift takes."""
    if not texts:
        return {}
    expected = '{"unknown_share": number, "source_tokens": {"at_most": N numbers in order, "shares": N + 1 numbers}}'
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
        type(one) in (int, float) and abs(one) <= sys.float_info.max for one in value
    )


def stability_index(lengths: Sequence[int], at_most: Sequence[float], shares: Sequence[float]) -> float:
    """The population stability index of lengths, against the shares of others up to these bounds and beyond the last.

    A class that nobody is in counts as half a text.
    """
    counts = [0] * len(shares)
    for length in lengths:
        counts[bisect.bisect_left(at_most, length)] += 1
    least = 0.5 / len(lengths)
    pairs = [(max(least, count / len(lengths)), max(least, share)) for count, share in zip(counts, shares, strict=True)]
    return sum((p - q) * math.log(p / q) for p, q in pairs)
