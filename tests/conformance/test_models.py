"""The contract of every model."""

import numpy as np
import pytest
import tensorflow as tf

from textpipe.config.sections import Section
from textpipe.decoding import _search


def padded(ids, more=3):
    return np.pad(ids, [(0, 0), (0, more)])


def split_inputs(case):
    """The source of a call, and the other arguments."""
    inputs, *rest = case.inputs()
    return inputs["source"], rest


def test_a_model_has_all_its_variables_when_it_is_built(case):
    model = case.build()
    before = [variable.path for variable in model.variables]
    model(*case.inputs(), training=True)
    assert [variable.path for variable in model.variables] == before
    assert len(set(before)) == len(before)


def test_logits_have_one_row_per_input(case):
    logits = case.random()(*case.inputs(), training=False)
    if case.generates:
        assert logits.shape == (4, 6, 13)
    else:
        assert logits.shape == (4, {"two": 1, "five": 5}[case.target])


def test_padding_does_not_change_the_answer(reader):
    model, (source, rest) = reader.random(), split_inputs(reader)
    expected = model({"source": source}, *rest, training=False)
    np.testing.assert_allclose(model({"source": padded(source)}, *rest, training=False), expected, rtol=1e-6, atol=1e-5)
    # Each row alone, without any padding.
    for row in range(len(source)):
        alone = source[row : row + 1, : np.count_nonzero(source[row])]
        actual = model({"source": alone}, *(part[row : row + 1] for part in rest), training=False)
        np.testing.assert_allclose(actual, expected[row : row + 1], rtol=1e-6, atol=1e-5)


def test_a_token_changes_the_answer(reader):
    model, (source, rest) = reader.random(), split_inputs(reader)
    other = source.copy()
    other[0, 0] = source[0, 0] % 8 + 4
    assert other[0, 0] != source[0, 0]
    changed = np.abs(model({"source": other}, *rest, training=False) - model({"source": source}, *rest, training=False))
    assert changed[0].max() > 1e-4
    assert changed[1:].max() < 2e-6


def test_no_position_depends_on_later_tokens(generator):
    model, (source, (target_in,)) = generator.random(), split_inputs(generator)
    other = target_in.copy()
    other[:, 3] = target_in[:, 3] % 8 + 4
    changed = np.abs(
        model({"source": source}, other, training=False) - model({"source": source}, target_in, training=False)
    )
    assert changed[:, :3].max() < 2e-6
    assert changed[:, 3].max() > 1e-4


def test_teacher_forced_logits_equal_stepped_logits(generator):
    model, (source, (target_in,)) = generator.random(), split_inputs(generator)
    expected = model({"source": source}, target_in, training=False)
    state = model.start(model.encode({"source": source}))
    positions = np.asarray(_search.source_ids(model, {"source": source}))
    real = positions != model.pad_id
    for position in range(target_in.shape[1]):
        logits, state, attention = model.step(state, target_in[:, position])
        np.testing.assert_allclose(logits, expected[:, position], atol=5e-6)
        assert attention.shape == positions.shape
        np.testing.assert_array_equal(attention.numpy()[~real], 0)
        total = attention.numpy().sum(axis=1)
        assert np.allclose(total, 1, rtol=1e-6, atol=1e-5) or np.all(total == 0)  # zeros: a model without attention


def test_hidden_and_project_are_the_halves_of_a_call(generator):
    model, inputs = generator.random(), generator.inputs()
    if not hasattr(model, "hidden"):
        pytest.skip("this model has no separate projection")
    hidden = model.hidden(*inputs, training=False)
    np.testing.assert_allclose(model.project(hidden), model(*inputs, training=False), atol=1e-6)
    # Any selection of positions can be projected.
    np.testing.assert_allclose(model.project(hidden[1, 2:4]), model(*inputs, training=False)[1, 2:4], atol=2e-6)


def weighted_sum(logits):
    """A sum in which every logit has its own weight."""
    weights = tf.sin(tf.cast(tf.range(1, tf.size(logits) + 1), logits.dtype))
    return tf.reduce_sum(tf.reshape(logits, [-1]) * weights)


def test_gradients_agree_with_finite_differences(case, float64):
    model, inputs = case.random(), case.inputs()
    value = tf.function(lambda: weighted_sum(model(*inputs, training=False)), autograph=False)
    variables = model.trainable_variables
    with tf.GradientTape() as tape:
        actual = value()
    gradients = tape.gradient(actual, [variable.value for variable in variables])
    random, size = np.random.default_rng(4), 1e-5
    for variable, gradient in zip(variables, gradients, strict=True):
        # Along a random direction, one variable at a time, so that an error in one is not hidden by others.
        before, direction = variable.numpy(), random.normal(size=variable.shape)
        assert before.dtype == np.float64
        variable.assign(before + size * direction)
        above = value().numpy()
        variable.assign(before - size * direction)
        below = value().numpy()
        variable.assign(before)
        derivative = np.sum(tf.convert_to_tensor(gradient).numpy() * direction)
        np.testing.assert_allclose(
            derivative, (above - below) / (2 * size), rtol=1e-5, atol=1e-7, err_msg=variable.path
        )


def test_weights_survive_saving_and_loading(case, tmp_path):
    model, inputs = case.random(), case.inputs()
    model.save_weights(tmp_path / "model.weights.h5")
    other = case.build(seed=2)
    other.load_weights(tmp_path / "model.weights.h5")
    for loaded, saved in zip(other.weights, model.weights, strict=True):
        np.testing.assert_array_equal(loaded.numpy(), saved.numpy())
    np.testing.assert_array_equal(other(*inputs, training=False), model(*inputs, training=False))


def test_weights_depend_on_the_seed_alone(case):
    one, same, other = (case.build(seed=seed) for seed in (1, 1, 2))
    for left, right in zip(one.variables, same.variables, strict=True):
        np.testing.assert_array_equal(left.numpy(), right.numpy())
    starts_random = any(np.ptp(variable.numpy()) > 0 for variable in one.trainable_variables)
    differs = [
        not np.array_equal(left.numpy(), right.numpy())
        for left, right in zip(one.trainable_variables, other.trainable_variables, strict=True)
    ]
    assert any(differs) == starts_random


def test_no_two_weights_have_the_same_initial_values(case):
    paths = {}
    for variable in case.build().trainable_variables:
        if np.ptp(variable.numpy()) > 0 and np.unique(variable.numpy()).size > 2:
            twin = paths.setdefault(variable.numpy().ravel()[:4].tobytes(), variable.path)
            assert twin == variable.path


def dropout_rates(section):
    """The rates of a model's settings and of the sections inside of them."""
    for name, value in section:
        if isinstance(value, Section):
            yield from dropout_rates(value)
        elif name.endswith("dropout"):
            yield value


def test_dropout_is_off_in_inference_and_on_in_training(case):
    model, inputs = case.random(), case.inputs()
    first, second = (model(*inputs, training=False).numpy() for _ in range(2))
    np.testing.assert_array_equal(first, second)
    rates = dropout_rates(case.config)
    third, fourth = (model(*inputs, training=True).numpy() for _ in range(2))
    assert np.array_equal(third, fourth) != any(rates)


def test_dropout_resumes_from_its_variables(case):
    # A checkpoint restores model.variables, after which training continues exactly.
    model, inputs = case.random(), case.inputs()
    before = [variable.numpy() for variable in model.variables]
    expected = [model(*inputs, training=True).numpy() for _ in range(2)]
    for variable, value in zip(model.variables, before, strict=True):
        variable.assign(value)
    for value in expected:
        np.testing.assert_array_equal(model(*inputs, training=True), value)
