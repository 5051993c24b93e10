"""The score of additive attention and its gradients.   Shapes: B batch, T source, U target, A attention size, I either.

The tensor [B, U, T, A] of tanh would be the largest of a model. It is never made: a slice of it that fits a processor's
cache is made for each query, and made again for the gradient, for each query and for each key.
"""

from keras import ops

from textpipe.layers.scanning import scan


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
