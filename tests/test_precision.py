"""Mixed precision: where bfloat16 is used and where not, and that what is saved is a float32 model."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import test_training_loop as tests

from textpipe.fields import Sizes
from textpipe.models import recurrent, transformer
from textpipe.training import precision, steps
from textpipe.training.batches import Batch
from textpipe.training.settings import Settings

SIZES = Sizes("source", tests.IDS, "target", tests.IDS)
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
    taken = steps.Steps(model, optimizer, Settings(label_smoothing=0.1), tf.distribute.get_strategy(), len(rows))
    batch = Batch(np.arange(len(rows)), 8, 8)
    validated = taken.validate(rows, [batch])
    return model, taken.train(rows, [batch], 1), validated, next(
        graph for (name, *_), graph in taken.traced.items() if name == "train_graph"
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
    # The loss takes the only logarithm of a step.
    logarithms = [dtype for op, dtype in found if op == "Log"]
    assert logarithms and set(logarithms) == {tf.float32}
    # bfloat16 rounds to one part in 256: figures agree to about that, but not to float32's rounding.
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


def test_the_policy_of_before_comes_back():
    with pytest.raises(KeyError), precision.policy("mixed_bfloat16"):
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
        raise KeyError
    assert keras.config.dtype_policy().name == "float32"
