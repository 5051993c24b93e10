"""Every setting of every model has its effect: on the weights, or on their updates."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import test_training_loop as tests

from textpipe.config import plugins
from textpipe.config.fields import Sizes
from textpipe.config.sections import Plugin
from textpipe.stages import train
from textpipe.training import steps
from textpipe.training.batching.batches import Batch
from textpipe.training.settings import Settings

PIXELS = {"kind": "pixels", "height": 8, "width": 8, "channels": 3}
SMALL = {
    "captioner": {
        "encoder": {"kind": "image", "patch": 4, "filters": [6], "blocks": 0},
        "decoder": {"kind": "recurrent", "units": 8, "embedding_size": 6, "attention_size": 4},
    },
    "transformer": {"d_model": 8, "d_ff": 10, "num_heads": 2, "layers": 1, "dropout": 0.0},
    "recurrent": {
        "units": 8, "embedding_size": 6, "attention_size": 4, "layers": 2, "dropout": 0.0, "embedding_dropout": 0.0
    },
    "hybrid": {
        "units": 8, "embedding_size": 6, "attention_size": 5, "letter_units": 7, "letter_embedding_size": 4,
        "dropout": 0.0, "embedding_dropout": 0.0,
    },
    "feed_forward": {"units": [8], "embedding": 6, "dropout": 0.0},
    "pooled": {
        "encoder": {"kind": "bag", "embedding_size": 6}, "pooling": "attention", "attention_size": 5, "units": [8], "dropout": 0.0,
    },
    "logistic_regression": {"l2": 0.0},
    "memory_network": {"size": 8, "empty_memories": 0.0},
    "ntm": {"units": 8, "slots": 5, "slot_size": 4, "embedding_size": 6},
    "query_reduction": {"size": 8},
    "entity_network": {"size": 8, "slots": 3},
}  # fmt: skip

# Sizes: the value, times the gates or heads that share it, becomes an axis of a weight.
SIZES = {
    "transformer": {"d_model": 26, "d_ff": 13},
    "recurrent": {"units": 26, "encoder_units": 13, "embedding_size": 13, "attention_size": 13},
    "hybrid": {
        "units": 26,
        "embedding_size": 13,
        "attention_size": 13,
        "letter_units": 13,
        "letter_embedding_size": 13,
    },
    "feed_forward": {"units": [13], "embedding": 13},
    "pooled": {"attention_size": 13, "units": [13]},
    "memory_network": {"size": 13},
    "ntm": {"units": 13, "slots": 13, "slot_size": 13, "embedding_size": 13},
    "query_reduction": {"size": 13},
    "entity_network": {"size": 13, "slots": 13},
}

# Settings that add or remove weights: the new value and the sign of the change.
COUNTS = {
    "captioner": {
        "encoder": ({"kind": "image", "patch": 4, "filters": [6], "blocks": 1}, +1),
        "decoder": ({"kind": "transformer", "d_model": 8, "num_heads": 2, "layers": 1}, +1),
    },
    "transformer": {
        "layers": (2, +1), "encoder_layers": (2, +1), "decoder_layers": (2, +1),
        "tie_embeddings": (False, +1), "share_embeddings": (True, -1),
    },
    "recurrent": {
        "layers": (3, +1), "decoder_layers": (1, -1), "encoder": ("forward", -1), "coverage": (True, +1),
        "bridge": ("zero", -1), "tie_embeddings": (False, +1), "share_embeddings": (True, -1), "attention": ("dot", -1),
    },
    "hybrid": {
        "layers": (2, +1), "letter_layers": (2, +1), "attention": ("dot", -1), "tie_embeddings": (False, +1),
        "share_embeddings": (True, -1),
    },
    "pooled": {"pooling": ("mean", -1), "encoder": ("convolution", +1)},
    "memory_network": {"hops": (4, +1)},
    "ntm": {"embedding": ("binary", -1)},
    "query_reduction": {"layers": (3, +1), "reset": (False, -1), "tie_layers": (True, -1)},
}  # fmt: skip

# Settings that change neither sizes nor number of weights: they change the update.
UPDATES = {
    "transformer": {"num_heads": 4, "norm": "post", "positions": "rotary", "activation": "gelu"},
    "recurrent": {
        "cell": "lstm", "residual": True, "input_feeding": True, "initialization": "he_normal",
        "num_heads": (1, {"attention": "multi_head", "attention_size": 4, "num_heads": 2}),
    },
    "hybrid": {"cell": "lstm"},
    "feed_forward": {
        "activation": "tanh", "normalization": "batch", "l1": 0.5, "l2": 0.5, "initializer": "he",
        "residual": (True, {"units": (8, 8)}),
    },
    "pooled": {"activation": "tanh"},
    "logistic_regression": {"l1": 0.5, "l2": 0.5, "loss": "squared_hinge"},
    "memory_network": {"linear_start": 1, "empty_memories": 1.0},
    "ntm": {"reads_answer": False, "heads": "sequential"},
    "query_reduction": {
        "gates": "scalar", "bidirectional": False, "gate_bias": 0.0, "init_stddev": 1.0,
        "sentence_scale": 0.5, "l2": 0.5,
    },
}  # fmt: skip

# Counted site by site in test_dropout_sites.py.
DROPOUT = {
    "transformer": {"dropout", "attention_dropout", "activation_dropout", "word_dropout"},
    "recurrent": {"dropout", "embedding_dropout", "recurrent_dropout", "word_dropout", "dropout_kind"},
    "hybrid": {"dropout", "embedding_dropout"},
    "feed_forward": {"dropout"},
    "pooled": {"dropout"},
}

# Of fields that these models are not built with here, and of a path of l2: tests/test_trigger.py, test_several_fields.py, test_classifiers.py.
ELSEWHERE = {
    "feed_forward": {"ngram_embedding"},
    "pooled": {"ngram_embedding", "encoders", "share_encoder"},
    "logistic_regression": {"l2_extensions"},
}


def cases(table):
    return [
        pytest.param(kind, name, value, id=f"{kind}-{name}")
        for kind, row in table.items()
        for name, value in row.items()
    ]


def built(kind, seed=1, **options):
    ids = {**tests.IDS, "num_words": 20}
    texts = plugins.find("models", kind).GIVES == "tokens"
    source = ids if "ids" in plugins.find("models", kind).READS else PIXELS
    sizes = Sizes({"source": source}, "target", ids) if texts else Sizes({"source": tests.IDS}, "label", tests.LABELS)
    config = Plugin.check("models", {"kind": kind, **SMALL[kind], **options})
    return plugins.find("models", kind).build(config, sizes, seed=seed)


def shapes(model):
    return [tuple(weight.shape) for weight in model.trainable_variables]


def updated(kind, **options):
    """The loss of two updates by gradient descent, and of the third batch after them."""
    model, texts = built(kind, **options), plugins.find("models", kind).GIVES == "tokens"
    rows = tests.reversals(12) if texts else tests.labelled(12)
    optimizer = keras.optimizers.SGD(0.5)
    optimizer.build(model.trainable_variables)
    objective = plugins.find("objectives", rows.target.objective)
    train_steps = steps.Steps(model, optimizer, Settings(), tf.distribute.get_strategy(), len(rows), objective)
    batch = Batch(np.arange(12), {"source": 12, "target": 8 if texts else 0})
    figures = [train_steps.train(rows, [batch], number) for number in (1, 2, 3)]
    return [figure["loss"] + figure["penalty"] for figure in figures]


@pytest.fixture(scope="module")
def plain():
    """The updates of each model without any of the changes, cached."""
    cache = {}

    def of(kind, **options):
        key = kind, *sorted(options.items())
        if key not in cache:
            cache[key] = updated(kind, **options)
        return cache[key]

    return of


def test_every_setting_of_every_model_is_tested():
    for kind in plugins.names("models"):
        if plugins.find("models", kind).GIVES not in (
            "logits",
            "tokens",
        ):  # tests/test_suggest.py, tests/test_pretrain.py
            continue
        fields = set(plugins.find("models", kind).Config.model_fields) - {"kind"}
        tested = {*DROPOUT.get(kind, ()), *ELSEWHERE.get(kind, ())}.union(
            *(table.get(kind, ()) for table in (SIZES, COUNTS, UPDATES))
        )
        assert fields == tested, f"{kind}: add {fields ^ tested} to a table of this file"


@pytest.mark.parametrize(("kind", "name", "value"), cases(SIZES))
def test_a_size_is_an_axis_of_weights(kind, name, value):
    size = value[0] if isinstance(value, list) else value

    def counted(model):
        return sum(axis % 13 == 0 for shape in shapes(model) for axis in shape)

    before, after = built(kind), built(kind, **{name: value})
    assert len(shapes(before)) == len(shapes(after))
    assert counted(before) == 0 < counted(after)
    assert any(axis % size == 0 for shape in shapes(after) for axis in shape)


@pytest.mark.parametrize(("kind", "name", "value"), cases(COUNTS))
def test_a_setting_changes_the_number_of_weights(kind, name, value):
    value, direction = value
    before, after = shapes(built(kind)), shapes(built(kind, **{name: value}))
    assert np.sign(len(after) - len(before)) == direction


@pytest.mark.parametrize(("kind", "name", "value"), cases(UPDATES))
def test_a_setting_changes_the_update(kind, name, value, plain):
    value, extra = value if isinstance(value, tuple) else (value, {})
    before, after = plain(kind, **extra), updated(kind, **{**extra, name: value})
    assert np.isfinite(after).all()
    assert max(np.abs(np.subtract(before, after))) > 1e-4


def test_bridge_copy_differs_from_zero(plain):
    """These two choices have no weights."""
    same = {"units": 6, "attention_size": 4, "layers": 1}
    assert updated("recurrent", bridge="copy", **same) != updated("recurrent", bridge="zero", **same)


@pytest.mark.parametrize(
    ("model", "finding"),
    [
        (
            {"kind": "recurrent", "attention": "general", "attention_size": 64},
            r"\[model\] attention_size: attention = 'general'",
        ),
        (
            {"kind": "recurrent", "attention": "additive", "num_heads": 2},
            r"\[model\] num_heads: attention = 'additive'",
        ),
        ({"kind": "hybrid", "attention": "dot", "attention_size": 7}, r"\[model\] attention_size: attention = 'dot'"),
        (
            {"kind": "transformer", "layers": 2, "encoder_layers": 1, "decoder_layers": 3},
            r"\[model\] layers: encoder_layers",
        ),
        ({"kind": "transformer", "dropout": 1e-6}, "dropout rate 1e-06 is too close to 0 or 1"),
        ({"kind": "recurrent", "recurrent_dropout": 0.99999}, "dropout rate 0.99999 is too close to 0 or 1"),
        ({"kind": "feed_forward", "dropout": 1.0}, "less than 1"),
    ],
)
def test_a_setting_without_effect_is_refused(model, finding):
    task = "classify" if model["kind"] == "feed_forward" else "translate"
    with pytest.raises(ValueError, match=finding):
        train.Config(task=task, model=model)
