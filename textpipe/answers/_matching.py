"""A ranker by matching: the score of a response is the dot product of its vector and the message's vector.

Shapes: B batch, R responses, V vector size.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from textpipe.servable.tracing import Graph, Raw

BATCH = 512  # responses encoded together


class Matching(tf.Module):
    """Scores a response set with a model that gives vectors (Henderson et al. 2017, section 4.5).

    texts: the responses [R]; their vectors are computed once and saved with the graph.
    """

    # Default. In-batch negatives are drawn by frequency, so the frequency is missing from a score; see _ranking.Output.
    prior_weight = 1.0

    def __init__(self, graph: Graph, texts: tf.Tensor):
        super().__init__(name="ranker")
        self._graph = lambda: graph  # an attribute would be saved with this one
        parts = [
            graph.model.encode_reply(graph.encode(graph.target, texts[start : start + BATCH]))
            for start in range(0, len(texts), BATCH)
        ]
        vectors = np.concatenate([np.asarray(tf.cast(part, tf.float32)) for part in parts])
        self.vectors = tf.Variable(vectors, trainable=False, name="response_vectors")  # [R, V]

    def scores(self, inputs: Mapping[str, Any]) -> tf.Tensor:
        """The score of each response: {field: feature} -> [B, R]."""
        return tf.matmul(self.messages(inputs), self.vectors, transpose_b=True)

    def reply_scores(self, inputs: Mapping[str, Any], raw: Raw) -> tf.Tensor:
        """The scores of given replies, raw[target] [B]: -> [B]."""
        return tf.reduce_sum(self.messages(inputs) * self.replies(raw), axis=1)

    def messages(self, inputs: Mapping[str, Any]) -> tf.Tensor:
        """The vectors of messages: {field: feature} -> [B, V]."""
        return tf.cast(self._graph().model.encode(inputs), tf.float32)

    def replies(self, raw: Raw) -> tf.Tensor:
        """The vectors of given replies, raw[target] [B]: -> [B, V]."""
        graph = self._graph()
        return tf.cast(graph.model.encode_reply(graph.encode(graph.target, raw[graph.target])), tf.float32)
