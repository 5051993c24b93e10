"""Loops over sequences whose length is unknown until they run."""

from keras import ops, tree


def scan(f, init, xs, reverse=False):
    """keras.ops.scan that also accepts several sequences of unknown length; each x of xs is [T, ...].

    Keras compares the static lengths of the sequences, which are None here. So the loop runs over indices instead, and
    each step gathers its slices.
    """
    sequences = tree.flatten(xs)
    if len(sequences) == 1 or isinstance(sequences[0].shape[0], int):
        return ops.scan(f, init, xs, reverse=reverse)

    def step(carry, index):
        return f(carry, tree.map_structure(lambda sequence: ops.take(sequence, index, axis=0), xs))

    return ops.scan(step, init, ops.arange(ops.shape(sequences[0])[0]), reverse=reverse)
