"""Answers that begin with a given text."""

import tensorflow as tf


class Prefix:
    """The rule (see decoding/rules/) under which a row's answer begins with its tokens: ids [B, P], padded with 0.

    Nothing else may stand in the places they take, and a row's longest answer is never less than they and the end.
    Where the tokens end the answer goes on freely, so that its text begins with theirs but the last word may go on:
    "Ein Mann in" -> "Ein Mann in Blau", or "Ein Mann innen".
    """

    def __init__(self, ids):
        # A last column of padding: where a prefix is over, and what is gathered when all of them are empty.
        self.ids = tf.pad(ids, [[0, 0], [0, 1]])

    @classmethod
    def of(cls, texts, codec):
        """texts [B] or [1] string, encoded without an end; an empty one forces nothing."""
        assert codec is not None, "a prefix is given as text and needs the target's codec"
        return cls(codec.encode(texts).to_tensor(0))

    def lengths(self):
        return tf.reduce_sum(tf.cast(self.ids != 0, tf.int32), axis=1)

    def caps(self, cap):
        return tf.maximum(cap, self.lengths() + 1)

    def start(self, rows):
        """The hypotheses of a row stand together."""
        return tf.repeat(self.ids, rows // tf.shape(self.ids)[0], axis=0)

    def barred(self, state, length, vocab_size):
        token = state[:, tf.minimum(length, tf.shape(state)[1]) - 1, None]  # [N, 1]
        return (token != 0) & (tf.range(vocab_size) != token)

    def advance(self, state, token):
        return state
