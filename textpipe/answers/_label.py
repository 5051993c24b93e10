"""The outputs of a classifier, in graph.   Shapes: B batch, C classes."""

import functools
import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import tensorflow as tf

from textpipe.nets.classifier_ensemble import MEMBERS
from textpipe.savedmodel import signatures
from textpipe.savedmodel.signatures import Input, Signature
from textpipe.servable import tracing
from textpipe.servable.tracing import ABSENT, Graph, Raw, Tensors
from textpipe.training import calibration

EXAMPLES_INPUT = "inputs"  # TensorFlow Serving's name for the input of a classify signature


class Output(tf.Module):
    """The outputs of a classifier: {field: [B]} -> outputs by name."""

    decode = None
    bounds: Mapping[str, Any] = MappingProxyType({})

    def __init__(self, graph: Graph):
        super().__init__(name="output")
        self._graph = lambda: graph  # in a lambda: an attribute would be saved with this module
        self.classes = graph.features[graph.target]
        # The models of an ensemble have a temperature each, which the ensemble applies.
        self.temperature = 1.0 if graph.members else calibration.temperature_of(graph.trained)

    @property
    def graph(self) -> Graph:
        """The graph that this module belongs to."""
        return self._graph()

    @property
    def labels(self) -> list[str] | None:
        """The classes, in training order."""
        return list(self.classes.classes)

    def model_inputs(self, raw: Raw, features: Any = None) -> dict[str, Any]:
        """The model's inputs: the features of raw rows, computed unless given, and in an ensemble the probabilities of the members."""
        inputs = dict(self.graph.inputs(raw) if features is None else features)
        return {**inputs, MEMBERS: self.graph.members.probabilities(raw)} if self.graph.members else inputs

    def answer(self, raw: Raw) -> Tensors:
        """The most probable label of each row, and the probabilities of all classes, in training order.

        {"text": ["I agree."]}
        -> {"answer": ["no"], "score": [0.9], "labels": [["no", "yes"]], "probabilities": [[0.9, 0.1]]}
        """
        probabilities = self.probabilities(self.model_inputs(raw))  # [B, C]
        best = tf.argmax(probabilities, axis=1, output_type=tf.int32)  # [B]
        names = self.classes.name(tf.range(tf.shape(probabilities)[1]))  # [C]
        return {
            "answer": tf.gather(names, best),
            "score": tf.reduce_max(probabilities, axis=1),
            "labels": tf.tile(names[None], [tf.shape(best)[0], 1]),
            "probabilities": probabilities,
        }

    def logits(self, inputs: Any) -> tf.Tensor:
        """The model's logits [B, C], divided by the temperature of calibration."""
        logits = tf.cast(self.graph.model(inputs, training=False), tf.float32)
        return logits if self.temperature == 1 else logits / self.temperature

    def probabilities(self, inputs: Any) -> tf.Tensor:
        """Class probabilities [B, C]; a single logit is the log-odds of the second of two classes."""
        return to_probabilities(self.logits(inputs))

    def uncalibrated(self, **raw: tf.Tensor) -> Tensors:
        """The most probable class of each row, and its probability without calibration [B]."""
        probabilities = to_probabilities(self.logits(self.graph.inputs(raw)) * self.temperature)
        best = tf.argmax(probabilities, axis=1, output_type=tf.int32)
        return {"answer": self.classes.name(best), "score": tf.reduce_max(probabilities, axis=1)}

    def log_probabilities(self, inputs: Any) -> tf.Tensor:
        """The logarithms of `probabilities` [B, C], accurate also where those underflow."""
        logits = self.logits(inputs)
        if logits.shape[-1] == 1:
            return tf.concat([tf.math.log_sigmoid(-logits), tf.math.log_sigmoid(logits)], axis=1)
        return tf.nn.log_softmax(logits)

    def score(self, raw: Raw) -> Tensors:
        """Score given labels: {source field: [B], target field: [B]} -> log_prob [B] and probability [B].

        A label that is not a class has probability 0 and log_prob -1e9.
        """
        log_probs = self.log_probabilities(self.model_inputs(raw))
        label = self.classes.ids(raw[self.graph.target])
        label_log_probs = tf.gather(log_probs, tf.maximum(label, 0), batch_dims=1)
        log_prob = tf.where(label >= 0, label_log_probs, ABSENT)
        return {"log_prob": log_prob, "probability": tf.exp(log_prob)}

    def classify(self, examples: Mapping[str, tf.Tensor]) -> Tensors:
        """TensorFlow Serving's classify: serialized tf.Examples [B] -> classes [B, C] and scores [B, C].

        An example has a feature for each source field, of bytes or floats; if absent, a text is empty and a number missing.
        """
        outputs = self.answer(tf.io.parse_example(examples[EXAMPLES_INPUT], tracing.example_spec(self.graph)))
        return {"classes": outputs["labels"], "scores": outputs["probabilities"]}

    @property
    def attends(self) -> bool:
        """Whether the model tells what it attends to, and the parts of that field, its sentences, can be shown."""
        model = self.graph.model
        return hasattr(model, "attend") and hasattr(self.graph.features[model.attended], "parts")

    def attention(self, raw: Raw) -> Tensors:
        """What the model attended to: weights [B, U, T] of the T parts (sentences) of a field in each of U steps, hops or slots.

        source_tokens: [B, T], the parts. target_tokens: [B, U], names of the steps. alignment: [B, U], the part of the largest weight.
        """
        graph, model = self.graph, self.graph.model
        _, weights = model.attend(graph.inputs(raw))
        parts = graph.features[model.attended].parts(graph.clean(model.attended, raw[model.attended])).to_tensor("")
        names = tf.constant(model.attention_names)
        return {
            "weights": weights,
            "alignment": tf.argmax(weights, axis=2, output_type=tf.int32),
            "source_tokens": parts,
            "target_tokens": tf.tile(names[None], [tf.shape(parts)[0], 1]),
        }

    def signatures(self) -> list[Signature]:
        """All signatures."""
        graph, rows = self.graph, self.graph.row_inputs
        pairs = {**rows, **graph.target_input}
        examples = {EXAMPLES_INPUT: Input(signatures.EXAMPLES)}
        count_tokens = functools.partial(tracing.token_counts, graph)
        attention = [Signature("attention", rows, signatures.ATTENTION, call=self.attention)] if self.attends else []
        return [
            Signature("serving_default", rows, signatures.ANSWER, call=self.answer, mergeable=True),
            Signature("features", rows, signatures.FEATURES, call=functools.partial(tracing.features, graph)),
            Signature("score", pairs, signatures.LIKELIHOOD, call=self.score),
            Signature("tokens", rows, signatures.TOKEN_COUNTS, call=count_tokens),
            Signature(
                "classify", examples, signatures.ANSWER, call=self.classify, method=signatures.CLASSIFY, mergeable=True
            ),
            *attention,
        ]  # fmt: skip

    def add_golden_answers(self, raw: Raw, inputs: Any, rows: Sequence[dict[str, Any]]) -> None:
        """Add texts and scores to each row, best first, its probabilities, and log_prob of the best.

        raw: the rows as callers send them; inputs: their features, as model inputs.
        """
        labels = self.classes.classes
        for row, probabilities in zip(
            rows, self.probabilities(self.model_inputs(raw, inputs)).numpy().tolist(), strict=True
        ):
            ranked = sorted(range(len(labels)), key=lambda at: -probabilities[at])
            row["probabilities"] = probabilities
            row |= {"texts": [labels[at] for at in ranked], "scores": [probabilities[at] for at in ranked]}
            row["log_prob"] = math.log(max(probabilities))


def to_probabilities(logits: tf.Tensor) -> tf.Tensor:
    """Logits [B, C], or log-odds of the second of two classes [B, 1], as class probabilities [B, C]."""
    if logits.shape[-1] == 1:
        return tf.concat([tf.sigmoid(-logits), tf.sigmoid(logits)], axis=1)
    return tf.nn.softmax(logits)
