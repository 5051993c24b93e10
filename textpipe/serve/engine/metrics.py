"""What Prometheus reads at /metrics."""

import os
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess
from prometheus_client.exposition import CONTENT_TYPE_LATEST

SECOND_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
ROW_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256)

# A folder in which several processes count together; prometheus_client reads it when it is imported.
MULTIPROCESS_DIR = "PROMETHEUS_MULTIPROC_DIR"


class Metrics:
    """Counters of a server. A model's name becomes a label only when the server has that model."""

    def __init__(self, known: Any = lambda name: True):
        self.known = known
        self.answered: dict[tuple[str, str, str, str], tuple[Counter, Histogram]] = {}
        self.registry = CollectorRegistry()
        made: dict[str, Any] = {"registry": self.registry}
        self.requests = Counter(
            "textpipe_requests",
            "Requests by door, model, verb and gRPC code.",
            ("door", "model", "verb", "code"),
            **made,
        )
        self.seconds = Histogram(
            "textpipe_request_seconds", "Time to an answer.", ("door", "model", "verb"), buckets=SECOND_BUCKETS, **made
        )
        self.batch_rows = Histogram(
            "textpipe_batch_rows", "Rows a call of TensorFlow had.", ("model",), buckets=ROW_BUCKETS, **made
        )
        self.batch_seconds = Histogram(
            "textpipe_batch_seconds", "Time a call of TensorFlow took.", ("model",), buckets=SECOND_BUCKETS, **made
        )
        self.waiting = Gauge(
            "textpipe_queue_rows", "Rows that wait for TensorFlow.", multiprocess_mode="livesum", **made
        )
        self.texts = Counter(
            "textpipe_sampled_texts", "Texts that were looked at for the figures below.", ("model",), **made
        )
        self.tokens = Counter(
            "textpipe_sampled_tokens", "Tokens of these: source, unknown among them, target.", ("model", "kind"), **made
        )
        self.lengths = Histogram(
            "textpipe_source_tokens",
            "Length of a source text in tokens.",
            ("model",),
            buckets=[2**n for n in range(13)],
            **made,
        )
        self.drift = Gauge(
            "textpipe_length_drift",
            "Population stability index of lengths against training; above .25 they differ.",
            ("model",),
            multiprocess_mode="livemax",
            **made,
        )
        made["multiprocess_mode"] = "livemax"
        self.unknown = Gauge("textpipe_unknown_share", "Unknown pieces of the last sampled texts.", ("model",), **made)
        self.trained_unknown = Gauge("textpipe_training_unknown_share", "The same of training's.", ("model",), **made)

    def request(self, door: str, model: str, verb: str, code: str, seconds: float) -> None:
        model = model if self.known(model) else ""
        key = (door, model, verb, code)
        if key not in self.answered:  # to find them by their labels costs ten times what counting does
            self.answered[key] = self.requests.labels(*key), self.seconds.labels(*key[:3])
        counter, histogram = self.answered[key]
        counter.inc()
        histogram.observe(seconds)

    def batch(self, version: Any, rows: int, seconds: float) -> None:
        self.batch_rows.labels(version.name).observe(rows)
        self.batch_seconds.labels(version.name).observe(seconds)

    def text(self) -> tuple[bytes, str]:
        registry = self.registry
        if os.environ.get(MULTIPROCESS_DIR):
            registry = CollectorRegistry()
            multiprocess.MultiProcessCollector(registry)
        return generate_latest(registry), CONTENT_TYPE_LATEST
