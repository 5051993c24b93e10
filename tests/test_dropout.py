"""Dropout rates: which are allowed, how they are drawn, and that the share dropped is the rate."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from textpipe.layers import dropout, dropout_rate, uniform_dropout


@pytest.mark.parametrize("rate", [0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.75, 0.9, 0.95])
def test_usual_rates_take_a_byte(rate):
    bits, level = dropout_rate.resolution(rate)
    assert (bits, level) == (8, round(256 * rate))


@pytest.mark.parametrize("rate", [*np.geomspace(1e-4, 0.5, 60), *(1 - np.geomspace(1e-4, 0.5, 60)), 1 / 512, 0.999])
def test_every_rate_is_realized_within_its_tolerance(rate):
    """1/50 with 8 bits and 1/1000 with more, relative to the rate and to 1 - rate."""
    bits, level = dropout_rate.resolution(rate)
    tolerance = 1 / 50 if bits == 8 else 1 / 1000
    assert level / 2**bits == pytest.approx(rate, rel=tolerance)
    assert 1 - level / 2**bits == pytest.approx(1 - rate, rel=tolerance)


@pytest.mark.parametrize("rate", [1e-9, 9e-5, 0.99995, 1 - 1e-9])
def test_a_rate_too_close_to_0_or_1_is_refused(rate):
    with pytest.raises(ValueError, match="is too close to 0 or 1; use 0 or a rate from 0.0001 to 0.9999"):
        dropout_rate.check(rate)
    with pytest.raises(ValueError, match="too close to 0 or 1"):
        dropout.Dropout(rate, seed=1)


@pytest.mark.parametrize("rate", [0.0005, 1 / 512, 0.004, 0.013, 0.3, 0.985, 0.999])
@pytest.mark.parametrize("kind", [dropout.Dropout, uniform_dropout.Dropout])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_share_dropped_is_the_rate_and_the_mean_is_preserved(kind, rate, dtype):
    count = 2_000_001  # not a multiple of the entries per random word
    layer = kind(rate, seed=7, dtype=dtype)
    dropped = tf.cast(layer(tf.ones((count,), dtype), training=True), tf.float32).numpy()
    error = 5 * np.sqrt(rate * (1 - rate) / count)
    coarse = 0.0009 if kind is dropout.Dropout and rate == 0.3 else 0.001 * min(rate, 1 - rate)
    assert abs((dropped == 0).mean() - rate) < error + coarse
    scale = np.unique(dropped[dropped != 0])
    assert scale == pytest.approx([1 / (1 - rate)], rel=0.008 if dtype == "bfloat16" else 0.002)


def test_usual_rates_compare_the_bytes_of_random_words():
    """Bit by bit: four decisions from each random word, in the order of its bytes."""
    layer = dropout.Dropout(0.3, seed=11)
    mask = layer(tf.ones((3, 7)), training=True).numpy()
    words = keras.random.randint((6, 1), -(2**31), 2**31 - 1, dtype="int32", seed=keras.random.SeedGenerator(11))
    numbers = np.array(words).view(np.uint8).ravel()[:21].reshape(3, 7)
    np.testing.assert_array_equal(mask, np.where(numbers < 77, 0, np.float32(256 / 179)))


def test_float32_draws_equal_those_of_keras():
    ours, theirs = (kind(0.3, seed=5) for kind in (uniform_dropout.Dropout, keras.layers.Dropout))
    inputs = tf.random.stateless_normal((50, 9), seed=[1, 2])
    np.testing.assert_array_equal(ours(inputs, training=True), theirs(inputs, training=True))
