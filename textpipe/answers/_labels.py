"""The outputs of a multi-label classifier, in graph.   Shapes: B batch, C labels."""

import math
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from textpipe.answers import _label
from textpipe.kinds.labels import SEPARATOR
from textpipe.servable.tracing import Graph, Raw, Tensors


class Output(_label.Output):
    """As _label.Output, with a sigmoid per label. threshold: the lowest probability of a label in the answer."""

    def __init__(self, graph: Graph, threshold: float):
        super().__init__(graph)
        self.threshold = threshold

    def answer(self, raw: Raw) -> Tensors:
        """The labels of each row, joined by "|" in training order, and the probabilities of all labels.

        score: the probability that exactly these apply, assuming independent labels.

        {"text": ["Invoice overdue!"]}
        -> {"answer": ["billing|urgent"], "score": [0.7], "labels": [["billing", "other", "urgent"]],
            "probabilities": [[0.9, 0.1, 0.8]]}
        """
        probabilities = self.probabilities(self.graph.inputs(raw))  # [B, C]
        names = tf.tile(self.classes.names[None], [tf.shape(probabilities)[0], 1])  # [B, C]
        chosen = probabilities >= self.threshold
        chosen_names = tf.ragged.boolean_mask(names, chosen)
        return {
            "answer": tf.strings.reduce_join(chosen_names, axis=1, separator=SEPARATOR),
            "score": tf.reduce_prod(tf.where(chosen, probabilities, 1 - probabilities), axis=1),
            "labels": names,
            "probabilities": probabilities,
        }

    def probabilities(self, inputs: Any) -> tf.Tensor:
        """The probability of each label [B, C]."""
        return tf.sigmoid(self.logits(inputs))

    def score(self, raw: Raw) -> Tensors:
        """Score given sets of labels, the probability that exactly these apply: log_prob [B] and probability [B].

        Unknown labels are ignored.
        """
        logits = self.logits(self.graph.inputs(raw))
        targets = self.classes(raw[self.graph.target])  # [B, C] of 0 and 1
        log_prob = tf.reduce_sum(tf.math.log_sigmoid(tf.where(targets > 0, logits, -logits)), axis=1)
        return {"log_prob": log_prob, "probability": tf.exp(log_prob)}

    def add_golden_answers(self, raw: Raw, inputs: Any, rows: Sequence[dict[str, Any]]) -> None:
        """Add the answer of each row with its score, the probabilities, and log_prob of the answer."""
        labels = self.classes.classes
        for row, probabilities in zip(rows, self.probabilities(inputs).numpy().tolist(), strict=True):
            chosen = [value >= self.threshold for value in probabilities]
            factors = [
                value if is_chosen else 1 - value for value, is_chosen in zip(probabilities, chosen, strict=True)
            ]
            row["probabilities"] = probabilities
            row |= {
                "texts": [SEPARATOR.join(label for label, is_chosen in zip(labels, chosen, strict=True) if is_chosen)],
                "scores": [math.prod(factors)],
                "log_prob": math.fsum(math.log(max(factor, 1e-38)) for factor in factors),
            }
