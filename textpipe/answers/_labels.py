"""The outputs of a classifier that gives a row any number of labels, in graph.   Shapes: B batch, C labels."""

import math
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from textpipe.answers import _label
from textpipe.kinds.labels import BETWEEN
from textpipe.servable.tracing import Graph, Raw, Tensors


class Output(_label.Output):
    """As that of one label, with a sigmoid for each. threshold: the least probability of a label that is given."""

    def __init__(self, graph: Graph, threshold: float):
        super().__init__(graph)
        self.threshold = threshold

    def answer(self, raw: Raw) -> Tensors:
        """The labels of each row, parted by "|" in training's order, and the probabilities of all.

        score: the probability that exactly these apply, labels being independent.

        {"text": ["Invoice overdue!"]}
        -> {"answer": ["billing|urgent"], "score": [0.7], "labels": [["billing", "other", "urgent"]],
            "probabilities": [[0.9, 0.1, 0.8]]}
        """
        probabilities = self.probabilities(self.graph.inputs(raw))  # [B, C]
        names = tf.tile(self.classes.names[None], [tf.shape(probabilities)[0], 1])  # [B, C]
        given = probabilities >= self.threshold
        chosen = tf.ragged.boolean_mask(names, given)
        return {
            "answer": tf.strings.reduce_join(chosen, axis=1, separator=BETWEEN),
            "score": tf.reduce_prod(tf.where(given, probabilities, 1 - probabilities), axis=1),
            "labels": names,
            "probabilities": probabilities,
        }

    def probabilities(self, inputs: Any) -> tf.Tensor:
        """The probability of each label [B, C]."""
        return tf.sigmoid(tf.cast(self.graph.model(inputs, training=False), tf.float32))

    def score(self, raw: Raw) -> Tensors:
        """How probable it is that exactly the given labels apply: log_prob [B] and probability [B].

        Names that are no label are left out.
        """
        logits = tf.cast(self.graph.model(self.graph.inputs(raw), training=False), tf.float32)
        given = self.classes(raw[self.graph.target])  # [B, C] of 0 and 1
        log_prob = tf.reduce_sum(tf.math.log_sigmoid(tf.where(given > 0, logits, -logits)), axis=1)
        return {"log_prob": log_prob, "probability": tf.exp(log_prob)}

    def golden(self, raw: Raw, inputs: Any, rows: Sequence[dict[str, Any]]) -> None:
        """Fill in the answer of each row with its score, the probabilities, and the log_prob of the answer."""
        labels = self.classes.classes
        for row, probabilities in zip(rows, self.probabilities(inputs).numpy().tolist(), strict=True):
            given = [value >= self.threshold for value in probabilities]
            parts = [value if one else 1 - value for value, one in zip(probabilities, given, strict=True)]
            row["probabilities"] = probabilities
            row |= {
                "texts": [BETWEEN.join(label for label, one in zip(labels, given, strict=True) if one)],
                "scores": [math.prod(parts)],
                "log_prob": math.fsum(math.log(max(part, 1e-38)) for part in parts),
            }
