"""Loops over sequences whose length is known only when they run."""

from keras import ops, tree


def scan(f, init, xs, reverse=False):
    """keras.ops.scan, also over several sequences of a length that no trace knows: each x of xs is [T, ...].

    There Keras compares static lengths that do not exist. So the loop goes over numbers, and each step takes its parts.
    """
    parts = tree.flatten(xs)
    if len(parts) == 1 or isinstance(parts[0].shape[0], int):
        return ops.scan(f, init, xs, reverse=reverse)

    def step(carry, place):
        return f(carry, tree.map_structure(lambda part: ops.take(part, place, axis=0), xs))

    return ops.scan(step, init, ops.arange(ops.shape(parts[0])[0]), reverse=reverse)
