"""Attention over a padded memory.   Shapes: B batch, T source, U target, D query size, M memory size, A attention size,
K key size, N heads.

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

from textpipe.layers.additive import additive_gradients, additive_scores, along, falling, squash

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


class DotAttention(Attention):
    """score(q, k) = q . k (Luong et al. 2015, equation 8, dot); needs D = M."""

    scale = 1.0

    def build(self, *shapes):
        assert self.query_size == self.memory_size, (self.query_size, self.memory_size)
        super().build()

    def score(self, query, keys):
        return ops.matmul(query * self.scale, ops.transpose(keys, (0, 2, 1)))

    def score_one(self, query, keys, weights, covered):
        return ops.matmul(keys, (query * self.scale)[..., None])[..., 0]

    def turn_scores(self, d_scores, query, keys, weights, covered):
        return ops.matmul(d_scores[..., None, :], keys)[..., 0, :] * self.scale, None

    def collect_scores(self, d_scores, query, keys, weights, covered):
        return ops.matmul(turned(d_scores), rows_first(query * self.scale)), {}


class ScaledDotAttention(DotAttention):
    """score(q, k) = q . k / sqrt(D) (Vaswani et al. 2017, equation 1); needs D = M."""

    @property
    def scale(self):
        return self.query_size**-0.5


class GeneralAttention(DotAttention):
    """score(q, k) = q W k (Luong et al. 2015, equation 8, general); W is applied to the memory, once."""

    def build(self, *shapes):
        self.weight = self.matrix(self.memory_size, self.query_size, "weight")
        self.built = True

    def keys(self, memory):
        return ops.matmul(memory, self.weight)


class MultiHeadAttention(DotAttention):
    """N scaled dot products of A / N columns each, what they read side by side (Vaswani et al. 2017, section 3.2.2).

    context = [softmax(q Wq_n (m Wk_n)' / sqrt(A / N)) m Wv_n for each head n] Wo. Keys and values [B, N, T, A / N] are
    prepared once for each row. The weights that are reported are the mean of the heads'.
    """

    def build(self, *shapes):
        assert self.attention_size % self.num_heads == 0, (self.attention_size, self.num_heads)
        self.query_weight = self.matrix(self.query_size, self.attention_size, "query_weight")
        self.key_weight = self.matrix(self.memory_size, self.attention_size, "key_weight")
        self.value_weight = self.matrix(self.memory_size, self.attention_size, "value_weight")
        self.output_weight = self.matrix(self.attention_size, self.memory_size, "output_weight")
        self.built = True

    @property
    def scale(self):
        return (self.attention_size // self.num_heads) ** -0.5

    def heads(self, columns):
        """[..., A] -> [..., N, A / N]."""
        return ops.reshape(columns, (*ops.shape(columns)[:-1], self.num_heads, self.attention_size // self.num_heads))

    def joined(self, heads):
        """[..., N, A / N] -> [..., A]."""
        return ops.reshape(heads, (*ops.shape(heads)[:-2], self.attention_size))

    def prepare(self, memory):
        return {
            "keys": ops.transpose(self.heads(ops.matmul(memory, self.key_weight)), (0, 2, 1, 3)),
            "values": ops.transpose(self.heads(ops.matmul(memory, self.value_weight)), (0, 2, 1, 3)),
        }

    def loop_weights(self):
        return {"query": ops.copy(self.query_weight), "output": ops.copy(self.output_weight)}

    def reported(self, attention):
        return ops.mean(attention, axis=-2)

    def call(self, query, keys, values, bias):
        query = ops.transpose(self.heads(ops.matmul(query, self.query_weight)), (0, 2, 1, 3))
        scores = ops.matmul(query * self.scale, ops.transpose(keys, (0, 1, 3, 2)))  # [B, N, U, T]
        weights = softmax(scores + bias[:, None, None, :])
        read = self.joined(ops.transpose(ops.matmul(weights, values), (0, 2, 1, 3)))
        return ops.matmul(read, self.output_weight), ops.mean(weights, axis=1)

    def ask(self, query, keys, values, bias, weights, covered=None):
        """query [B, N, A / N] -> what is read of the values [B, N, A / N], attention [B, N, T]."""
        return super().ask(query, keys, values, bias[:, None, :], weights, covered)


class AdditiveAttention(Attention):
    """score(q, k) = v . tanh(q W + k U + b) (Bahdanau et al. 2015, appendix A.1.2; Luong et al. 2015: concat).

    With coverage + c w inside the tanh, c being the sum of all weights the key had before (See et al. 2017, equation
    11; Tu et al. 2016, section 3.1.1 with a fertility of 1).
    """

    covers = True

    def build(self, *shapes):
        self.query_weight = self.matrix(self.query_size, self.attention_size, "query_weight")
        self.memory_weight = self.matrix(self.memory_size, self.attention_size, "memory_weight")
        self.bias = self.add_weight(shape=(self.attention_size,), initializer="zeros", name="bias")
        self.direction = self.matrix(self.attention_size, 1, "direction")
        if self.coverage:
            self.coverage_weight = self.matrix(1, self.attention_size, "coverage_weight")
        self.built = True

    def keys(self, memory):
        return ops.matmul(memory, self.memory_weight) + self.bias

    def loop_weights(self):
        weights = {"query": ops.copy(self.query_weight), "direction": ops.copy(self.direction)[:, 0]}
        return {**weights, "coverage": ops.copy(self.coverage_weight)[0]} if self.coverage else weights

    def score(self, query, keys):
        query = ops.matmul(query, self.query_weight)
        return additive_scores(query, keys, ops.copy(self.direction)[:, 0])

    def score_one(self, query, keys, weights, covered):
        return along(squash(query, keys, covered, weights), weights["direction"])

    def turn_scores(self, d_scores, query, keys, weights, covered):
        squashed = squash(query, keys, covered, weights)
        squares, direction = squashed * squashed, weights["direction"]
        d_query = falling(squares, d_scores, direction)
        if covered is None:
            return d_query, None
        # sum_a v_a w_a (1 - squashed ** 2), times the score's gradient.
        both = direction * weights["coverage"]
        return d_query, d_scores * (ops.sum(both) - along(squares, both))

    def collect_scores(self, d_scores, query, keys, weights, covered):
        by_key = ops.transpose(d_scores, (2, 1, 0))  # [T, B, U]
        if covered is not None:
            covered = ops.transpose(covered, (2, 1, 0))
        return additive_gradients(by_key, ops.transpose(query, (1, 0, 2)), keys, weights, covered)


KINDS = {
    "dot": DotAttention,
    "scaled_dot": ScaledDotAttention,
    "general": GeneralAttention,
    "additive": AdditiveAttention,
    "multi_head": MultiHeadAttention,
}
