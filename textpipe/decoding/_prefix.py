"""Answers that start with a given text."""

import tensorflow as tf


class Prefix:
    """The rule (see decoding/rules/) that forces the first tokens of a row's answer: ids [B, P], padded with 0.

    A row's maximum length is at least that of its prefix and the end. After the prefix the answer continues freely, so
    its last word may be extended: "Ein Mann in" -> "Ein Mann in Blau", or "Ein Mann innen".
    """

    def __init__(self, ids):
        # A last column of padding marks the end of a prefix, and is gathered if all prefixes are empty.
        self.ids = tf.pad(ids, [[0, 0], [0, 1]])

    @classmethod
    def from_texts(cls, texts, codec):
        """texts [B] or [1] string, encoded without an end; an empty text forces nothing."""
        assert codec is not None, "a prefix is given as text and needs the target's codec"
        return cls(codec.encode(texts).to_tensor(0))

    def lengths(self):
        return tf.reduce_sum(tf.cast(self.ids != 0, tf.int32), axis=1)

    def max_lengths(self, max_length):
        return tf.maximum(max_length, self.lengths() + 1)

    def start(self, rows):
        """The hypotheses of a row are adjacent."""
        return tf.repeat(self.ids, rows // tf.shape(self.ids)[0], axis=0)

    def disallowed(self, state, length, vocab_size):
        token = state[:, tf.minimum(length, tf.shape(state)[1]) - 1, None]  # [N, 1]
        return (token != 0) & (tf.range(vocab_size) != token)

    def advance(self, state, token):
        return state
