"""The options of the recurrent model, each compared with an equivalent model without it."""

import numpy as np
import pytest
import tensorflow as tf

from textpipe.config.fields import Sizes
from textpipe.errors import ConfigError
from textpipe.models import recurrent

VOCABULARY, UNITS = 11, 6
SOURCE = np.array([[4, 5, 6, 3], [7, 3, 0, 0], [8, 9, 3, 0]], "int32")
TARGET = np.array([[2, 5, 6], [2, 7, 8], [2, 9, 4]], "int32")
SMALL = {"units": UNITS, "embedding_size": 6, "attention_size": 4, "dropout": 0.0, "embedding_dropout": 0.0}


def model_of(seed=1, **options):
    ids = {"kind": "ids", "vocab_size": VOCABULARY, "max_length": 20}
    return recurrent.build(recurrent.Config(**SMALL, **options), Sizes({"source": ids}, "target", ids), seed=seed)


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_bridge_copy_copies_the_last_state_of_the_corresponding_layer(cell):
    model = model_of(cell=cell, layers=2, bridge="copy")
    outputs = tf.constant(model.encode({"source": SOURCE})["values"])
    start = model.start(model.encode({"source": SOURCE}))["states"]
    for row, length in enumerate([4, 2, 3]):
        # The top layer's forward direction ends at the last token, the backward direction at the first.
        ends = np.concatenate([outputs[row, length - 1, : UNITS // 2], outputs[row, 0, UNITS // 2 :]])
        np.testing.assert_allclose(start[1][0][row], ends, atol=1e-6)
    assert not np.allclose(start[0][0], start[1][0])


def test_bridge_zero_starts_at_zero_and_has_no_weights():
    model = model_of(layers=2, bridge="zero")
    for part in tf.nest.flatten(model.start(model.encode({"source": SOURCE}))["states"]):
        np.testing.assert_array_equal(part, np.zeros((3, UNITS)))
    dense = model_of(layers=2)
    names = {variable.path for variable in dense.variables} - {variable.path for variable in model.variables}
    assert names and all("bridge" in name for name in names)


@pytest.mark.parametrize("options", [{}, {"input_feeding": True}])
def test_a_residual_layer_with_zero_weights_is_the_identity(options):
    """With zero weights a gated unit that starts at zero stays there."""
    two = model_of(layers=2, residual=True, bridge="zero", **options)
    one = model_of(layers=1, bridge="zero", **options)
    values = {variable.path: variable for variable in two.variables}
    for variable in one.trainable_variables:
        variable.assign(values[variable.path])
    for path, variable in values.items():
        if any(name in path for name in ("forward_1", "backward_1", "cell_1")):
            variable.assign(np.zeros(variable.shape))
    expected = one({"source": SOURCE}, TARGET, training=False)
    np.testing.assert_allclose(two({"source": SOURCE}, TARGET, training=False), expected, atol=1e-6)
    plain = model_of(layers=2, bridge="zero", **options)
    for variable in plain.trainable_variables:
        variable.assign(values[variable.path])
    assert not np.allclose(plain({"source": SOURCE}, TARGET, training=False), expected, atol=1e-3)


def test_readout_and_coverage_are_carried_and_the_memory_is_constant():
    model = model_of(input_feeding=True, coverage=True)
    state = model.start(model.encode({"source": SOURCE}))
    assert set(state) == {"memory", "states", "readout", "covered"}
    total = np.zeros(SOURCE.shape)
    for position in range(3):
        _, after, weights = model.step(state, TARGET[:, position])
        total += weights.numpy()
        np.testing.assert_allclose(after["covered"], total, atol=1e-6)
        for name, part in state["memory"].items():
            assert after["memory"][name] is part
        state = after


def test_gradients_traced_for_any_width_equal_those_of_a_fixed_width():
    model = model_of(layers=2, input_feeding=True, coverage=True)
    results = []
    for shapes in ((SOURCE.shape, TARGET.shape), ([None, None], [None, None])):

        @tf.function(autograph=False, input_signature=[tf.TensorSpec(shape, tf.int32) for shape in shapes])
        def gradients(source, target):
            variables = [variable.value for variable in model.trainable_variables]
            with tf.GradientTape() as tape:
                hidden = model.hidden({"source": source}, target, training=True)
                total = tf.reduce_sum(hidden**3)
            return tape.gradient(total, variables, unconnected_gradients="zero")

        results.append([tf.convert_to_tensor(part).numpy() for part in gradients(SOURCE, TARGET)])
    assert sum(np.any(part) for part in results[0]) > 20
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_word_dropout_drops_whole_words_and_variational_dropout_the_same_columns_at_all_steps():
    model = model_of(word_dropout=0.5)
    ones = tf.ones((VOCABULARY, 6))
    embedded = model.embed(ones, np.full((7, 40), 4, "int32"), "source", True).numpy()
    assert set(np.unique(embedded.max(axis=2) - embedded.min(axis=2))) == {0.0}
    assert {0.0, 1.0} == {float(value > 0) for value in np.unique(embedded)}
    options = {**SMALL, "embedding_dropout": 0.5, "dropout_kind": "variational"}
    ids = {"kind": "ids", "vocab_size": VOCABULARY, "max_length": 20}
    model = recurrent.build(recurrent.Config(**options), Sizes({"source": ids}, "target", ids), seed=1)
    embedded = model.embed(ones, np.full((7, 40), 4, "int32"), "target", True).numpy()
    assert np.ptp(embedded, axis=0).max() == 0
    assert np.ptp(embedded[0], axis=0).max() > 0


@pytest.mark.parametrize(
    ("options", "cure"),
    [
        ({"coverage": True, "attention": "dot"}, "coverage needs attention = 'additive', found 'dot'"),
        ({"input_feeding": True, "attention": "none"}, "input_feeding needs attention"),
        ({"attention": "multi_head", "attention_size": 10, "num_heads": 4}, "is not a multiple of num_heads"),
        ({"attention": "scaled_dot", "encoder_units": 5}, "leave encoder_units out or use 'general'"),
        ({"bridge": "copy", "decoder_layers": 2}, "or use 'dense'"),
        ({"residual": True}, "residual needs at least two layers, found layers = 1"),
    ],
)
def test_incompatible_options_are_refused_with_a_cure(options, cure):
    from textpipe.config.sections import Plugin

    with pytest.raises((ValueError, ConfigError), match=cure):
        Plugin.check("models", {"kind": "recurrent", **options})
