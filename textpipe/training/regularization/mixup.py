"""Mixup of hidden rows: a batch's vectors and targets are interpolated with those of its other rows (Guo et al. 2019, senMixup).

    vector = share * vector_i + (1 - share) * vector_j;   loss = share * loss(target_i) + (1 - share) * loss(target_j)

The share of a batch is drawn from Beta(alpha, alpha) (Zhang et al. 2018), and the partners j are a permutation of its rows. Both are
functions of the seed alone.   Shapes: B batch, H hidden.
"""

from typing import Any, NamedTuple

import tensorflow as tf


class Mix(NamedTuple):
    """The share [] of each row's own vector, and its partner [B]."""

    share: Any
    partners: Any

    def rows(self, vectors: Any) -> Any:
        """A nest of vectors [B, H] with the partners' shares."""
        return tf.nest.map_structure(self.mixed, vectors)

    def mixed(self, vectors: Any) -> Any:
        share = tf.cast(self.share, vectors.dtype)
        return share * vectors + (1 - share) * tf.gather(vectors, self.partners)


def draw(alpha: float, num_rows: Any, seed: Any) -> Mix:
    """seed: int32 [2]. A draw from Beta(alpha, alpha) is X / (X + Y) of two from Gamma(alpha)."""
    first_gamma, second_gamma = tf.unstack(tf.random.stateless_gamma([2], seed, alpha))
    total = first_gamma + second_gamma
    share = tf.where(total > 0, first_gamma / total, 1.0)  # both underflow for a tiny alpha
    return Mix(share, tf.random.experimental.stateless_shuffle(tf.range(num_rows), seed))
