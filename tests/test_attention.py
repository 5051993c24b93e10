"""Attention against NumPy in float64."""

import numpy as np
import pytest
import tensorflow as tf

from textpipe.layers.attention import KINDS, additive_scores, bias_of

ROWS, SOURCE, TARGET, SIZE, ATTENTION = 3, 5, 4, 6, 7
LENGTHS = np.array([5, 1, 3])


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def dot(query, memory, weights):
    return query @ memory


def general(query, memory, weights):
    (weight,) = weights  # memory -> query
    return query @ (weight.T @ memory)


def additive(query, memory, weights):
    query_weight, memory_weight, bias, direction = weights
    return direction[:, 0] @ np.tanh(query_weight.T @ query + memory_weight.T @ memory + bias)


SCORES = {"dot": dot, "general": general, "additive": additive}


def layer_of(kind, memory_size):
    layer = KINDS[kind](SIZE, memory_size, attention_size=ATTENTION, dtype="float64")
    layer.build()
    for index, variable in enumerate(layer.trainable_variables):
        variable.assign(numbers(*variable.shape, seed=10 + index))
    return layer


def test_every_kind_has_a_formula_here():
    assert set(SCORES) == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_context_and_weights_equal_the_formula_of_one_query_at_a_time(kind):
    memory_size = SIZE if kind == "dot" else SIZE + 2
    layer = layer_of(kind, memory_size)
    query, memory = numbers(ROWS, TARGET, SIZE, seed=1), numbers(ROWS, SOURCE, memory_size, seed=2)
    real = (np.arange(SOURCE)[None, :] < LENGTHS[:, None]).astype("float64")
    context, weights = layer(query, layer.prepare(memory), memory, bias_of(real))
    parameters = [variable.numpy() for variable in layer.trainable_variables]
    for row, length in enumerate(LENGTHS):
        for position in range(TARGET):
            scores = np.array([SCORES[kind](query[row, position], memory[row, t], parameters) for t in range(length)])
            expected = np.exp(scores) / np.exp(scores).sum()
            np.testing.assert_allclose(weights[row, position, :length], expected, rtol=1e-9, atol=1e-12)
            np.testing.assert_array_equal(weights[row, position, length:], 0)
            np.testing.assert_allclose(context[row, position], expected @ memory[row, :length], rtol=1e-9, atol=1e-12)


def test_a_row_of_nothing_but_padding_stays_finite():
    layer = layer_of("additive", SIZE)
    memory = numbers(1, SOURCE, SIZE)
    context, _ = layer(numbers(1, TARGET, SIZE), layer.prepare(memory), memory, bias_of(np.zeros((1, SOURCE))))
    assert np.all(np.isfinite(context))


def test_additive_gradients_equal_those_of_the_plain_formula():
    parts = [tf.constant(numbers(*shape, seed=index)) for index, shape in enumerate(
        [(ROWS, TARGET, ATTENTION), (ROWS, SOURCE, ATTENTION), (ATTENTION,)]
    )]  # fmt: skip
    upstream = numbers(ROWS, TARGET, SOURCE, seed=9)

    def plain(query, keys, direction):
        return tf.reduce_sum(tf.tanh(query[:, :, None, :] + keys[:, None, :, :]) * direction, axis=-1)

    found = {}
    for name, function in (("ours", tf.function(additive_scores)), ("plain", plain)):
        with tf.GradientTape() as tape:
            tape.watch(parts)
            scores = function(*parts)
        found[name] = [scores, *tape.gradient(scores, parts, output_gradients=upstream)]
    for ours, theirs in zip(found["ours"], found["plain"], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-12)
