"""Out of scope: rows whose score is below a threshold get a label of their own.   Shapes: B batch, C classes, N rows of valid."""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from textpipe.answers import _label
from textpipe.answers._label_settings import COVERAGE, Config
from textpipe.answers._member_settings import check_answer
from textpipe.errors import ConfigError
from textpipe.metrics import out_of_scope
from textpipe.servable.tracing import ABSENT, Graph, Raw, Tensors

BATCH_ROWS = 128


class Output(_label.Output):
    """As _label.Output, with `scope` [B], the score by which a row is in scope, and the label settings.out_of_scope below the threshold.

    ingest: the folder of the rows on whose split valid the threshold is chosen, where settings give none.
    """

    def __init__(self, graph: Graph, settings: Config, ingest: Path | None):
        super().__init__(graph)
        self._settings, self._ingest = lambda: settings, lambda: ingest
        if graph.members:
            check_answer(settings)
        if settings.out_of_scope in self.classes.classes:
            raise ConfigError(
                f"[answer] out_of_scope: {settings.out_of_scope!r} is a class that was trained; to keep its rows out of training, set "
                f'[vectorize] fields = {{ {graph.target} = {{ kind = "label", out_of_scope = {settings.out_of_scope!r} }} }}'
            )

    @property
    def out_of_scope(self) -> str:
        """The label of rows out of scope."""
        label = self._settings().out_of_scope
        assert label is not None
        return label

    @functools.cached_property
    def chosen(self) -> dict[str, Any]:
        """The threshold, and how it was chosen: {"threshold", "rule", "rows", ...}."""
        settings = self._settings()
        if settings.threshold is not None:
            return {"threshold": settings.threshold, "rule": "given"}
        with tf.init_scope():  # also while a signature is traced
            scores, labels = self.valid_scores()
        outside = np.array([label == self.out_of_scope for label in labels], bool)
        if not (~outside).any():
            raise ConfigError(
                "[answer] threshold: the split valid has no rows with a class to choose the threshold on; add such rows, or set threshold"
            )
        if settings.coverage is None and outside.any():
            return {"rule": "f1", **out_of_scope.best_f1(scores, outside)}
        coverage = settings.coverage or COVERAGE
        return {"rule": "coverage", "coverage": coverage, **out_of_scope.at_coverage(scores[~outside], coverage)}

    def valid_scores(self) -> tuple[np.ndarray, Sequence[str]]:
        """The score and the label of each row of valid: [N]."""
        from textpipe.data import shards

        graph, ingest = self.graph, self._ingest()
        scores, labels = [np.zeros(0, np.float32)], []
        for batch in shards.read(ingest, "valid", (*graph.sources, graph.target)) if ingest else ():
            labels += batch.column(graph.target).to_pylist()
            for start in range(0, batch.num_rows, BATCH_ROWS):
                rows = batch.slice(start, BATCH_ROWS)
                raw = {name: graph.raw_tensor(name, rows.column(name).to_pylist()) for name in graph.sources}
                scores.append(self.scope(self.model_inputs(raw)).numpy())
        return np.concatenate(scores), labels

    def scope(self, inputs: Any) -> tf.Tensor:
        """The score of each row [B], larger in scope; see Config.score."""
        score = self._settings().score
        if score == "probability":
            return tf.reduce_max(self.probabilities(inputs), axis=1)
        logits = tf.cast(self.graph.model(inputs, training=False), tf.float32)
        if logits.shape[-1] == 1:  # the log-odds of the second of two classes
            logits = tf.concat([-logits, logits], axis=1) / 2
        return tf.reduce_max(logits, axis=1) if score == "logit" else tf.reduce_logsumexp(logits, axis=1)

    def answer(self, raw: Raw) -> Tensors:
        """The most probable label of each row, or the label out of scope, and the probabilities of all classes, in training order.

        {"text": ["I agree.", "qwerty"]}
        -> {"answer": ["no", "oos"], "score": [0.9, 0.6], "scope": [0.9, 0.6], "labels": ..., "probabilities": ...}
        """
        outputs = super().answer(raw)
        scope = outputs["score"] if self._settings().score == "probability" else self.scope(self.model_inputs(raw))
        inside = scope >= tf.constant(self.chosen["threshold"], tf.float32)
        return {**outputs, "answer": tf.where(inside, outputs["answer"], self.out_of_scope), "scope": scope}

    def add_golden_answers(self, raw: Raw, inputs: Any, rows: Sequence[dict[str, Any]]) -> None:
        """As _label.Output, with the label out of scope first where the score is below the threshold."""
        super().add_golden_answers(raw, inputs, rows)
        threshold = np.float32(self.chosen["threshold"])
        for row, scope in zip(rows, self.scope(self.model_inputs(raw, inputs)).numpy(), strict=True):
            if scope < threshold:
                row |= {"texts": [self.out_of_scope, *row["texts"][1:]], "log_prob": ABSENT}

    def about(self) -> dict[str, Any]:
        """{"out_of_scope": the label, the score, the threshold and how it was chosen}, for textpipe.json."""
        return {"out_of_scope": {"label": self.out_of_scope, "score": self._settings().score, **self.chosen}}
