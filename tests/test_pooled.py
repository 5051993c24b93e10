"""Pooling, convolution and the pooled classifier compared with NumPy, and on rows that differ only in word order."""

import itertools

import numpy as np
import pytest

from textpipe.config import plugins
from textpipe.config.fields import Sizes
from textpipe.config.sections import Plugin
from textpipe.data.columns import Ids, Labels
from textpipe.errors import ConfigError
from textpipe.layers import pooling
from textpipe.layers.convolution import Convolution
from textpipe.models import pooled
from textpipe.training import loop
from textpipe.training.batching.rows import Rows
from textpipe.training.settings import Settings

LENGTHS = (4, 1, 3)


def states_and_mask(size=6):
    random = np.random.default_rng(1)
    mask = np.arange(4)[None] < np.array(LENGTHS)[:, None]
    return random.normal(size=(3, 4, size)).astype(
        "float32"
    ) - 1, mask  # mostly below 0, so that padding would win a maximum


def pooled_by(kind, states, mask, **options):
    layer = pooling.KINDS[kind](states.shape[-1], seeds=itertools.count(), **options)
    layer.build()
    return layer, layer(states, mask).numpy()


@pytest.mark.parametrize(
    ("kind", "function"),
    [
        ("max", lambda rows: rows.max(axis=0)),
        ("mean", lambda rows: rows.mean(axis=0)),
        ("last", lambda rows: rows[-1]),
    ],
)
def test_pooling_equals_numpy_over_the_tokens(kind, function):
    states, mask = states_and_mask()
    _, actual = pooled_by(kind, states, mask)
    expected = [function(states[row, :length].astype(float)) for row, length in enumerate(LENGTHS)]
    np.testing.assert_allclose(actual, expected, atol=1e-6)


def test_the_last_state_of_backward_features_is_at_the_first_token():
    states, mask = states_and_mask()
    _, actual = pooled_by("last", states, mask, backward_size=2)
    expected = [[*states[row, length - 1, :4], *states[row, 0, 4:]] for row, length in enumerate(LENGTHS)]
    np.testing.assert_allclose(actual, expected, atol=1e-6)


def test_attention_pooling_equals_its_formula():
    states, mask = states_and_mask()
    layer, actual = pooled_by("attention", states, mask, attention_size=5)
    kernel, query = layer.kernel.numpy().astype(float), layer.query.numpy()[:, 0].astype(float)
    for row, length in enumerate(LENGTHS):
        tokens = states[row, :length].astype(float)
        scores = np.exp(np.tanh(tokens @ kernel + layer.bias.numpy()) @ query)
        np.testing.assert_allclose(actual[row], scores / scores.sum() @ tokens, atol=1e-6)


@pytest.mark.parametrize("kind", pooling.KINDS)
def test_a_sequence_without_tokens_gives_zeros(kind):
    states, mask = states_and_mask()
    _, actual = pooled_by(kind, states, np.zeros_like(mask), attention_size=5, backward_size=2)
    np.testing.assert_array_equal(actual, np.zeros((3, 6)))


@pytest.mark.parametrize("sizes", [(1,), (2,), (3,), (2, 5), (4, 3, 1)])
def test_convolution_is_a_sum_over_the_window_of_each_position(sizes):
    random = np.random.default_rng(2)
    inputs = random.normal(size=(2, 5, 3))
    layer = Convolution(3, 4, sizes, seeds=itertools.count())
    layer.build()
    layer.bias.assign(random.normal(size=layer.bias.shape))
    actual = layer(inputs.astype("float32"))
    assert actual.shape == (2, 5, 4 * len(sizes)) and layer.outputs == 4 * len(sizes)
    expected = np.zeros(actual.shape)
    for number, (size, kernel) in enumerate(zip(sizes, layer.kernels, strict=True)):
        filters = kernel.numpy().astype(float).reshape(size, 3, 4)
        for position, offset in itertools.product(range(5), range(size)):
            source = position - (size - 1) // 2 + offset
            if 0 <= source < 5:
                expected[:, position, 4 * number : 4 * number + 4] += inputs[:, source] @ filters[offset]
    np.testing.assert_allclose(actual, expected + layer.bias.numpy(), atol=1e-5)


def test_convolution_equals_that_of_keras():
    import keras

    random = np.random.default_rng(3)
    inputs = random.normal(size=(2, 7, 3)).astype("float32")
    layer = Convolution(3, 4, (5,), seeds=itertools.count())
    layer.build()
    expected = keras.ops.conv(inputs, layer.kernels[0].numpy().reshape(5, 3, 4), padding="same")
    np.testing.assert_allclose(layer(inputs), expected, atol=1e-5)


SIZES = Sizes(
    {"text": {"kind": "ids", "vocab_size": 20, "max_length": 8}}, "label", {"kind": "label", "classes": ["no", "yes"]}
)


def built(encoder, *, sizes=SIZES, **options):
    config = Plugin.check("models", {"kind": "pooled", "encoder": encoder, **options})
    return pooled.build(config, sizes, seed=1)


def order_of_two(count=120):
    """Rows with the tokens 5 and 6 among others; the label says which comes first."""
    random = np.random.default_rng(4)
    lists, labels = [], []
    for number in range(count):
        row = random.integers(7, 20, size=random.integers(1, 5)).tolist()
        at = random.integers(0, len(row) + 1)
        row[at:at] = [5, 6] if number % 2 else [6, 5]
        lists.append([*row, 3])
        labels.append(number % 2)
    return Rows({"text": Ids.from_lists(lists)}, Labels(np.array(labels, np.int32), 2))


ENCODERS = {
    "convolution": {"embedding_size": 8, "filters": 8},
    "recurrent": {"embedding_size": 8, "units": 16, "embedding_dropout": 0.0},
    "transformer": {"d_model": 16, "d_ff": 32, "num_heads": 2, "layers": 1, "dropout": 0.0},
}


@pytest.mark.parametrize("kind", ENCODERS)
def test_an_encoder_learns_word_order(kind):
    rows = order_of_two()
    settings = Settings(optimizer={"kind": "adam", "learning_rate": 0.01}, epochs=30)
    model = built({"kind": kind, **ENCODERS[kind]}, dropout=0.0)
    assert loop.fit(model, {"train": rows, "valid": rows}, settings)["best"]["valid_accuracy"] == 1.0


def test_a_bag_ignores_word_order():
    model = built("bag", pooling="attention")
    one, other = model({"text": np.array([[5, 6, 9, 3]])}), model({"text": np.array([[6, 5, 9, 3]])})
    np.testing.assert_allclose(one, other, atol=1e-6)


OF_TEXTS = [name for name in plugins.names("encoders") if "ids" in plugins.find("encoders", name).READS]


@pytest.mark.parametrize("kind", OF_TEXTS)
def test_the_default_settings_build(kind):
    assert built(kind)({"text": np.array([[5, 6, 3]])}, training=False).shape == (1, 1)


def test_features_an_encoder_cannot_read_are_refused():
    sparse = Sizes({"text": {"kind": "sparse", "dim": 9}}, "label", SIZES.target)
    with pytest.raises(ConfigError, match=r"\[model\] encoder bag: expects ids features, found sparse for 'text'"):
        built("bag", sizes=sparse)
