"""Random numbers as a pure function of (seed, row, sample, step), the same on every platform and in any batch.

SplitMix64 (Steele, Lea and Flood 2014, Fast Splittable Pseudorandom Number Generators): the n-th number of a stream is
mix(key + n * GOLDEN), so that it can be computed without the ones before. Integers wrap around; nothing is rounded.
"""

import tensorflow as tf

GOLDEN = 0x9E3779B97F4A7C15


def uint64(number):
    """A Python int as a uint64 scalar."""
    return tf.constant(number & (2**64 - 1), tf.uint64)


def xor_shift(bits, count):
    """bits ^ (bits >> count)."""
    return tf.bitwise.bitwise_xor(bits, tf.bitwise.right_shift(bits, uint64(count)))


def mix(bits):
    """SplitMix64's finalizer: uint64 [...] -> uint64 [...], a bijection."""
    bits = xor_shift(bits, 30) * uint64(0xBF58476D1CE4E5B9)
    bits = xor_shift(bits, 27) * uint64(0x94D049BB133111EB)
    return xor_shift(bits, 31)


def nth(key, n):
    """The n-th number, from 0, of the stream of a key: uint64 [...]; both broadcast.

    key 1234567 -> 6457827717110365317, 3203168211198807973, ...
    """
    return mix(key + (tf.cast(n, tf.uint64) + uint64(1)) * uint64(GOLDEN))


def uniform(key, n):
    """The n-th number as float64 in [0, 1), with 53 bits."""
    return tf.cast(tf.bitwise.right_shift(nth(key, n), uint64(11)), tf.float64) * 2.0**-53


def row_keys(seed, ids, pad_id, copies):
    """A key for each of `copies` streams of each row: seed scalar int, ids [B, T] -> uint64 [B * copies].

    Rows of equal tokens have equal keys, independent of padding and other rows.
    """
    position = tf.cast(tf.range(tf.shape(ids)[1]), tf.uint64)  # [T]
    token = tf.bitwise.bitwise_or(tf.bitwise.left_shift(position, uint64(32)), tf.cast(ids, tf.uint64))  # [B, T]
    # A sum, because padding must not count and integers can be added in any order.
    real = tf.cast(tf.not_equal(ids, pad_id), tf.uint64)
    start = mix(tf.cast(seed, tf.uint64))
    rows = nth(start, tf.reduce_sum(mix(start + token * uint64(GOLDEN)) * real, axis=1))  # [B]
    return tf.reshape(nth(rows[:, None], tf.range(copies)[None, :]), [-1])
