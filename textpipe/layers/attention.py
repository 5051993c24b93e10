"""Attention over a padded memory: the part shared by dot_attention.py and additive_attention.py.

Shapes: B batch, T source, U target, D query size, M memory size, A attention size, K key size, N heads.

Each layer is called in two stages, so that a decoder projects the memory once and queries it at every step:

    prepared = attention.prepare(memory)                     # {"keys": ..., "values": ...}
    context, weights = attention(query, bias=bias, **prepared)

`call` takes all queries at once. Where each query depends on the result of the one before, decoder_loop.py computes one at
a time with `forward_step` and its gradients with `backward_step` (one step) and `memory_gradients` (all steps).
"""

import itertools
from collections.abc import Iterator

import keras
from keras import ops

# Added to the score of padding: its weight is then exactly 0, and a row of nothing but padding stays finite.
MASKED = -1e9


def padding_bias(real):
    """What is added to the scores: 0 for tokens, MASKED for padding; real [B, T] -> [B, T].

    [[1, 1, 0]] -> [[0, 0, -1e9]]
    """
    return (1 - real) * MASKED


def softmax(scores):
    """Softmax over the last axis. ops.softmax would warn when one-token sources give it an axis of length 1."""
    return ops.exp(ops.log_softmax(scores, axis=-1))


class Attention(keras.layers.Layer):
    """Weights and context from scores that a subclass defines (Luong et al. 2015, equation 7).

    query_size D, memory_size M and attention_size A are fixed at construction; seeds and kernel as in rnn_loop.Recurrent.
    """

    supports_coverage = False  # whether the score can depend on past attention

    def __init__(
        self,
        query_size: int,
        memory_size: int,
        *,
        attention_size: int = 128,
        num_heads: int = 4,
        coverage: bool = False,
        seeds: Iterator[int] | None = None,
        kernel: str = "glorot_uniform",
        **kwargs,
    ):
        super().__init__(**kwargs)
        assert self.supports_coverage or not coverage, self
        self.query_size = query_size
        self.memory_size = memory_size
        self.attention_size = attention_size
        self.num_heads = num_heads
        self.coverage = coverage
        self.seeds = seeds or itertools.count()
        self.kernel_name = kernel

    def add_matrix(self, rows: int, columns: int, name: str):
        config = {"class_name": self.kernel_name, "config": {"seed": next(self.seeds)}}
        return self.add_weight(shape=(rows, columns), initializer=keras.initializers.get(config), name=name)

    def build(self, *shapes):
        self.built = True

    def prepare(self, memory):
        """Everything that depends on no query: memory [B, T, M] -> {"keys": [B, T, K], "values": [B, T, M]}."""
        return {"keys": self.keys(memory), "values": memory}

    def keys(self, memory):
        return memory

    def loop_weights(self):
        """The weights used at each step, by name, as tensors: a custom gradient must not capture variables."""
        return {}

    def split_heads(self, columns):
        """Divide columns among the heads; the identity for a single head."""
        return columns

    def merge_heads(self, heads):
        """The inverse of `split_heads`."""
        return heads

    def project_query(self, query, weights):
        """The query in the space of the keys: [..., D] -> [..., K]."""
        return self.split_heads(ops.matmul(query, weights["query"])) if "query" in weights else query

    def project_output(self, weighted_sum, weights):
        """The weighted sum of the values -> the context: [..., M] -> [..., M]."""
        return ops.matmul(self.merge_heads(weighted_sum), weights["output"]) if "output" in weights else weighted_sum

    def mean_over_heads(self, attention):
        """Attention of all heads -> one weight per token: [..., T] -> [..., T]."""
        return attention

    def call(self, query, keys, values, bias):
        """query [B, U, D], keys [B, T, K], values [B, T, M], bias [B, T] -> context [B, U, M], weights [B, U, T]."""
        weights = softmax(self.score(query, keys) + bias[:, None, :])
        return ops.matmul(weights, values), weights

    def score(self, query, keys):
        """query [B, U, D], keys [B, T, K] -> [B, U, T]."""
        raise NotImplementedError

    def forward_step(self, query, keys, values, bias, weights, covered=None):
        """One query: projected [B, K] -> weighted sum of the values [B, M], attention [B, T].

        covered [B, T]: the sum of attention over all previous steps, for a score with coverage.
        """
        attention = softmax(self.score_step(query, keys, weights, covered) + bias)
        return ops.matmul(attention[..., None, :], values)[..., 0, :], attention

    def score_step(self, query, keys, weights, covered):
        """query [B, K], keys [B, T, K] -> [B, T]."""
        raise NotImplementedError

    def backward_step(self, d_read, d_after, attention, query, keys, values, weights, covered=None):
        """Backward pass of one step: d_read [B, M] and, with coverage, the gradient d_after [B, T] of `covered` after it.

        -> the gradients of the projected query [B, K], of the scores [B, T], and of `covered` (None without coverage).
        """
        d_attention = ops.matmul(values, d_read[..., None])[..., 0]
        if d_after is not None:
            d_attention = d_attention + d_after
        product = attention * d_attention
        d_scores = product - attention * ops.sum(product, axis=-1, keepdims=True)
        d_query, d_covered = self.score_backward_step(d_scores, query, keys, weights, covered)
        # After a step, `covered` is its previous value plus the step's attention.
        return d_query, d_scores, d_covered if d_after is None else d_covered + d_after

    def score_backward_step(self, d_scores, query, keys, weights, covered):
        """d_scores [B, T] -> the gradients of the projected query [B, K] and of `covered` [B, T] or None."""
        raise NotImplementedError

    def memory_gradients(self, d_read, d_scores, attention, query, keys, weights, covered=None):
        """All steps, [U, B, .] each: the gradients of keys [B, T, K], values [B, T, M] and the score's own weights."""
        d_values = ops.matmul(steps_last(attention), batch_first(d_read))
        d_keys, d_weights = self.score_gradients(d_scores, query, keys, weights, covered)
        return d_keys, d_values, d_weights

    def score_gradients(self, d_scores, query, keys, weights, covered):
        """d_scores [U, B, T], query [U, B, K] -> the gradient of keys [B, T, K], and of weights, by name."""
        raise NotImplementedError


def batch_first(steps):
    """[U, B, ..., X] -> [B, ..., U, X]."""
    return ops.moveaxis(steps, 0, -2)


def steps_last(steps):
    """[U, B, ..., X] -> [B, ..., X, U]."""
    return ops.moveaxis(steps, 0, -1)
