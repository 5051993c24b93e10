"""Attention over a padded memory: what dot_attention.py and additive_attention.py have in common.

Shapes: B batch, T source, U target, D query size, M memory size, A attention size, K key size, N heads.

Each layer is used in two moves, so that a decoder prepares the memory once and asks it many times:

    prepared = attention.prepare(memory)                     # {"keys": ..., "values": ...}
    context, weights = attention(query, bias=bias, **prepared)

`call` takes all queries at once. Where each query waits for the answer to the one before, decoder_loop.py asks one at a
time with `ask`, and finds its way back with `turn` (one step) and `collect` (all steps).
"""

import itertools
from collections.abc import Iterator

import keras
from keras import ops

# Added to the score of padding: its weight is then 0 exactly, and a row of nothing but padding stays finite.
MASKED = -1e9


def bias_of(real):
    """What is added to the scores: 0 for tokens, MASKED for padding; real [B, T] -> [B, T].

    [[1, 1, 0]] -> [[0, 0, -1e9]]
    """
    return (1 - real) * MASKED


def softmax(scores):
    """Not ops.softmax, which warns when a batch of one-token sources gives it an axis of length 1."""
    return ops.exp(ops.log_softmax(scores, axis=-1))


class Attention(keras.layers.Layer):
    """Weights and context from scores that a subclass defines (Luong et al. 2015, equation 7).

    query_size D, memory_size M and attention_size A are fixed at construction; seeds and kernel as in rnn.Recurrent.
    """

    covers = False  # whether the score can see what has been attended to

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
        assert self.covers or not coverage, self
        self.query_size = query_size
        self.memory_size = memory_size
        self.attention_size = attention_size
        self.num_heads = num_heads
        self.coverage = coverage
        self.seeds = seeds or itertools.count()
        self.kernel_name = kernel

    def matrix(self, rows: int, columns: int, name: str):
        config = {"class_name": self.kernel_name, "config": {"seed": next(self.seeds)}}
        return self.add_weight(shape=(rows, columns), initializer=keras.initializers.get(config), name=name)

    def build(self, *shapes):
        self.built = True

    def prepare(self, memory):
        """What can be computed before any query: memory [B, T, M] -> {"keys": [B, T, K], "values": [B, T, M]}."""
        return {"keys": self.keys(memory), "values": memory}

    def keys(self, memory):
        return memory

    def loop_weights(self):
        """What a loop reads at each step, by name, as tensors: a custom gradient must not meet variables."""
        return {}

    def heads(self, columns):
        """Columns as the heads have them; one head has them all."""
        return columns

    def joined(self, heads):
        """The reverse of `heads`."""
        return heads

    def project(self, query, weights):
        """The query as it meets the keys: [..., D] -> [..., K]."""
        return self.heads(ops.matmul(query, weights["query"])) if "query" in weights else query

    def merge(self, read, weights):
        """What was read of the values -> the context: [..., M] -> [..., M]."""
        return ops.matmul(self.joined(read), weights["output"]) if "output" in weights else read

    def reported(self, attention):
        """The attention of all heads -> one number for each token: [..., T] -> [..., T]."""
        return attention

    def call(self, query, keys, values, bias):
        """query [B, U, D], keys [B, T, K], values [B, T, M], bias [B, T] -> context [B, U, M], weights [B, U, T]."""
        weights = softmax(self.score(query, keys) + bias[:, None, :])
        return ops.matmul(weights, values), weights

    def score(self, query, keys):
        """query [B, U, D], keys [B, T, K] -> [B, U, T]."""
        raise NotImplementedError

    def ask(self, query, keys, values, bias, weights, covered=None):
        """One query: projected [B, K] -> what is read of the values [B, M], attention [B, T].

        covered [B, T]: the sum of all attention before, for a score that sees it.
        """
        attention = softmax(self.score_one(query, keys, weights, covered) + bias)
        return ops.matmul(attention[..., None, :], values)[..., 0, :], attention

    def score_one(self, query, keys, weights, covered):
        """query [B, K], keys [B, T, K] -> [B, T]."""
        raise NotImplementedError

    def turn(self, d_read, d_after, attention, query, keys, values, weights, covered=None):
        """One step back: d_read [B, M] and, where later steps saw what was covered, d_after [B, T].

        -> the gradients of the projected query [B, K], of the scores [B, T], and of `covered` (None without).
        """
        d_attention = ops.matmul(values, d_read[..., None])[..., 0]
        if d_after is not None:
            d_attention = d_attention + d_after
        product = attention * d_attention
        d_scores = product - attention * ops.sum(product, axis=-1, keepdims=True)
        d_query, d_covered = self.turn_scores(d_scores, query, keys, weights, covered)
        # What is covered after a step is what was before, and the step's attention.
        return d_query, d_scores, d_covered if d_after is None else d_covered + d_after

    def turn_scores(self, d_scores, query, keys, weights, covered):
        """d_scores [B, T] -> the gradients of the projected query [B, K] and of `covered` [B, T] or None."""
        raise NotImplementedError

    def collect(self, d_read, d_scores, attention, query, keys, weights, covered=None):
        """All steps, [U, B, .] each: the gradients of keys [B, T, K], values [B, T, M] and the score's own weights."""
        d_values = ops.matmul(turned(attention), rows_first(d_read))
        d_keys, d_weights = self.collect_scores(d_scores, query, keys, weights, covered)
        return d_keys, d_values, d_weights

    def collect_scores(self, d_scores, query, keys, weights, covered):
        """d_scores [U, B, T], query [U, B, K] -> the gradient of keys [B, T, K], and of weights, by name."""
        raise NotImplementedError


def rows_first(steps):
    """[U, B, ..., X] -> [B, ..., U, X]."""
    return ops.moveaxis(steps, 0, -2)


def turned(steps):
    """[U, B, ..., X] -> [B, ..., X, U]."""
    return ops.moveaxis(steps, 0, -1)
