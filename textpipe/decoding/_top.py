"""The likeliest tokens of a large vocabulary in few passes over the logits.

Shapes: R rows, w hypotheses of a row, H = R * w, V vocabulary = G groups of S tokens, M tokens wanted.
"""

import tensorflow as tf

SAFE_LOGIT = 60.0  # exp of less than this, and a sum of many such, is a finite float32; exp of more than -SAFE is not 0
MIN_VOCABULARY = 1024  # a vocabulary smaller than this is sorted as it is
GROUP_SIZE = 32  # tokens of a group, about


def logsumexp(logits, largest=None):
    """The logarithm of the sum of exp(logits): [H, V], and the largest of each row [H] if it is known -> [H].

    The usual subtraction of the largest is a pass over all logits that is only made where a float would not do.
    """
    largest = tf.reduce_max(logits, axis=1) if largest is None else largest
    plain = tf.reduce_all(tf.abs(largest) < SAFE_LOGIT)

    def shifted():
        return largest + tf.math.log(tf.reduce_sum(tf.exp(logits - largest[:, None]), axis=1))

    return tf.cond(plain, lambda: tf.math.log(tf.reduce_sum(tf.exp(logits), axis=1)), shifted)


class Top:
    """The best tokens of logits [H, V].

    tf.math.top_k reads one number after the other, and that takes longer than to make the logits. Here it sees but the
    largest of each group: the M best tokens lie in the M groups whose largest are best, and only those are looked into.
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
            # A group's tokens lie `groups` apart: then the largest are those of whole blocks, number by number.
            self.maxima = tf.reduce_max(tf.reshape(logits, [-1, self.in_group, self.groups]), axis=1)  # [H, G]
        else:
            self.groups = tf.shape(logits)[1]
            self.maxima = logits
        self.logits = logits

    def largest(self):
        """[H]"""
        return tf.reduce_max(self.maxima, axis=1)

    def best(self, behind, wanted):
        """Some tokens of each row, among them its `wanted` best by behind + logits: (total, hypothesis, token), each
        [R, M].

        behind [R, w] is added to the logits of a hypothesis. M is at least `wanted` if there are so many tokens; those
        at or above V are none, and their total is -inf.
        """
        rows, width = tf.unstack(tf.shape(behind))
        totals = tf.reshape(self.maxima, [rows, width, self.groups]) + behind[:, :, None]
        totals = tf.reshape(totals, [rows, -1])
        best, place = tf.math.top_k(totals, tf.minimum(wanted, tf.shape(totals)[1]), sorted=False)
        hypothesis, group = place // self.groups, place % self.groups
        if self.in_group == 1:
            return best, hypothesis, group
        row = tf.range(rows)[:, None] * width + hypothesis  # [R, wanted]
        token = group[:, :, None] + tf.range(self.in_group) * self.groups  # [R, wanted, S]
        found = tf.gather(tf.reshape(self.logits, [-1]), row[:, :, None] * tf.shape(self.logits)[1] + token)
        found += tf.gather(behind, hypothesis, batch_dims=1)[:, :, None]
        hypothesis = tf.broadcast_to(hypothesis[:, :, None], tf.shape(token))
        return tuple(tf.reshape(part, [rows, -1]) for part in (found, hypothesis, token))


def group_size(size):
    """A divisor of the vocabulary near GROUP; GROUP itself, with padding, where there is none.

    group_size(8000) -> 32;   group_size(8009) -> 32, as 8009 is prime
    """
    divisors = [number for number in range(GROUP_SIZE // 2, 2 * GROUP_SIZE + 1) if size % number == 0]
    return min(divisors, key=lambda number: abs(number - GROUP_SIZE), default=GROUP_SIZE)
