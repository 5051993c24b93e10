"""Attention over a padded memory.   Shapes: B batch, T source, U target, D query size, M memory size, A attention size.

Each layer is used in two moves, so that a decoder prepares the memory once and asks it many times:

    keys = attention.prepare(memory)                    # [B, T, M] -> [B, T, .]
    context, weights = attention(query, keys, memory, bias)
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


class Attention(keras.layers.Layer):
    """Weights and context from scores that a subclass defines (Luong et al. 2015, equation 7).

    query_size D, memory_size M and attention_size A are fixed at construction; seeds and kernel as in rnn.Recurrent.
    """

    def __init__(
        self,
        query_size: int,
        memory_size: int,
        *,
        attention_size: int = 128,
        seeds: Iterator[int] | None = None,
        kernel: str = "glorot_uniform",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.query_size = query_size
        self.memory_size = memory_size
        self.attention_size = attention_size
        self.seeds = seeds or itertools.count()
        self.kernel_name = kernel

    def matrix(self, rows: int, columns: int, name: str):
        config = {"class_name": self.kernel_name, "config": {"seed": next(self.seeds)}}
        return self.add_weight(shape=(rows, columns), initializer=keras.initializers.get(config), name=name)

    def prepare(self, memory):
        """What can be computed before any query: memory [B, T, M] -> keys [B, T, .]."""
        return memory

    def score(self, query, keys):
        """query [B, U, D], keys [B, T, .] -> [B, U, T]."""
        raise NotImplementedError

    def call(self, query, keys, memory, bias):
        """query [B, U, D], keys [B, T, .], memory [B, T, M], bias [B, T] -> context [B, U, M], weights [B, U, T]."""
        # Not ops.softmax, which warns when a batch of one-token sources gives it an axis of length 1.
        weights = ops.exp(ops.log_softmax(self.score(query, keys) + bias[:, None, :], axis=-1))
        return ops.matmul(weights, memory), weights


class DotAttention(Attention):
    """score(q, k) = q . k (Luong et al. 2015, equation 8, dot); needs D = M."""

    def build(self, *shapes):
        assert self.query_size == self.memory_size, (self.query_size, self.memory_size)
        self.built = True

    def score(self, query, keys):
        return ops.matmul(query, ops.transpose(keys, (0, 2, 1)))


class GeneralAttention(Attention):
    """score(q, k) = q W k (Luong et al. 2015, equation 8, general); W is applied to the memory, once."""

    def build(self, *shapes):
        self.weight = self.matrix(self.memory_size, self.query_size, "weight")
        self.built = True

    def prepare(self, memory):
        return ops.matmul(memory, self.weight)

    def score(self, query, keys):
        return ops.matmul(query, ops.transpose(keys, (0, 2, 1)))


class AdditiveAttention(Attention):
    """score(q, k) = v . tanh(q W + k U + b) (Bahdanau et al. 2015, appendix A.1.2; Luong et al. 2015: concat)."""

    def build(self, *shapes):
        self.query_weight = self.matrix(self.query_size, self.attention_size, "query_weight")
        self.memory_weight = self.matrix(self.memory_size, self.attention_size, "memory_weight")
        self.bias = self.add_weight(shape=(self.attention_size,), initializer="zeros", name="bias")
        self.direction = self.matrix(self.attention_size, 1, "direction")
        self.built = True

    def prepare(self, memory):
        return ops.matmul(memory, self.memory_weight) + self.bias

    def score(self, query, keys):
        query = ops.matmul(query, self.query_weight)
        return additive_scores(query, keys, ops.copy(self.direction)[:, 0])


def additive_scores(query, keys, direction):
    """sum_a direction[a] * tanh(query[b, u, a] + keys[b, t, a]): [B, U, A], [B, T, A], [A] -> [B, U, T].

    The [B, U, T, A] tensor of tanh would be the largest of a model. It is never made: a slice of it that fits a
    processor's cache is made for each u, and made again for the gradient (for each u, then for each t).
    """

    @ops.custom_gradient
    def run(query, keys, direction):
        size = ops.shape(keys)[-1]
        # Time first: one slice is one block.
        queries = ops.transpose(query, (1, 0, 2))  # [U, B, A]
        none = ops.zeros_like(keys[:, :, 0])  # [B, T]

        def forward(carry, one):
            squashed = ops.tanh(one[:, None, :] + keys)
            scores = ops.reshape(ops.matmul(ops.reshape(squashed, (-1, size)), direction[:, None]), ops.shape(none))
            return scores, scores

        _, scores = ops.scan(forward, none, queries)

        def gradient(upstream):
            by_query = ops.transpose(upstream, (1, 0, 2))  # [U, B, T]
            by_key = ops.transpose(upstream, (2, 0, 1))  # [T, B, U]

            def to_query(carry, step):
                one, d_scores = step
                squashed = ops.tanh(one[:, None, :] + keys)
                d_one = slope(squashed, d_scores)
                flat = ops.reshape(squashed, (-1, size))
                d_direction = carry[1] + ops.matmul(ops.reshape(d_scores, (1, -1)), flat)[0]
                return (d_one, d_direction), (d_one, d_direction)

            def to_key(carry, step):
                one, d_scores = step
                d_one = slope(ops.tanh(query + one[:, None, :]), d_scores)
                return d_one, d_one

            def slope(squashed, d_scores):
                """sum_i d_scores[b, i] * (1 - squashed[b, i, a] ** 2): [B, I, A], [B, I] -> [B, A]."""
                squares = ops.matmul(d_scores[:, None, :], squashed * squashed)[:, 0]
                return (ops.sum(d_scores, axis=-1, keepdims=True) - squares) * direction

            first = ops.zeros_like(query[:, 0])
            (_, d_direction), (d_query, _) = ops.scan(
                to_query, (first, ops.zeros_like(direction)), (queries, by_query)
            )
            _, d_keys = ops.scan(to_key, first, (ops.transpose(keys, (1, 0, 2)), by_key))
            return ops.transpose(d_query, (1, 0, 2)), ops.transpose(d_keys, (1, 0, 2)), d_direction

        return ops.transpose(scores, (1, 0, 2)), gradient

    return run(query, keys, direction)


KINDS = {"dot": DotAttention, "general": GeneralAttention, "additive": AdditiveAttention}
