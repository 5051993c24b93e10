"""Learning rates by layer and gradual unfreezing, and word vectors as first embeddings."""

import json

import numpy as np
import pytest
import test_training_loop as tests

from textpipe.config.fields import Sizes
from textpipe.config.sections import Plugin
from textpipe.errors import ConfigError, DataError
from textpipe.models import pooled
from textpipe.stages import train
from textpipe.training import loop
from textpipe.training.settings import Settings
from textpipe.training.warm_start import layer_rates, parameters, word_vectors
from textpipe.training.warm_start.layer_rates import Factors, LayerRates, Unfreeze
from textpipe.training.warm_start.word_vectors import Vectors, WordVectors

SIZES = Sizes({"text": tests.IDS}, "label", tests.LABELS)
FLAT = {"kind": "convolution", "embedding_size": 4, "filters": 4, "kernel_sizes": [2]}
DEEP = {"kind": "recurrent", "units": 4, "embedding_size": 4, "layers": 2}


def model(encoder=None, **options):
    config = pooled.Config(encoder=encoder or DEEP, dropout=0.0, **options)
    return pooled.build(config, SIZES, seed=1)


def test_layers_are_the_parts_of_the_encoder_then_the_rest():
    names = list(parameters.weights_by_name(model()))
    groups = [layer_rates.layer_of(group[0]) for group in layer_rates.layers(names)]
    assert groups == ["encoder/embedding", "encoder/layers/forward_0", "encoder/layers/forward_1", "output_linear"]
    assert sorted(name for group in layer_rates.layers(names) for name in group) == sorted(names)
    assert layer_rates.layers(names)[-1] == ["output_linear/kernel", "bias"]


def test_a_decay_and_patterns_multiply_and_layers_unfreeze_from_the_last():
    built = model()
    rates = LayerRates(decay=0.5, patterns={"encoder": 0.1, "output_*": 2.0})
    factors = Factors(built, rates, Unfreeze(every=2))
    table = dict(zip(factors.names, factors.at(99), strict=True))
    assert table["encoder/embedding/table"] == pytest.approx(0.5**3 * 0.1)
    assert table["output_linear/kernel"] == 2.0 and table["bias"] == 1.0
    trained = [sum(factor > 0 for factor in factors.at(epoch)) for epoch in range(1, 12)]
    assert trained[0] == trained[1] == 2 < trained[2] == trained[3] < trained[4] and trained[6] == len(factors.names)


def fit(folder=None, epochs=1, **settings):
    """(weights before, weights after, the learning run's history) of a run by name."""
    built = model(FLAT)
    before = {name: np.array(weight) for name, weight in parameters.weights_by_name(built).items()}
    settings = Settings(epochs=epochs, batch_rows=8, keep="last", **settings)
    loop.fit(built, {"train": tests.labelled(32)}, settings, folder)
    return before, {name: np.array(weight) for name, weight in parameters.weights_by_name(built).items()}


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_factor_is_that_of_the_learning_rate(optimizer):
    """One update: with a factor of .25, every weight moves as far as at a quarter of the rate."""
    optimizer = {"kind": optimizer, "learning_rate": 0.04}
    slow = fit(max_steps=1, optimizer={**optimizer, "learning_rate": 0.01})[1]
    before, found = fit(max_steps=1, optimizer=optimizer, layer_rates={"patterns": {"encoder": 0.25}})
    fast = fit(max_steps=1, optimizer=optimizer)[1]
    for name, weight in found.items():
        expected = slow if name.startswith("encoder") else fast
        np.testing.assert_allclose(weight, expected[name], atol=1e-6)
    assert np.abs(found["encoder/embedding/table"] - before["encoder/embedding/table"]).max() > 1e-4


def test_weights_that_are_not_unfrozen_yet_keep_their_bits():
    trained = set()
    for epochs in (1, 2, 3):
        before, after = fit(epochs=epochs, optimizer="adam", vectors={"file": "x"}, unfreeze={"every": 1})
        changed = {layer_rates.layer_of(name) for name in before if not np.array_equal(before[name], after[name])}
        assert trained < changed
        trained = changed
    assert len(trained) == 4  # the bias of the logits is a part of the last layer


def test_layers_that_are_held_do_not_count_in_the_norm_that_is_clipped():
    settings = {"optimizer": {"kind": "sgd", "learning_rate": 1.0}, "vectors": {"file": "x"}, "unfreeze": {"every": 9}}
    before, after = fit(max_steps=1, clip_norm=1e-3, **settings)
    steps = [after[name] - before[name] for name in ("output_linear/kernel", "bias")]
    assert np.sqrt(sum(np.square(step).sum() for step in steps)) == pytest.approx(1e-3, rel=1e-3)


