"""A ranker by likelihood: the score of a response is its log-probability given the message, the sum over its tokens.

Shapes: B batch, R responses, K candidates, S sampled messages.
"""

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from textpipe.answers._candidates import Candidates
from textpipe.answers._ranking_settings import MAX_CANDIDATES
from textpipe.decoding import _trie_search
from textpipe.decoding._search import ABSENT
from textpipe.servable.tracing import Graph, Raw, Tensors

BEAM = 64


class Likelihood(tf.Module):
    """Scores a response set with a model that generates tokens (Kannan et al. 2016, section 4).

    texts: the responses [R]. beam: number of hypotheses in the search over their trie; a response that the search does not find has
    the score ABSENT. mutual_information: weight of the penalty on responses that are probable for any message (Li et al. 2016,
    equation 9). The score is log P(response | message) - mutual_information * log P(response), where P(response) is the mean of
    P(response | message) over the rows of `messages`, {field: feature}.
    """

    # Default. log P(response | message) already reflects how frequent a response is; see _ranking.Output.
    prior_weight = 0.0

    def __init__(
        self,
        graph: Graph,
        texts: tf.Tensor,
        *,
        beam: int = BEAM,
        mutual_information: float = 0.0,
        messages: Mapping[str, tf.Tensor] | None = None,
    ):
        super().__init__(name="ranker")
        self._graph = lambda: graph  # an attribute would be saved with this one
        self.beam = beam
        codec = graph.features[graph.target].codec
        self.end_id, self.vocab_size = codec.end_id, codec.vocab_size
        ids = graph.encode(graph.target, texts).numpy()
        self.trie = _trie_search.TextTrie(ids, codec.end_id)
        self.ids = lambda: ids  # [R, U]
        self.search = functools.cache(self.traced_search)
        self.penalty = None
        if mutual_information:
            assert messages is not None
            self.penalty = tf.constant(mutual_information * self.marginal(messages), tf.float32)  # [R]

    def candidates(self, inputs: Mapping[str, Any]) -> Candidates:
        """The score of each response: {field: feature} -> all of them; ABSENT for those outside the beam."""
        log_probs = self.log_probs(inputs)
        if self.penalty is None:
            return Candidates(log_probs)
        return Candidates(tf.where(log_probs > ABSENT, log_probs - self.penalty, ABSENT))

    def log_probs(self, inputs: Mapping[str, Any], beam: int | None = None) -> tf.Tensor:
        """log P(response | message): {field: feature} -> [B, R]; ABSENT for those outside the beam.

        beam: replaces the ranker's own; a beam of trie.num_nodes finds every response.
        """
        return self.search(min(beam or self.beam, self.trie.num_nodes))(dict(inputs))

    def traced_search(self, beam: int) -> Any:
        """The search as a traced function that all signatures share: {field: ids [B, T]} -> [B, R]."""
        model, wide = self._graph().model, min(beam, self.trie.num_leaves)

        def search(inputs: Mapping[str, Any]) -> tf.Tensor:
            return _trie_search.in_blocks(
                lambda rows: _trie_search.log_probs(model, rows, self.trie, beam=beam), inputs, wide, self.vocab_size
            )

        return tf.function(search, autograph=False, reduce_retracing=True)

    def exact(self, inputs: Mapping[str, Any]) -> tf.Tensor:
        """log P(response | message) of every response, without the trie: {field: feature} -> [B, R]."""
        rows = tf.shape(next(iter(inputs.values())))[0]
        return self.forced(inputs, tf.repeat(self.ids()[None], rows, axis=0))

    def score_texts(self, inputs: Mapping[str, Any], candidates: tf.Tensor) -> tf.Tensor:
        """log P(candidate | message) of any texts: {field: feature}, candidates [B, K] string -> [B, K].

        Each message is encoded once. A candidate longer than the target's max_length is truncated.
        """
        graph = self._graph()
        ids = graph.encode(graph.target, tf.reshape(candidates, [-1]))  # [B * K, U]
        return self.forced(inputs, tf.reshape(ids, [*tf.unstack(tf.shape(candidates)), tf.shape(ids)[1]]))

    def forced(self, inputs: Mapping[str, Any], ids: tf.Tensor) -> tf.Tensor:
        """log P(text | message) by teacher forcing: {field: feature}, ids [B, K, U] -> [B, K]."""
        model = self._graph().model

        def of_block(rows: Mapping[str, Any], ids: tf.Tensor) -> tf.Tensor:
            count, texts, length = tf.unstack(tf.shape(ids))
            row = tf.repeat(tf.range(count), texts)
            log_probs = _trie_search.forced_log_probs(model, rows, row, tf.reshape(ids, [-1, length]))
            return tf.reshape(log_probs, [count, texts])

        return _trie_search.in_blocks(of_block, inputs, tf.maximum(1, tf.shape(ids)[1]), self.vocab_size, ids)

    def reply_scores(self, inputs: Mapping[str, Any], raw: Raw) -> tf.Tensor:
        """The scores of given replies: {field: feature}, raw[target] [B] -> [B], without the mutual-information penalty."""
        return self.score_texts(inputs, raw[self._graph().target][:, None])[:, 0]

    def rerank(self, inputs: Mapping[str, Any], candidates: tf.Tensor) -> Tensors:
        """The outputs of the signature `rerank`, which a cascade calls: {field: feature}, candidates [B, K] string -> log_probs [B, K].

        The call fails for more than MAX_CANDIDATES candidates per row.
        """
        count = tf.shape(candidates)[1]
        message = f"candidates: expected at most {MAX_CANDIDATES:,} per row, found"
        with tf.control_dependencies([tf.debugging.Assert(count <= MAX_CANDIDATES, [message, count])]):
            return {"log_probs": self.score_texts(inputs, tf.identity(candidates))}

    def marginal(self, messages: Mapping[str, tf.Tensor]) -> np.ndarray:
        """log P(response), where P(response) is the mean of P(response | message) over S messages: {field: feature} -> [R]."""
        log_probs = self.log_probs(messages, self.trie.num_nodes).numpy().astype(np.float64)  # [S, R]
        return np.logaddexp.reduce(log_probs, axis=0) - np.log(len(log_probs))
