"""Prometheus metrics, served at /metrics."""

import asyncio
import bisect
import os
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess
from prometheus_client.exposition import CONTENT_TYPE_LATEST

SECOND_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
ROW_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256)

# A folder in which several processes count together; prometheus_client reads it when it is imported.
MULTIPROCESS_DIR = "PROMETHEUS_MULTIPROC_DIR"
FLUSH_SECONDS = 0.02  # until the other processes see a request


class Tally:
    """Requests that are not yet in their Counter and Histogram, whose methods take a lock for each of them."""

    __slots__ = ("buckets", "counter", "histogram", "sum")

    def __init__(self, counter: Counter, histogram: Histogram):
        self.counter, self.histogram = counter, histogram
        self.buckets, self.sum = [0] * (len(SECOND_BUCKETS) + 1), 0.0

    def count(self, seconds: float) -> None:
        self.buckets[bisect.bisect_left(SECOND_BUCKETS, seconds)] += 1
        self.sum += seconds

    def flush(self) -> None:
        if not (total := sum(self.buckets)):
            return
        self.counter.inc(total)
        self.histogram._sum.inc(self.sum)  # as Histogram.observe does for a single value
        for bucket, count in zip(self.histogram._buckets, self.buckets, strict=True):
            if count:
                bucket.inc(count)
        self.buckets, self.sum = [0] * len(self.buckets), 0.0


class Metrics:
    """Metrics of a server. Only names of models for which has_model(name) is true become label values."""

    def __init__(self, has_model: Any = lambda name: True):
        self.has_model = has_model
        self.tallies: dict[tuple[str, str, str, str], Tally] = {}
        self.is_shared, self.is_flushing = bool(os.environ.get(MULTIPROCESS_DIR)), False
        self.registry = CollectorRegistry()
        options: dict[str, Any] = {"registry": self.registry}
        self.requests = Counter(
            "textpipe_requests",
            "Requests by endpoint (door), model, method (verb) and gRPC code.",
            ("door", "model", "verb", "code"),
            **options,
        )
        self.seconds = Histogram(
            "textpipe_request_seconds", "Request latency.", ("door", "model", "verb"), buckets=SECOND_BUCKETS, **options
        )
        self.batch_rows = Histogram(
            "textpipe_batch_rows", "Rows of a TensorFlow call.", ("model",), buckets=ROW_BUCKETS, **options
        )
        self.batch_seconds = Histogram(
            "textpipe_batch_seconds", "Duration of a TensorFlow call.", ("model",), buckets=SECOND_BUCKETS, **options
        )
        self.waiting = Gauge(
            "textpipe_queue_rows", "Rows waiting for TensorFlow.", multiprocess_mode="livesum", **options
        )
        self.texts = Counter("textpipe_sampled_texts", "Texts sampled for the metrics below.", ("model",), **options)
        self.tokens = Counter(
            "textpipe_sampled_tokens", "Tokens of these texts: source, unknown ones of them, target.", ("model", "kind"),
            **options,
        )  # fmt: skip
        self.lengths = Histogram(
            "textpipe_source_tokens",
            "Length of a source text in tokens.",
            ("model",),
            buckets=[2**n for n in range(13)],
            **options,
        )
        self.drift = Gauge(
            "textpipe_length_drift",
            "Population stability index of lengths against training; above .25 they differ.",
            ("model",),
            multiprocess_mode="livemax",
            **options,
        )
        options["multiprocess_mode"] = "livemax"
        self.unknown = Gauge(
            "textpipe_unknown_share", "Share of unknown tokens in the latest sampled texts.", ("model",), **options
        )
        self.trained_unknown = Gauge(
            "textpipe_training_unknown_share", "The same for the training texts.", ("model",), **options
        )

    def count_request(self, endpoint: str, model: str, method: str, code: str, seconds: float) -> None:
        model = model if self.has_model(model) else ""
        key = (endpoint, model, method, code)
        if key not in self.tallies:
            self.tallies[key] = Tally(self.requests.labels(*key), self.seconds.labels(*key[:3]))
        self.tallies[key].count(seconds)
        if self.is_shared and not self.is_flushing:
            self.is_flushing = True
            asyncio.get_running_loop().call_later(FLUSH_SECONDS, self.flush)

    def flush(self) -> None:
        """Adds what was counted since the last time to the counters and histograms."""
        self.is_flushing = False
        for tally in self.tallies.values():
            tally.flush()

    def observe_batch(self, version: Any, rows: int, seconds: float) -> None:
        self.batch_rows.labels(version.name).observe(rows)
        self.batch_seconds.labels(version.name).observe(seconds)

    def exposition(self) -> tuple[bytes, str]:
        """The body and content type of /metrics."""
        self.flush()
        registry = self.registry
        if os.environ.get(MULTIPROCESS_DIR):
            registry = CollectorRegistry()
            multiprocess.MultiProcessCollector(registry)
        return generate_latest(registry), CONTENT_TYPE_LATEST
