"""The likeliest tokens of a large vocabulary in few passes over the logits.

Shapes: R rows, w hypotheses of a row, H = R * w, V vocabulary = G groups of S tokens, M tokens wanted.
"""

import tensorflow as tf

SAFE = 60.0  # exp of less than this, and a sum of many such, is a finite float32; exp of more than -SAFE is not 0
SMALL = 1024  # a vocabulary smaller than this is sorted as it is
GROUP = 32  # tokens of a group, about


def log_total(logits):
    """The logarithm of the sum of exp(logits): [H, V] -> [H].

    The usual subtraction of the largest is a pass over all logits that is only made where a float would not do.
    """
    largest = tf.reduce_max(logits, axis=1)
    plain = tf.reduce_all(tf.abs(largest) < SAFE)

    def shifted():
        return largest + tf.math.log(tf.reduce_sum(tf.exp(logits - largest[:, None]), axis=1))

    return tf.cond(plain, lambda: tf.math.log(tf.reduce_sum(tf.exp(logits), axis=1)), shifted)


def best_tokens(logits, behind, wanted):
    """Some tokens of each row, among them its `wanted` best by behind + logits: (total, hypothesis, token), each [R, M].

    logits [H, V]; behind [R, w] is added to the logits of a hypothesis. M is at least `wanted` if there are so many.

    tf.math.top_k reads one number after the other, and that takes longer than to make the logits. Here it sees but the
    largest of each group: the M best tokens lie in the M groups whose largest are best, and only those are looked into.
    """
    rows, width = tf.unstack(tf.shape(behind))
    size = logits.shape[1] or tf.shape(logits)[1]
    if not isinstance(size, int) or size < SMALL:
        total = tf.reshape(logits, [rows, width, size]) + behind[:, :, None]
        total, place = tf.math.top_k(tf.reshape(total, [rows, -1]), tf.minimum(wanted, width * size))
        return total, place // size, place % size
    in_group = group_size(size)
    padded = -size % in_group
    if padded:
        logits = tf.pad(logits, [[0, 0], [0, padded]], constant_values=-float("inf"))
        size += padded
    groups = size // in_group
    # A group's tokens lie `groups` apart: then the largest are those of whole blocks, number by number.
    largest = tf.reduce_max(tf.reshape(logits, [-1, in_group, groups]), axis=1)  # [H, G]
    largest = tf.reshape(largest, [rows, width, groups]) + behind[:, :, None]
    _, place = tf.math.top_k(tf.reshape(largest, [rows, -1]), tf.minimum(wanted, width * groups), sorted=False)
    hypothesis = tf.repeat(place // groups, in_group, axis=1)  # [R, M]
    token = tf.reshape((place % groups)[:, :, None] + tf.range(in_group) * groups, [rows, -1])
    at = tf.stack([tf.range(rows)[:, None] * width + hypothesis, token], axis=2)
    return tf.gather_nd(logits, at) + tf.gather(behind, hypothesis, batch_dims=1), hypothesis, token


def group_size(size):
    """A divisor of the vocabulary near GROUP; GROUP itself, with padding, where there is none.

    group_size(8000) -> 32;   group_size(8009) -> 32, as 8009 is prime
    """
    divisors = [number for number in range(GROUP // 2, 2 * GROUP + 1) if size % number == 0]
    return min(divisors, key=lambda number: abs(number - GROUP), default=GROUP)
