"""The likeliest tokens of a large vocabulary in few passes over the logits.

Shapes: R rows, w hypotheses of a row, H = R * w, V vocabulary = G groups of S tokens, M tokens returned.
"""

import tensorflow as tf

SAFE_LOGIT = 60.0  # exp(SAFE_LOGIT) and sums of many such are finite in float32; exp(-SAFE_LOGIT) is not 0
MIN_VOCABULARY = 1024  # smaller vocabularies are not grouped
GROUP_SIZE = 32  # approximate number of tokens in a group


def logsumexp(logits, largest=None):
    """log(sum(exp(logits))): [H, V], and the largest of each row [H] if known -> [H].

    The usual subtraction of the largest logit is a further pass over all logits, made only to avoid overflow.
    """
    largest = tf.reduce_max(logits, axis=1) if largest is None else largest
    plain = tf.reduce_all(tf.abs(largest) < SAFE_LOGIT)

    def shifted():
        return largest + tf.math.log(tf.reduce_sum(tf.exp(logits - largest[:, None]), axis=1))

    return tf.cond(plain, lambda: tf.math.log(tf.reduce_sum(tf.exp(logits), axis=1)), shifted)


class Top:
    """The best tokens of logits [H, V].

    tf.math.top_k is sequential and takes longer than computing the logits. Here it reads only the largest logit of each
    group: the M best tokens are in the M groups with the best maxima, and only these groups are searched.
    """

    def __init__(self, logits):
        size = logits.shape[1]
        self.groups, self.in_group = 1, 1
        if size is not None and size >= MIN_VOCABULARY:
            self.in_group = group_size(size)
            if size % self.in_group:
                padding = [[0, 0], [0, -size % self.in_group]]
                logits = tf.pad(logits, padding, constant_values=-float("inf"))
            self.groups = logits.shape[1] // self.in_group
            # Tokens of a group are `groups` apart, so that maxima are elementwise over contiguous blocks.
            self.maxima = tf.reduce_max(tf.reshape(logits, [-1, self.in_group, self.groups]), axis=1)  # [H, G]
        else:
            self.groups = tf.shape(logits)[1]
            self.maxima = logits
        self.logits = logits

    def largest(self):
        """[H]"""
        return tf.reduce_max(self.maxima, axis=1)

    def best(self, previous, count):
        """Tokens of each row that include its `count` best by previous + logits: (total, hypothesis, token), each [R, M].

        previous: [R, w], added to the logits of a hypothesis. M is at least `count` if there are as many tokens; tokens at
        or above V are padding with total -inf.
        """
        rows, width = tf.unstack(tf.shape(previous))
        totals = tf.reshape(self.maxima, [rows, width, self.groups]) + previous[:, :, None]
        totals = tf.reshape(totals, [rows, -1])
        best, index = tf.math.top_k(totals, tf.minimum(count, tf.shape(totals)[1]), sorted=False)
        hypothesis, group = index // self.groups, index % self.groups
        if self.in_group == 1:
            return best, hypothesis, group
        row = tf.range(rows)[:, None] * width + hypothesis  # [R, count]
        token = group[:, :, None] + tf.range(self.in_group) * self.groups  # [R, count, S]
        total = tf.gather(tf.reshape(self.logits, [-1]), row[:, :, None] * tf.shape(self.logits)[1] + token)
        total += tf.gather(previous, hypothesis, batch_dims=1)[:, :, None]
        hypothesis = tf.broadcast_to(hypothesis[:, :, None], tf.shape(token))
        return tuple(tf.reshape(part, [rows, -1]) for part in (total, hypothesis, token))


def group_size(size):
    """A divisor of the vocabulary size near GROUP_SIZE, or GROUP_SIZE (with padding) if there is none.

    group_size(8000) -> 32;   group_size(8009) -> 32, as 8009 is prime
    """
    divisors = [number for number in range(GROUP_SIZE // 2, 2 * GROUP_SIZE + 1) if size % number == 0]
    return min(divisors, key=lambda number: abs(number - GROUP_SIZE), default=GROUP_SIZE)
