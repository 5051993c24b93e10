"""Mixed precision: where bfloat16 is used, and that a float32 model is saved."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import test_training_loop as tests

from textpipe.config.fields import Sizes
from textpipe.models import recurrent, transformer
from textpipe.objectives import sequence
from textpipe.training import precision, steps, validation_bleu, vocabulary_loss
from textpipe.training.batching.batches import Batch
from textpipe.training.settings import Settings

SIZES = Sizes({"source": tests.IDS}, "target", tests.IDS)
BUILD = {
    "transformer": lambda: transformer.build(
        transformer.Config(d_model=16, d_ff=32, num_heads=2, layers=1, dropout=0.0), SIZES, seed=1
    ),
    "recurrent": lambda: recurrent.build(
        recurrent.Config(units=16, embedding_size=16, attention_size=8, dropout=0.0, embedding_dropout=0.0),
        SIZES,
        seed=1,
    ),
}


def updated(kind, policy, rows):
    """A model after one update, its figures, validation before it, and the traced step."""
    with precision.policy(policy):
        model = BUILD[kind]()
    optimizer = keras.optimizers.SGD(0.1)
    optimizer.build(model.trainable_variables)
    training_steps = steps.Steps(
        model, optimizer, Settings(label_smoothing=0.1), tf.distribute.get_strategy(), len(rows), sequence
    )
    batch = Batch(np.arange(len(rows)), {"source": 8, "target": 8})
    validated = training_steps.validate(rows, [batch])
    return (
        model,
        training_steps.train(rows, [batch], 1),
        validated,
        next(graph for (name, *_), graph in training_steps.traced.items() if name == "train_graph"),
    )


def operations(graph):
    """(op, dtype of its first input) of a traced function and of all functions inside it."""
    definition = graph.graph.as_graph_def()
    nodes = [*definition.node, *(node for function in definition.library.function for node in function.node_def)]
    return [(node.op, tf.as_dtype(node.attr["T"].type)) for node in nodes if node.attr["T"].type]


@pytest.mark.parametrize("kind", BUILD)
def test_layers_compute_in_bfloat16_and_the_loss_in_float32(kind, tmp_path):
    rows = tests.reversals(24)
    full, figures, validated, _ = updated(kind, "float32", rows)
    mixed, rounded, validated_rounded, graph = updated(kind, "mixed_bfloat16", rows)
    found = operations(graph)
    products = [dtype for op, dtype in found if op in ("MatMul", "BatchMatMulV2", "Einsum")]
    assert products.count(tf.bfloat16) > 0.5 * len(products)
    # The loss contains the only logarithm of a step.
    logarithms = [dtype for op, dtype in found if op == "Log"]
    assert logarithms and set(logarithms) == {tf.float32}
    # bfloat16 rounds to one part in 256: figures agree to about this, but not to float32 rounding.
    assert rounded["loss"] == pytest.approx(figures["loss"], rel=1e-2)
    assert rounded["loss"] != pytest.approx(figures["loss"], rel=1e-7)
    assert rounded["gradient_norm"] == pytest.approx(figures["gradient_norm"], rel=5e-2)
    assert validated_rounded["valid_loss"] == pytest.approx(validated["valid_loss"], rel=1e-2)
    for one, other in zip(tests.weights(full), tests.weights(mixed), strict=True):
        assert other.dtype == np.float32
        np.testing.assert_allclose(one, other, atol=5e-3)

    mixed.save_weights(tmp_path / "model.weights.h5")
    served = BUILD[kind]()
    served.load_weights(tmp_path / "model.weights.h5")
    assert served.compute_dtype == "float32"
    assert tests.same(tests.weights(served), tests.weights(mixed))


@pytest.mark.parametrize("kind", BUILD)
def test_vocabulary_logits_of_validation_and_decoding_are_computed_in_float32(kind):
    """They agree with NumPy in float64 from the same hidden vectors; bfloat16 would keep three digits."""
    with precision.policy("mixed_bfloat16"):
        model = BUILD[kind]()
    halves = precision.SplitModel(model)
    source = tests.reversals(24).inputs["source"].gather(np.arange(24), 8)
    hidden = halves.hidden({"source": source}, source, training=False)
    logits = halves.project(hidden)
    assert (hidden.dtype, logits.dtype) == (tf.float32, tf.float32)
    exact = np.array(hidden, np.float64) @ np.array(model.target_embedding.value, np.float64).T
    np.testing.assert_allclose(logits, exact, atol=1e-5)


@pytest.mark.parametrize("kind", BUILD)
def test_updates_project_to_the_vocabulary_in_bfloat16_and_sum_in_float32(kind):
    """Loss and gradients agree with NumPy in float64 from the same hidden vectors to one part in 256."""
    with precision.policy("mixed_bfloat16"):
        model = BUILD[kind]()
    split = precision.SplitModel(model)
    source = tests.reversals(24).inputs["source"].gather(np.arange(24), 8)
    hidden = tf.reshape(split.hidden({"source": source}, source, training=False), (192, -1))
    logits = split.project_in_updates(hidden)
    exact = np.array(hidden, np.float64) @ np.array(model.target_embedding.value, np.float64).T
    assert logits.dtype == tf.float32
    np.testing.assert_allclose(logits, exact, atol=np.abs(exact).max() / 128)
    assert np.abs(logits - exact).max() > np.abs(exact).max() / 4096
    labels = tf.constant(np.arange(192) % 30, tf.int32)
    variables = model.trainable_variables
    sums, hidden_gradient, output_gradients = vocabulary_loss.gradients(
        split.project_in_updates, hidden, labels, variables, smoothing=0.0
    )
    chances = np.exp(exact - exact.max(axis=1, keepdims=True))
    chances /= chances.sum(axis=1, keepdims=True)
    assert float(sums["loss"]) == pytest.approx(-np.log(chances[np.arange(192), labels]).sum(), rel=1e-3)
    chances[np.arange(192), labels] -= 1
    table = next(
        gradient
        for gradient, variable in zip(output_gradients, variables, strict=True)
        if variable is model.target_embedding
    )
    assert (table.dtype, hidden_gradient.dtype) == (tf.float32, tf.float32)
    for gradient, expected in (
        (table, chances.T @ np.array(hidden, np.float64)),
        (hidden_gradient, chances @ np.array(model.target_embedding.value, np.float64)),
    ):
        np.testing.assert_allclose(gradient, expected, atol=0.02 * np.abs(expected).max())


def test_classifier_logits_are_computed_in_float32():
    with precision.policy("mixed_bfloat16"):
        model = tests.classifier()
    hidden, (rows, logits) = [], (tests.labelled(16).inputs["source"].gather(np.arange(16), 12), None)
    call = model.output_linear.call
    model.output_linear.call = lambda features: hidden.append(features) or call(features)
    model.bias.assign(np.array([0.123456, -3.2109, 1.000321]))
    logits = model({"source": rows}, training=False)
    assert (hidden[0].dtype, logits.dtype) == (tf.float32, tf.float32)
    exact = np.array(hidden[0], np.float64) @ np.array(model.output_linear.kernel.value, np.float64) + np.array(
        model.bias.value
    )
    np.testing.assert_allclose(logits, exact, atol=1e-6)


@pytest.mark.parametrize("kind", BUILD)
def test_a_mixed_precision_model_translates_like_the_served_float32_model(kind):
    class Codec:
        def decode(self, ids):
            return tf.strings.reduce_join(tf.strings.as_string(ids), axis=1, separator=" ")

    rows = tests.reversals(40)
    with precision.policy("mixed_bfloat16"):
        mixed = BUILD[kind]()
    served = BUILD[kind]()
    for weight, one in zip(served.weights, mixed.weights, strict=True):
        weight.assign(np.random.default_rng(len(one.shape)).normal(scale=0.7, size=one.shape))
        one.assign(weight)
    measures = [
        validation_bleu.ValidationBleu(Codec(), {"source": rows.inputs["source"]}, ["4 5 6"] * 40, max_length=9)
        for _ in range(2)
    ]
    assert measures[0].answers(mixed) == measures[1].answers(served)
    assert mixed.compute_dtype == "bfloat16"
    assert {layer.compute_dtype for layer in mixed._flatten_layers()} == {"bfloat16"}


def test_the_previous_policy_is_restored():
    with pytest.raises(KeyError), precision.policy("mixed_bfloat16"):
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
        raise KeyError
    assert keras.config.dtype_policy().name == "float32"