def test_settings_that_cannot_be_used_are_refused():
    with pytest.raises(ValueError, match="unfreeze: no layer has trained weights; give init or vectors"):
        Settings(unfreeze={})
    with pytest.raises(ValueError, match="vectors: init already sets the embeddings"):
        Settings(init={"from": "x"}, vectors={"file": "y"})
    with pytest.raises(ValueError, match="layer_rates: works with strategy = .default. only"):
        Settings(layer_rates={"decay": 0.5}, strategy="mirrored")
    with pytest.raises(ValueError, match="give decay or patterns"):
        Settings(layer_rates={})
    with pytest.raises(ValueError, match="patterns.encoder: expected a factor of at least 0, found -1"):
        LayerRates(patterns={"encoder": -1})
    with pytest.raises(
        ConfigError, match=r"layer_rates.patterns 'encodr': no weight has such a name; did you mean 'encoder'"
    ):
        Factors(model(), LayerRates(patterns={"encodr": 0.5}), None)


# Word vectors

WORDS = ["<pad>", "<unk>", "<s>", "</s>", "card", "loan", "new york", "x"]
VOCABULARY = {
    "text": {"side": "source", "kind": "ids", "names": WORDS}, "label": {"side": "target", "kind": "label", "names": ["a", "b", "c"]},
}  # fmt: skip
WORD_SIZES = Sizes({"text": {"kind": "ids", "vocab_size": len(WORDS), "max_length": 9}}, "label", tests.LABELS)
FILE = "4 3\ncard 1 2 3\nhouse 4 5 6\nnew york 7 8 9\nloan -1e-2 0.5 2\n"


def vectors(folder, text=FILE, codec="words", size=3, **options):
    (folder / "codecs.json").write_text(json.dumps({"text": {"kind": codec, "name": "text"}}))
    (folder / "v.vec").write_text(text, encoding="utf-8")
    section = Plugin.check("models", {"kind": "pooled", "encoder": {"kind": "bag", "embedding_size": size}})
    source = WordVectors(Vectors(file=str(folder / "v.vec"), **options), section, WORD_SIZES, folder, VOCABULARY)
    built = pooled.build(section, WORD_SIZES, seed=1)
    before = built.encoder.embedding.table.numpy()
    return source.apply(built), before, built.encoder.embedding.table.numpy()


@pytest.mark.parametrize("text", [FILE, FILE.split("\n", 1)[1], FILE.replace("\n", " \r\n")])
def test_known_words_start_from_their_vectors_and_others_from_random_ones(tmp_path, text):
    report, before, after = vectors(tmp_path, text)
    assert report["fields"] == {"text": {"found": 3, "of": 8}} and report["weights"] == ["encoder/embedding/table"]
    np.testing.assert_allclose(after[4:7], [[1, 2, 3], [-0.01, 0.5, 2], [7, 8, 9]])
    np.testing.assert_array_equal(after[[0, 1, 2, 3, 7]], before[[0, 1, 2, 3, 7]])


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        (
            "2 3\ncard 1 2 3\nloan 1 2\n",
            DataError,
            "v.vec, line 3: expected a word and 3 finite numbers, found 2 after 'loan'",
        ),
        (
            "2 3\ncard 1 2 3\nloan 1 two 3\n",
            DataError,
            "v.vec, line 3: expected a word and 3 numbers: could not convert",
        ),
        ("card 1 nan 3\n", DataError, "v.vec, line 1: expected a word and 3 finite numbers"),
        ("", DataError, "expected a word and its vector on each line, found no line"),
        ("house 1 2 3\n", ConfigError, "has none of the words of text; are they of the same language and case"),
        (
            "card 1 2\n",
            ConfigError,
            "vectors of 2 numbers, but the embeddings of text have 3; set the embedding size in .model. to 2",
        ),
    ],
)
def test_a_malformed_file_is_reported_with_its_line(tmp_path, text, error, message):
    with pytest.raises(error, match=message):
        vectors(tmp_path, text)


def test_pieces_of_words_have_no_vectors_and_the_file_is_part_of_the_key(tmp_path):
    with pytest.raises(ConfigError, match="no field has whole words as tokens; set .tokenize. codec"):
        vectors(tmp_path, codec="bpe")
    with pytest.raises(ConfigError, match="tokens of 'text' are pieces of words .codec 'bpe'."):
        vectors(tmp_path, codec="bpe", fields=["text"])
    with pytest.raises(ConfigError, match="vectors.fields: 'txt' is not a field of token ids; did you mean 'text'"):
        vectors(tmp_path, fields=["txt"])
    with pytest.raises(ConfigError, match="nowhere.vec: cannot be read: No such file"):
        list(word_vectors.read(tmp_path / "nowhere.vec"))
    config = train.Config(task="classify", model="pooled", vectors={"file": str(tmp_path / "v.vec")})
    assert tmp_path / "v.vec" in config.extra_files()
