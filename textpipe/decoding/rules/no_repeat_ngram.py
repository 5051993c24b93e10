"""No n-gram of `size` tokens occurs twice in an answer (Paulus et al. 2018, section 2.5: trigrams)."""

from typing import Literal

from pydantic import Field

from textpipe.config.sections import Section


class Config(Section):
    """[decode] rules = [{ kind = "no_repeat_ngram", size = 3 }]: with size 1, no token occurs twice."""

    kind: Literal["no_repeat_ngram"] = "no_repeat_ngram"
    size: int = Field(3, ge=1)  # tokens of an n-gram that must not repeat


def load(config, codec=None):
    return NoRepeatNgram(config.size)


class NoRepeatNgram:
    """The state is the answer so far, left-padded with size - 1 values of -1: [N, size - 1 + tokens] int32."""

    def __init__(self, size: int):
        self.context = size - 1  # tokens that determine the disallowed ones

    def start(self, rows):
        import tensorflow as tf

        return tf.fill([rows, self.context], -1)

    def disallowed(self, state, length, vocab_size):
        """size 3, 5 6 7 5 6 -> 7."""
        import tensorflow as tf

        count = tf.shape(state)[1] - self.context  # each token with those before it is an n-gram
        follower = state[:, self.context :]  # [N, count]
        repeated = tf.ones_like(follower, tf.bool)
        for offset in range(self.context):
            repeated &= tf.equal(state[:, offset : offset + count], state[:, count + offset, None])
        row = tf.broadcast_to(tf.range(tf.shape(state)[0])[:, None], tf.shape(follower))
        counts = tf.scatter_nd(
            tf.stack([row, follower], axis=2), tf.cast(repeated, tf.int32), [tf.shape(state)[0], vocab_size]
        )
        return counts > 0

    def advance(self, state, token):
        import tensorflow as tf

        return tf.concat([state, token[:, None]], axis=1)
