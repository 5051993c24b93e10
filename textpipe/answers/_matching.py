"""A ranker by matching: the score of a response is the dot product of its vector and the message's vector.

Shapes: B batch, R responses, V vector size.
"""

import logging
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from textpipe.answers._candidates import Candidates
from textpipe.answers._index import INTERVAL, CellIndex
from textpipe.answers._ranking_settings import Index
from textpipe.servable.tracing import Graph, Raw

BATCH = 512  # responses encoded together

log = logging.getLogger(__name__)


class Matching(tf.Module):
    """Scores a response set with a model that gives vectors (Henderson et al. 2017, section 4.5).

    texts: the responses [R]; their vectors are computed once and saved with the graph. prior: [R], what is added to the scores afterwards.
    index: settings of an index to search (section 4.6 of the paper uses another), or None to score all responses. width: the fewest
    candidates that a search returns.
    """

    # Default. In-batch negatives are drawn by frequency, so the frequency is missing from a score; see _ranking.Output.
    prior_weight = 1.0

    def __init__(
        self, graph: Graph, texts: tf.Tensor, prior: np.ndarray, index: Index | None = None, *, width: int = 1
    ):
        super().__init__(name="ranker")
        self._graph = lambda: graph  # an attribute would be saved with this one
        vectors = encoded(graph, texts)
        self.index = CellIndex(vectors, prior, index, width=width) if index else None
        if index is None:
            self.vectors = tf.Variable(vectors, trainable=False, name="response_vectors")  # [R, V]

    def candidates(self, inputs: Mapping[str, Any]) -> Candidates:
        """The scored responses: {field: feature} -> all of them, or those that the index finds."""
        messages = self.messages(inputs)
        if self.index is not None:
            return self.index.search(messages)
        return Candidates(tf.matmul(messages, self.vectors, transpose_b=True))

    def ambiguous(self, inputs: Mapping[str, Any]) -> np.ndarray:
        """Whether rounding decides which responses are candidates: {field: feature} -> [B] bool."""
        messages = self.messages(inputs)
        return np.zeros(len(messages), bool) if self.index is None else self.index.ambiguous(messages)

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


def encoded(graph: Graph, texts: tf.Tensor) -> np.ndarray:
    """The vectors of responses, [R] -> [R, V]."""

    def encode(part: tf.Tensor) -> tf.Tensor:
        return tf.cast(graph.model.encode_reply(graph.encode(graph.target, part)), tf.float32)

    if len(texts) <= BATCH:
        return np.asarray(encode(texts))
    traced = tf.function(encode, input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
    vectors, logged_at = np.empty(0), time.monotonic()
    for start in range(0, len(texts), BATCH):
        part = traced(texts[start : start + BATCH]).numpy()
        if not start:
            vectors = np.empty((len(texts), part.shape[1]), np.float32)
        vectors[start : start + BATCH] = part
        if time.monotonic() - logged_at >= INTERVAL:
            logged_at = time.monotonic()
            log.info("%d of %d responses are encoded", start + len(part), len(texts))
    return vectors
