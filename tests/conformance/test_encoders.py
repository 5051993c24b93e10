"""The contract of every encoder in the pooled classifier, and the effect of each of its settings."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
import test_training_loop as tests
from conformance import test_dropout_sites as sites
from conformance import test_model_settings as settings
from conformance.test_dropout_sites import counted  # noqa: F401  a fixture

from textpipe.config import plugins
from textpipe.config.fields import Sizes
from textpipe.config.sections import Plugin
from textpipe.layers import pooling
from textpipe.training import precision, steps
from textpipe.training.batching.batches import Batch
from textpipe.training.settings import Settings

SMALL = {
    "bag": {"embedding_size": 6},
    "convolution": {"embedding_size": 6, "filters": 4, "kernel_sizes": [2, 3]},
    "recurrent": {"units": 8, "embedding_size": 6, "embedding_dropout": 0.0},
    "transformer": {"d_model": 8, "d_ff": 10, "num_heads": 2, "layers": 1, "dropout": 0.0},
}

# As the tables of test_model_settings.py.
SIZES = {
    "bag": {"embedding_size": 13},
    "convolution": {"embedding_size": 13, "filters": 13},
    "recurrent": {"embedding_size": 13, "units": 26},
    "transformer": {"d_model": 26, "d_ff": 13},
}
COUNTS = {
    "convolution": {"kernel_sizes": ([1, 2, 3], +1), "layers": (2, +1)},
    "recurrent": {"direction": ("forward", -1), "layers": (2, +1)},
    "transformer": {"layers": (2, +1)},
}
UPDATES = {
    "convolution": {"activation": "tanh"},
    "recurrent": {"cell": "lstm", "initialization": "he_normal", "residual": (True, {"layers": 2})},
    "transformer": {"num_heads": 4, "norm": "post", "positions": "rotary", "activation": "gelu", "causal": True},
}
# Counted site by site below.
DROPOUT = {
    "bag": {"embedding_dropout", "word_dropout"},
    "convolution": {"dropout", "embedding_dropout", "word_dropout"},
    "recurrent": {"dropout", "embedding_dropout", "recurrent_dropout", "word_dropout", "dropout_kind"},
    "transformer": {"dropout", "attention_dropout", "activation_dropout", "word_dropout"},
}
ALL = [name for name in plugins.names("encoders") if "ids" in plugins.find("encoders", name).READS]
PAIRS = list(itertools.product(ALL, pooling.KINDS))


def encoder(kind, **options):
    return {"kind": kind, **SMALL.get(kind, {}), **options}


def model(kind, pool="max", **options):
    """The options of a pooled classifier without dropout outside its encoder."""
    extra = {"attention_size": 5} if pool == "attention" else {}
    return {"encoder": encoder(kind, **options), "pooling": pool, "units": [], "dropout": 0.0, **extra}


def random_model(kind, pool="max", seed=1, **options):
    """Built, with random numbers in every weight."""
    built, random = settings.built("pooled", **model(kind, pool, **options)), np.random.default_rng(seed)
    for variable in built.trainable_variables:
        variable.assign(variable.numpy() + random.normal(scale=0.5, size=variable.shape))
    return built


def test_every_setting_of_every_encoder_is_tested():
    for kind in ALL:
        fields = set(plugins.find("encoders", kind).Config.model_fields) - {"kind"}
        tested = {*DROPOUT.get(kind, ())}.union(*(table.get(kind, ()) for table in (SIZES, COUNTS, UPDATES)))
        assert fields == tested, f"{kind}: add {fields ^ tested} to a table of this file"


@pytest.mark.parametrize("kind", ALL)
def test_an_encoder_returns_a_state_per_token_and_a_mask(kind):
    config = Plugin.check("encoders", encoder(kind))
    layer = plugins.find("encoders", kind).build(config, tests.IDS, seed=1)
    layer.build()
    before = [variable.path for variable in layer.variables]
    states, mask = layer(np.array([[5, 6, 3], [3, 0, 0]], "int32"), training=False)
    assert states.shape == (2, 3, layer.state_size)
    np.testing.assert_array_equal(mask, [[True, True, True], [True, False, False]])
    assert [variable.path for variable in layer.variables] == before


@pytest.mark.parametrize(("kind", "pool"), PAIRS)
def test_padding_does_not_change_the_answer(kind, pool):
    built, random = random_model(kind, pool), np.random.default_rng(3)
    ids = random.integers(4, 30, size=(5, 6)).astype("int32")
    for row, length in enumerate((6, 4, 1, 2, 5)):
        ids[row, length:] = 0
    expected = built({"text": ids}, training=False)
    assert np.ptp(expected, axis=0).min() > 1e-3  # rows differ
    np.testing.assert_allclose(built({"text": np.pad(ids, [(0, 0), (0, 4)])}, training=False), expected, atol=1e-5)
    for row in range(5):
        alone = ids[row : row + 1, : np.count_nonzero(ids[row])]
        np.testing.assert_allclose(built({"text": alone}, training=False), expected[row : row + 1], atol=1e-5)


@pytest.mark.parametrize(("kind", "pool"), PAIRS)
def test_a_row_without_tokens_has_finite_logits_and_gradients(kind, pool):
    built = random_model(kind, pool)
    with tf.GradientTape() as tape:
        logits = built({"text": np.zeros((2, 3), "int32")}, training=False)
        gradients = tape.gradient(tf.reduce_sum(logits), built.trainable_variables, unconnected_gradients="zero")
    np.testing.assert_allclose(logits, np.tile(built.bias.numpy(), (2, 1)), atol=1e-6)
    for gradient in gradients:
        assert np.isfinite(tf.convert_to_tensor(gradient)).all()


@pytest.mark.parametrize(("kind", "name", "value"), settings.cases(SIZES))
def test_a_size_is_an_axis_of_weights(kind, name, value):
    def counts(options):
        shapes = settings.shapes(settings.built("pooled", **model(kind, **options)))
        return len(shapes), sum(axis % 13 == 0 for shape in shapes for axis in shape)

    (before, none), (after, some) = counts({}), counts({name: value})
    assert before == after and none == 0 < some


@pytest.mark.parametrize(("kind", "name", "value"), settings.cases(COUNTS))
def test_a_setting_changes_the_number_of_weights(kind, name, value):
    value, direction = value
    before, after = (
        len(settings.shapes(settings.built("pooled", **model(kind, **options)))) for options in ({}, {name: value})
    )
    assert np.sign(after - before) == direction


@pytest.mark.parametrize(("kind", "name", "value"), settings.cases(UPDATES))
def test_a_setting_changes_the_update(kind, name, value):
    value, extra = value if isinstance(value, tuple) else (value, {})
    before, after = (
        settings.updated("pooled", **model(kind, **options)) for options in (extra, {**extra, name: value})
    )
    assert np.isfinite(after).all()
    assert max(np.abs(np.subtract(before, after))) > 1e-4


def test_kinds_of_pooling_differ():
    logits = [
        random_model("recurrent", pool)({"text": np.array([[5, 6, 7, 3]], "int32")}, training=False).numpy()
        for pool in ("max", "mean", "last")
    ]
    for one, other in itertools.combinations(logits, 2):
        assert np.abs(one - other).max() > 1e-3


def stepped(options, chosen=None, count=64):
    """A model, its traced steps and rows."""
    chosen = chosen or Settings()
    config = Plugin.check("models", {"kind": "pooled", **options})
    sizes = Sizes({"text": tests.IDS}, "label", tests.LABELS)
    with precision.policy(chosen.precision):
        built = plugins.find("models", "pooled").build(config, sizes, seed=3)
    rows, optimizer = tests.labelled(count), keras.optimizers.SGD(0.1)
    optimizer.build(built.trainable_variables)
    objective = plugins.find("objectives", "softmax")
    return built, steps.Steps(built, optimizer, chosen, tf.distribute.get_strategy(), count, objective), rows


@pytest.mark.parametrize("kind", ALL)
def test_two_accumulated_halves_equal_the_whole_batch(kind):
    whole, halves = stepped(model(kind)), stepped(model(kind), Settings(accumulate=2))
    whole[1].train(whole[2], [Batch(np.arange(64), {"source": 12})], 1)
    halves[1].train(halves[2], [Batch(part, {"source": 12}) for part in np.array_split(np.arange(64), 2)], 1)
    for one, other in zip(whole[0].trainable_variables, halves[0].trainable_variables, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.parametrize("kind", ALL)
def test_training_in_bfloat16_matches_float32(kind):
    losses = []
    for name in ("float32", "mixed_bfloat16"):
        built, train_steps, rows = stepped(model(kind, "attention"), Settings(precision=name))
        assert {variable.dtype for variable in built.trainable_variables} == {"float32"}
        batch = [Batch(np.arange(64), {"source": 12})]
        losses.append([train_steps.train(rows, batch, number)["loss"] for number in range(1, 21)])
    assert losses[0][-1] < losses[0][0]
    np.testing.assert_allclose(losses[1], losses[0], rtol=0.02)


# Clearly different rates at every site.
RATES = {
    "bag": {"embedding_size": 24, "embedding_dropout": 0.15, "word_dropout": 0.2},
    "convolution": {
        "embedding_size": 24, "filters": 24, "layers": 2, "activation": "tanh", "dropout": 0.3, "embedding_dropout": 0.15,
        "word_dropout": 0.2,
    },
    "recurrent": {
        "units": 24, "embedding_size": 24, "layers": 2, "dropout": 0.3, "embedding_dropout": 0.15, "recurrent_dropout": 0.45,
        "word_dropout": 0.2,
    },
    "transformer": {
        "d_model": 24, "d_ff": 32, "num_heads": 2, "layers": 1, "dropout": 0.3, "attention_dropout": 0.15,
        "activation_dropout": 0.45, "word_dropout": 0.2,
    },
}  # fmt: skip


def rate_of(place, kind, rates):
    """The rate of a dropout site, by its path of attributes."""
    if not place.startswith("/encoder"):
        return rates["dropout of the model"]
    if place == "/encoder/drop":
        return rates["dropout" if kind == "transformer" else "embedding_dropout"]
    fields = {
        "word_drop": "word_dropout",
        "recurrent_drop": "recurrent_dropout",
        "self_attention/drop": "attention_dropout",
    }
    fields["feed_forward/drop"] = "activation_dropout"
    return rates[next((field for end, field in fields.items() if place.endswith(end)), "dropout")]


@pytest.mark.parametrize("name", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("kind", ALL)
def test_every_site_drops_its_rate_in_training_and_nothing_in_validation(kind, name, counted):  # noqa: F811
    options = {"encoder": {"kind": kind, **RATES[kind]}, "units": [24], "dropout": 0.4, "activation": "tanh"}
    rates = {**RATES[kind], "dropout of the model": 0.4}
    built, train_steps, rows = stepped(options, Settings(precision=name, accumulate=2))
    known = sites.dropout_sites(built)
    assert DROPOUT[kind] - {"dropout_kind"} <= rates.keys()
    group = [Batch(part, {"source": 12}) for part in np.array_split(np.arange(64), 2)]
    train_steps.train(rows, group, 9)
    for place, layer in known.items():
        rate, found = rate_of(place, kind, rates), counted.pop(id(layer), [])
        assert len(found) == 2, f"{place}: {len(found)} draws"
        flags = np.concatenate([after[~before] for after, before in found])
        if place.endswith("word_drop"):
            flags = np.concatenate([after.ravel() for after, _ in found])
        error = 5 * np.sqrt(rate * (1 - rate) / flags.size)
        assert abs(flags.mean() - rate) < error + 0.002, f"{place}: {flags.mean():.4f} expected {rate}"
    assert not any(counted.values())
    counted.clear()
    train_steps.validate(rows, group)
    assert not counted


def test_a_variational_mask_is_the_same_at_all_positions_of_a_row(counted):  # noqa: F811
    rates = {**RATES["recurrent"], "word_dropout": 0.0, "dropout_kind": "variational"}
    built, train_steps, rows = stepped({"encoder": {"kind": "recurrent", **rates}, "dropout": 0.0})
    train_steps.train(rows, [Batch(np.arange(64), {"source": 12})], 1)
    for layer in (built.encoder.drop, *built.encoder.layers.drops):
        ((after, before),) = counted[id(layer)]  # [positions, rows, .]
        assert not ((after & ~before).any(axis=0) & (~after).any(axis=0)).any()


@pytest.mark.parametrize(
    ("options", "finding"),
    [
        ({"pooling": "max", "attention_size": 7}, r"\[model\] attention_size: pooling = 'max' has none"),
        ({"activation": "tanh"}, r"\[model\] activation: there are no hidden layers"),
        ({"encoder": {"kind": "recurrent", "units": 7}}, "units = 7 must be even"),
        ({"encoder": {"kind": "recurrent", "residual": True}}, "residual needs at least two layers"),
        ({"encoder": {"kind": "transformer", "d_model": 7}}, "d_model = 7 must be even"),
        ({"encoder": {"kind": "transformer", "d_model": 8, "num_heads": 3}}, "is not a multiple of num_heads = 3"),
        (
            {"encoder": {"kind": "transformer", "d_model": 6, "num_heads": 2, "positions": "rotary"}},
            "the width of a head is 3, which is odd; use fewer heads",
        ),
        ({"encoder": {"kind": "convolution", "kernel_sizes": [3, 3]}}, "expected distinct sizes"),
        ({"encoder": "convolutoin"}, "unknown encoder 'convolutoin'; did you mean 'convolution'"),
        ({"encoder": {"kind": "bag", "word_dropout": 1e-6}}, "dropout rate 1e-06 is too close to 0 or 1"),
    ],
)
def test_a_setting_without_effect_is_refused(options, finding):
    with pytest.raises(ValueError, match=finding):
        settings.train.Config(task="classify", model={"kind": "pooled", **options})
