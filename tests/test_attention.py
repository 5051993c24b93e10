"""Attention against NumPy in float64."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from textpipe.layers.additive_attention import additive_scores
from textpipe.layers.attention import padding_bias
from textpipe.layers.attention_kinds import KINDS

ROWS, SOURCE, TARGET, SIZE, ATTENTION, HEADS = 3, 5, 4, 6, 8, 2
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


def scaled_dot(query, memory, weights):
    return query @ memory / np.sqrt(SIZE)


SCORES = {"dot": dot, "scaled_dot": scaled_dot, "general": general, "additive": additive}


def layer_of(kind, memory_size, **options):
    options = {"attention_size": ATTENTION, "num_heads": HEADS, "dtype": "float64", **options}
    layer = KINDS[kind](SIZE, memory_size, **options)
    layer.build()
    for index, variable in enumerate(layer.trainable_variables):
        variable.assign(numbers(*variable.shape, seed=10 + index))
    return layer


def test_every_kind_has_a_reference_formula():
    assert {*SCORES, "multi_head"} == set(KINDS)


@pytest.mark.parametrize("kind", SCORES)
def test_context_and_weights_equal_the_formula_of_one_query_at_a_time(kind):
    memory_size = SIZE if "dot" in kind else SIZE + 2
    layer = layer_of(kind, memory_size)
    query, memory = numbers(ROWS, TARGET, SIZE, seed=1), numbers(ROWS, SOURCE, memory_size, seed=2)
    real = (np.arange(SOURCE)[None, :] < LENGTHS[:, None]).astype("float64")
    context, weights = layer(query, bias=padding_bias(real), **layer.prepare(memory))
    parameters = [variable.numpy() for variable in layer.trainable_variables]
    for row, length in enumerate(LENGTHS):
        for position in range(TARGET):
            scores = np.array([SCORES[kind](query[row, position], memory[row, t], parameters) for t in range(length)])
            expected = np.exp(scores) / np.exp(scores).sum()
            np.testing.assert_allclose(weights[row, position, :length], expected, rtol=1e-9, atol=1e-12)
            np.testing.assert_array_equal(weights[row, position, length:], 0)
            np.testing.assert_allclose(context[row, position], expected @ memory[row, :length], rtol=1e-9, atol=1e-12)


def test_multi_head_attention_equals_that_of_keras():
    layer = layer_of("multi_head", SIZE + 2)
    query, memory = numbers(ROWS, TARGET, SIZE, seed=1), numbers(ROWS, SOURCE, SIZE + 2, seed=2)
    real = np.arange(SOURCE)[None, :] < LENGTHS[:, None]
    context, weights = layer(query, bias=padding_bias(real.astype("float64")), **layer.prepare(memory))
    other = keras.layers.MultiHeadAttention(
        HEADS, ATTENTION // HEADS, use_bias=False, output_shape=SIZE + 2, dtype="float64"
    )
    other.build(query.shape, memory.shape)
    other.set_weights(
        [
            variable.numpy().reshape(theirs.shape)
            for variable, theirs in zip(
                [layer.query_weight, layer.key_weight, layer.value_weight, layer.output_weight],
                other.weights,
                strict=True,
            )
        ]
    )
    expected, heads = other(query, memory, attention_mask=real[:, None, :], return_attention_scores=True)
    np.testing.assert_allclose(context, expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(weights, np.mean(heads, axis=1), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_queries_step_by_step_equal_all_queries_at_once(kind):
    layer = layer_of(kind, SIZE)
    query, memory = numbers(ROWS, TARGET, SIZE, seed=1), numbers(ROWS, SOURCE, SIZE, seed=2)
    bias, prepared = padding_bias((np.arange(SOURCE) < LENGTHS[:, None]) * 1.0), layer.prepare(memory)
    loop_weights = layer.loop_weights()
    context, weights = layer(query, bias=bias, **prepared)
    for position in range(TARGET):
        projected = layer.project_query(query[:, position], loop_weights)
        read, attention = layer.forward_step(projected, bias=bias, weights=loop_weights, **prepared)
        output = layer.project_output(read, loop_weights)
        np.testing.assert_allclose(output, context[:, position], rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(layer.mean_over_heads(attention), weights[:, position], rtol=1e-12, atol=1e-14)


def test_coverage_is_added_inside_the_tanh():
    layer = layer_of("additive", SIZE, coverage=True)
    query, memory = numbers(ROWS, SIZE, seed=1), numbers(ROWS, SOURCE, SIZE, seed=2)
    covered, loop_weights = np.abs(numbers(ROWS, SOURCE, seed=3)), layer.loop_weights()
    prepared, bias = layer.prepare(memory), np.zeros((ROWS, SOURCE))
    query_projection = layer.project_query(query, loop_weights)
    _, weights = layer.forward_step(query_projection, bias=bias, weights=loop_weights, covered=covered, **prepared)
    query_weight, memory_weight, bias, direction, coverage_weight = (part.numpy() for part in layer.trainable_variables)
    for row in range(ROWS):
        scores = np.array([
            np.tanh(
                query[row] @ query_weight + memory[row, t] @ memory_weight + bias + covered[row, t] * coverage_weight[0]
            ) @ direction[:, 0]
            for t in range(SOURCE)
        ])  # fmt: skip
        np.testing.assert_allclose(weights[row], np.exp(scores) / np.exp(scores).sum(), rtol=1e-10)


def test_a_row_of_nothing_but_padding_stays_finite():
    layer = layer_of("additive", SIZE)
    memory = numbers(1, SOURCE, SIZE)
    context, _ = layer(numbers(1, TARGET, SIZE), bias=padding_bias(np.zeros((1, SOURCE))), **layer.prepare(memory))
    assert np.all(np.isfinite(context))


def test_additive_gradients_equal_those_of_the_plain_formula():
    parts = [tf.constant(numbers(*shape, seed=index)) for index, shape in enumerate(
        [(ROWS, TARGET, ATTENTION), (ROWS, SOURCE, ATTENTION), (ATTENTION,)]
    )]  # fmt: skip
    upstream = numbers(ROWS, TARGET, SOURCE, seed=9)

    def plain(query, keys, direction):
        return tf.reduce_sum(tf.tanh(query[:, :, None, :] + keys[:, None, :, :]) * direction, axis=-1)

    results = {}
    for name, function in (("ours", tf.function(additive_scores)), ("plain", plain)):
        with tf.GradientTape() as tape:
            tape.watch(parts)
            scores = function(*parts)
        results[name] = [scores, *tape.gradient(scores, parts, output_gradients=upstream)]
    for ours, theirs in zip(results["ours"], results["plain"], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-12)
