"""A ranker by likelihood: a response's score is the logarithm of its probability after the message, token by token.

Shapes: B batch, R responses, K candidates, S sampled messages.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from textpipe.answers._ranking_settings import MAX_CANDIDATES
from textpipe.decoding import _trie_search
from textpipe.decoding._search import ABSENT
from textpipe.servable.tracing import Graph, Raw, Tensors

BEAM = 64


class Likelihood(tf.Module):
    """The scores of a response set under a model that gives tokens (Kannan et al. 2016, section 4).

    texts: the responses [R]. beam: hypotheses of the search over their trie; a response that it does not find scores ABSENT.
    mutual_information: the weight of the penalty on what is probable whatever the message (Li et al. 2016, equation 9): a score is
    log P(response | message) - mutual_information * log P(response), where P(response) is the model's mean over the rows of
    `messages`, {field: feature}.
    """

    prior_weight = 0.0  # a score has the frequency of a response in it; see _ranking.Output

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
        self.penalty = None
        if mutual_information:
            assert messages is not None
            self.penalty = tf.constant(mutual_information * self.marginal(messages), tf.float32)  # [R]

    def scores(self, inputs: Mapping[str, Any]) -> tf.Tensor:
        """The score of each response: {field: feature} -> [B, R]; ABSENT for those outside the beam."""
        found = self.log_probs(inputs)
        return found if self.penalty is None else tf.where(found > ABSENT, found - self.penalty, ABSENT)

    def log_probs(self, inputs: Mapping[str, Any], beam: int | None = None) -> tf.Tensor:
        """log P(response | message): {field: feature} -> [B, R]; ABSENT for those outside the beam.

        beam: in place of that of the ranker; as large as the trie it finds every response.
        """
        model, beam = self._graph().model, min(beam or self.beam, self.trie.num_nodes)
        return _trie_search.in_blocks(
            lambda rows: _trie_search.log_probs(model, rows, self.trie, beam=beam),
            inputs, min(beam, self.trie.num_leaves), self.vocab_size,
        )  # fmt: skip

    def exact(self, inputs: Mapping[str, Any]) -> tf.Tensor:
        """log P(response | message) of every response, each scored on its own: {field: feature} -> [B, R]."""
        rows = tf.shape(next(iter(inputs.values())))[0]
        return self.forced(inputs, tf.repeat(self.ids()[None], rows, axis=0))

    def score_texts(self, inputs: Mapping[str, Any], candidates: tf.Tensor) -> tf.Tensor:
        """log P(candidate | message), which need not be a response: {field: feature}, [B, K] string -> [B, K].

        A message is encoded once. Of a candidate longer than the model's max_length its beginning is scored.
        """
        graph = self._graph()
        ids = graph.encode(graph.target, tf.reshape(candidates, [-1]))  # [B * K, U]
        return self.forced(inputs, tf.reshape(ids, [*tf.unstack(tf.shape(candidates)), tf.shape(ids)[1]]))

    def forced(self, inputs: Mapping[str, Any], ids: tf.Tensor) -> tf.Tensor:
        """log P of given texts: {field: feature}, ids [B, K, U] -> [B, K]."""
        model = self._graph().model

        def of_block(rows: Mapping[str, Any], ids: tf.Tensor) -> tf.Tensor:
            count, texts, length = tf.unstack(tf.shape(ids))
            row = tf.repeat(tf.range(count), texts)
            found = _trie_search.forced_log_probs(model, rows, row, tf.reshape(ids, [-1, length]))
            return tf.reshape(found, [count, texts])

        return _trie_search.in_blocks(of_block, inputs, tf.maximum(1, tf.shape(ids)[1]), self.vocab_size, ids)

    def reply_scores(self, inputs: Mapping[str, Any], raw: Raw) -> tf.Tensor:
        """The scores of given replies, raw[target] [B]: -> [B]. What is no response has no penalty."""
        return self.score_texts(inputs, raw[self._graph().target][:, None])[:, 0]

    def rerank(self, inputs: Mapping[str, Any], candidates: tf.Tensor) -> Tensors:
        """The outputs of the signature that a cascade calls: {field: feature}, [B, K] string -> log_probs [B, K].

        The call fails for more than MAX_CANDIDATES.
        """
        count = tf.shape(candidates)[1]
        message = f"candidates must be at most {MAX_CANDIDATES:,} a row, found"
        with tf.control_dependencies([tf.debugging.Assert(count <= MAX_CANDIDATES, [message, count])]):
            return {"log_probs": self.score_texts(inputs, tf.identity(candidates))}

    def marginal(self, messages: Mapping[str, tf.Tensor]) -> np.ndarray:
        """log P(response) whatever the message: the logarithm of the mean of P(response | message) over rows: {field: feature} -> [R]."""
        traced = tf.function(lambda rows: self.log_probs(rows, self.trie.num_nodes), autograph=False)
        found = traced(dict(messages)).numpy().astype(np.float64)  # [S, R]
        return np.logaddexp.reduce(found, axis=0) - np.log(len(found))
