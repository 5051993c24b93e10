"""Additive attention: its score, the gradients, the layer.   Shapes as in attention.py, and I for either T or U.

The tensor [B, U, T, A] of tanh would be the largest of a model. It is never made: a slice of it that fits a processor's
cache is made for each query, and made again for the gradient, for each query and for each key.
"""

from keras import ops

from textpipe.layers.attention import Attention
from textpipe.layers.scan import scan


def squash(one, many, covered, weights):
    """tanh(one[b, a] + many[b, i, a] + covered[b, i] * w[a]): [B, A], [B, I, A], [B, I] or None -> [B, I, A]."""
    total = one[:, None, :] + many
    return ops.tanh(total if covered is None else total + covered[..., None] * weights["coverage"])


def along(squashed, direction):
    """sum_a squashed[b, i, a] * direction[a]: [B, I, A], [A] -> [B, I]."""
    flat = ops.reshape(squashed, (-1, squashed.shape[-1]))
    return ops.reshape(ops.matmul(flat, direction[:, None]), ops.shape(squashed)[:2])


def falling(squares, d_scores, direction):
    """sum_i d_scores[b, i] * (1 - squares[b, i, a]) * direction[a]: [B, I, A], [B, I], [A] -> [B, A]."""
    steep = ops.matmul(d_scores[:, None, :], squares)[:, 0]
    return (ops.sum(d_scores, axis=-1, keepdims=True) - steep) * direction


def additive_scores(query, keys, direction):
    """sum_a direction[a] * tanh(query[b, u, a] + keys[b, t, a]): [B, U, A], [B, T, A], [A] -> [B, U, T]."""

    @ops.custom_gradient
    def run(query, keys, direction):
        weights = {"direction": direction}
        queries = ops.transpose(query, (1, 0, 2))  # [U, B, A]: time first, so that one slice is one block

        def forward(carry, one):
            scores = along(squash(one, keys, None, weights), direction)
            return scores, scores

        _, scores = scan(forward, ops.zeros_like(keys[:, :, 0]), queries)

        def gradient(upstream):
            def to_query(carry, step):
                one, d_scores = step
                squashed = squash(one, keys, None, weights)
                d_one = falling(squashed * squashed, d_scores, direction)
                return d_one, d_one

            by_query = ops.transpose(upstream, (1, 0, 2))  # [U, B, T]
            _, d_query = scan(to_query, ops.zeros_like(query[:, 0]), (queries, by_query))
            by_key = ops.transpose(upstream, (2, 0, 1))  # [T, B, U]
            d_keys, d_weights = additive_gradients(by_key, query, keys, weights)
            return ops.transpose(d_query, (1, 0, 2)), d_keys, d_weights["direction"]

        return ops.transpose(scores, (1, 0, 2)), gradient

    return run(query, keys, direction)


def additive_gradients(d_scores, query, keys, weights, covered=None):
    """The gradients of keys [B, T, A] and of `direction` and `coverage` [A], key by key.

    d_scores [T, B, U], query [B, U, A], covered [T, B, U]
    """
    direction = weights["direction"]
    steps = {"key": ops.transpose(keys, (1, 0, 2)), "d_scores": d_scores}
    carry = {"d_key": ops.zeros_like(keys[:, 0]), "direction": ops.zeros_like(direction)}
    if covered is not None:
        steps["covered"], carry["coverage"] = covered, ops.zeros_like(direction)

    def forward(carry, step):
        d_scores, covered = step["d_scores"], step.get("covered")
        squashed = squash(step["key"], query, covered, weights)
        squares, size = squashed * squashed, squashed.shape[-1]
        row = ops.reshape(d_scores, (1, -1))
        after = {
            "d_key": falling(squares, d_scores, direction),
            "direction": carry["direction"] + ops.matmul(row, ops.reshape(squashed, (-1, size)))[0],
        }
        if covered is not None:
            row = row * ops.reshape(covered, (1, -1))
            steep = ops.matmul(row, ops.reshape(squares, (-1, size)))[0]
            after["coverage"] = carry["coverage"] + (ops.sum(row) - steep) * direction
        return after, after

    last, found = scan(forward, carry, steps)
    return ops.transpose(found["d_key"], (1, 0, 2)), {name: last[name] for name in last if name != "d_key"}


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
