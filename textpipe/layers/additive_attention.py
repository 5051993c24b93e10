"""Additive attention: its score, the gradients, the layer.   Shapes as in attention.py, and I for either T or U.

The tensor [B, U, T, A] inside the tanh would be the largest of a model, so it is never materialized: a slice that fits a
processor's cache is computed for each query, and recomputed in the gradient for each query and for each key.
"""

from keras import ops

from textpipe.layers.attention import Attention
from textpipe.layers.scan import scan


def activations(single, sequence, covered, weights):
    """tanh(single[b, a] + sequence[b, i, a] + covered[b, i] * w[a]): [B, A], [B, I, A], [B, I] or None -> [B, I, A]."""
    total = single[:, None, :] + sequence
    return ops.tanh(total if covered is None else total + covered[..., None] * weights["coverage"])


def dot_direction(hidden, direction):
    """sum_a hidden[b, i, a] * direction[a]: [B, I, A], [A] -> [B, I]."""
    flat = ops.reshape(hidden, (-1, hidden.shape[-1]))
    return ops.reshape(ops.matmul(flat, direction[:, None]), ops.shape(hidden)[:2])


def single_gradient(squares, d_scores, direction):
    """sum_i d_scores[b, i] * (1 - squares[b, i, a]) * direction[a]: [B, I, A], [B, I], [A] -> [B, A]."""
    saturation = ops.matmul(d_scores[:, None, :], squares)[:, 0]
    return (ops.sum(d_scores, axis=-1, keepdims=True) - saturation) * direction


def additive_scores(query, keys, direction):
    """sum_a direction[a] * tanh(query[b, u, a] + keys[b, t, a]): [B, U, A], [B, T, A], [A] -> [B, U, T]."""

    @ops.custom_gradient
    def run(query, keys, direction):
        weights = {"direction": direction}
        queries = ops.transpose(query, (1, 0, 2))  # [U, B, A]: time first, so that a slice is contiguous

        def forward(carry, step_query):
            scores = dot_direction(activations(step_query, keys, None, weights), direction)
            return scores, scores

        _, scores = scan(forward, ops.zeros_like(keys[:, :, 0]), queries)

        def gradient(upstream):
            def query_gradient(carry, step):
                step_query, d_scores = step
                hidden = activations(step_query, keys, None, weights)
                d_step = single_gradient(hidden * hidden, d_scores, direction)
                return d_step, d_step

            by_query = ops.transpose(upstream, (1, 0, 2))  # [U, B, T]
            _, d_query = scan(query_gradient, ops.zeros_like(query[:, 0]), (queries, by_query))
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
        hidden = activations(step["key"], query, covered, weights)
        squares, size = hidden * hidden, hidden.shape[-1]
        row = ops.reshape(d_scores, (1, -1))
        after = {
            "d_key": single_gradient(squares, d_scores, direction),
            "direction": carry["direction"] + ops.matmul(row, ops.reshape(hidden, (-1, size)))[0],
        }
        if covered is not None:
            row = row * ops.reshape(covered, (1, -1))
            saturation = ops.matmul(row, ops.reshape(squares, (-1, size)))[0]
            after["coverage"] = carry["coverage"] + (ops.sum(row) - saturation) * direction
        return after, after

    last, outputs = scan(forward, carry, steps)
    return ops.transpose(outputs["d_key"], (1, 0, 2)), {name: last[name] for name in last if name != "d_key"}


class AdditiveAttention(Attention):
    """score(q, k) = v . tanh(q W + k U + b) (Bahdanau et al. 2015, appendix A.1.2; Luong et al. 2015: concat).

    With coverage, + c w inside the tanh, where c is the sum of the key's weights at all previous steps (See et al. 2017,
    equation 11; Tu et al. 2016, section 3.1.1 with a fertility of 1).
    """

    supports_coverage = True

    def build(self, *shapes):
        self.query_weight = self.add_matrix(self.query_size, self.attention_size, "query_weight")
        self.memory_weight = self.add_matrix(self.memory_size, self.attention_size, "memory_weight")
        self.bias = self.add_weight(shape=(self.attention_size,), initializer="zeros", name="bias")
        self.direction = self.add_matrix(self.attention_size, 1, "direction")
        if self.coverage:
            self.coverage_weight = self.add_matrix(1, self.attention_size, "coverage_weight")
        self.built = True

    def keys(self, memory):
        return ops.matmul(memory, self.memory_weight) + self.bias

    def loop_weights(self):
        weights = {"query": ops.copy(self.query_weight), "direction": ops.copy(self.direction)[:, 0]}
        return {**weights, "coverage": ops.copy(self.coverage_weight)[0]} if self.coverage else weights

    def score(self, query, keys):
        query = ops.matmul(query, self.query_weight)
        return additive_scores(query, keys, ops.copy(self.direction)[:, 0])

    def score_step(self, query, keys, weights, covered):
        return dot_direction(activations(query, keys, covered, weights), weights["direction"])

    def score_backward_step(self, d_scores, query, keys, weights, covered):
        hidden = activations(query, keys, covered, weights)
        squares, direction = hidden * hidden, weights["direction"]
        d_query = single_gradient(squares, d_scores, direction)
        if covered is None:
            return d_query, None
        # sum_a v_a w_a (1 - hidden ** 2), times the score's gradient.
        product = direction * weights["coverage"]
        return d_query, d_scores * (ops.sum(product) - dot_direction(squares, product))

    def score_gradients(self, d_scores, query, keys, weights, covered):
        by_key = ops.transpose(d_scores, (2, 1, 0))  # [T, B, U]
        if covered is not None:
            covered = ops.transpose(covered, (2, 1, 0))
        return additive_gradients(by_key, ops.transpose(query, (1, 0, 2)), keys, weights, covered)
