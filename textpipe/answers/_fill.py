"""The outputs of a language model, in graph.   Shapes: B batch, P parts, T tokens, D vector."""

import functools
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import tensorflow as tf

from textpipe.objectives.masked_tokens import MASK_ID
from textpipe.savedmodel import signatures
from textpipe.savedmodel.signatures import Signature
from textpipe.servable import tracing
from textpipe.servable.tracing import Graph, Raw, Tensors
from textpipe.text.special_tokens import PAD_ID, SPECIAL_TOKENS
from textpipe.training import losses

MASK = "<mask>"  # in a text
# What it becomes while the text is normalized: a word that no step changes, where the step html would remove a tag.
MASK_WORD = "xxmaskxx"


class Output(tf.Module):
    """The text with each `<mask>` replaced by its most probable token, all in one pass, and a vector of the text."""

    labels = None
    decode = None
    bounds: Mapping[str, Any] = MappingProxyType({})

    def __init__(self, graph: Graph):
        super().__init__(name="output")
        self._graph = lambda: graph  # in a lambda: an attribute would be saved with this module

    @property
    def graph(self) -> Graph:
        """The graph that this module belongs to."""
        return self._graph()

    def masked_ids(self, raw: Raw) -> tf.Tensor:
        """The tokens of each text, with the mask's id for each `<mask>`: {field: [B]} -> [B, T] int32."""
        graph = self.graph
        feature = graph.features[graph.source]
        text = tf.strings.regex_replace(raw[graph.source], MASK, MASK_WORD)
        parts = tf.strings.split(graph.clean(graph.source, text), MASK_WORD)  # [B, P]
        ids = feature.codec.encode(parts.flat_values)
        ended = tf.concat([ids, tf.fill([ids.nrows(), 1], MASK_ID)], axis=1)
        rows = parts.with_values(ended).merge_dims(1, 2)[:, :-1][:, : feature.max_length - 1]
        end = tf.fill([rows.nrows(), 1], feature.codec.end_id)
        return tf.concat([rows, end], axis=1).to_tensor(PAD_ID)

    def answer(self, raw: Raw) -> Tensors:
        """{"text": ["how do i <mask> my card"]} -> {"answer": ["how do i activate my card"], "score": [0.4], "vector": [[...]]}

        score: the product of the probabilities of the filled tokens, 1 without masks. vector: LanguageModel.vector of the filled text.
        """
        graph, codec = self.graph, self.graph.features[self.graph.source].codec
        ids = self.masked_ids(raw)
        decoder_ids = losses.shift_right(ids, codec.start_id) if graph.model.causal else ids
        logits = tf.cast(graph.model({}, decoder_ids, training=False), tf.float32)  # [B, T, V]
        log_probs = tf.nn.log_softmax(logits)[:, :, len(SPECIAL_TOKENS) :]
        best = tf.argmax(log_probs, axis=2, output_type=tf.int32) + len(SPECIAL_TOKENS)
        masked = ids == MASK_ID
        filled = tf.where(masked, best, ids)
        score = tf.exp(tf.reduce_sum(tf.where(masked, tf.reduce_max(log_probs, axis=2), 0.0), axis=1))
        return {
            "answer": codec.decode(filled),
            "score": score,
            "vector": tf.cast(graph.model.vector(filled), tf.float32),
        }

    def signatures(self) -> list[Signature]:
        """All signatures."""
        graph, rows = self.graph, self.graph.row_inputs
        return [
            Signature("serving_default", rows, signatures.ANSWER, call=self.answer, mergeable=True),
            Signature("features", rows, signatures.FEATURES, call=functools.partial(tracing.features, graph)),
            Signature("tokens", rows, signatures.TOKEN_COUNTS, call=functools.partial(tracing.token_counts, graph)),
        ]

    def add_golden_answers(self, raw: Raw, inputs: Any, rows: Sequence[dict[str, Any]]) -> None:
        """Add the answer and its score to each row."""
        outputs = self.answer(raw)
        for row, text, score in zip(rows, outputs["answer"].numpy(), outputs["score"].numpy(), strict=True):
            row |= {"texts": [text.decode(errors="replace")], "scores": [float(score)]}
