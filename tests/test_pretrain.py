"""Pre-training on texts without labels: masks, the next token, and fine-tuning from the encoder."""

import json
import random

import numpy as np
import pytest
import tensorflow as tf
import test_training_loop as tests
import tiny

from textpipe.config import plugins
from textpipe.config.fields import Sizes
from textpipe.config.sections import Plugin
from textpipe.errors import ConfigError
from textpipe.objectives import masked_tokens, next_token
from textpipe.stages import train
from textpipe.training import loop
from textpipe.training.batching.rows import Rows
from textpipe.training.settings import Settings

SIZES = Sizes({"text": tests.IDS}, "filled", tests.IDS)
ENCODERS = {
    "masked": {
        "kind": "convolution",
        "embedding_size": 16,
        "filters": 16,
        "kernel_sizes": [3],
        "embedding_dropout": 0.1,
    },
    "next": {"kind": "recurrent", "direction": "forward", "embedding_size": 8, "units": 12, "embedding_dropout": 0.1},
    "causal": {
        "kind": "transformer",
        "d_model": 16,
        "d_ff": 32,
        "num_heads": 2,
        "layers": 2,
        "dropout": 0.0,
        "causal": True,
    },
}
KINDS = {"masked": "masked_language_model", "next": "causal_language_model", "causal": "causal_language_model"}


def built(name, seed=1):
    config = Plugin.check("models", {"kind": KINDS[name], "encoder": ENCODERS[name]})
    return plugins.find("models", KINDS[name]).build(config, SIZES, seed=seed)


def patterned(count=64, seed=0):
    """Rows in which every token is the one before it plus one: what a hidden token was follows from its neighbours."""
    draw = np.random.default_rng(seed)
    lists = []
    for _ in range(count):
        first, length = draw.integers(4, 20), draw.integers(4, 10)
        lists.append([*range(first, first + length), 3])
    return Rows({"text": tests.Ids.from_lists(lists)}, tests.Ids.from_lists(lists), "filled")


# Masks


def test_fifteen_percent_are_chosen_and_become_the_mask_another_token_or_stay():
    lengths = np.arange(1, 101)
    ids = np.where(np.arange(101)[None] < lengths[:, None], 50, 0)
    ids[np.arange(100), lengths] = 3
    ids = tf.constant(np.tile(ids, (20, 1)), tf.int32)
    numbers = tf.random.stateless_uniform((3, *ids.shape), [1, 2])
    read, chosen = (tensor.numpy() for tensor in masked_tokens.corrupt(ids, numbers, 1000))
    np.testing.assert_array_equal(chosen.sum(axis=1), np.tile(np.maximum(1, np.round(0.15 * lengths)), 20))
    assert int(masked_tokens.weight(ids)) == chosen.sum()
    assert (chosen <= (ids.numpy() == 50)).all()
    np.testing.assert_array_equal(read[~chosen], ids.numpy()[~chosen])
    picked = read[chosen]
    for share, found in ((0.8, picked == masked_tokens.MASK_ID), (0.1, picked == 50)):
        assert abs(found.mean() - share) < 5 * np.sqrt(share * (1 - share) / len(picked))
    others = picked[(picked != masked_tokens.MASK_ID) & (picked != 50)]
    assert 4 <= others.min() < 50 and 950 < others.max() < 1000


def test_validation_masks_depend_on_the_text_alone():
    rows = patterned(8).target
    whole = tf.constant(rows.gather(np.arange(8), 12))
    read, chosen = masked_tokens.corrupt(whole, masked_tokens.fixed_numbers(whole), 30)
    for at in range(8):
        alone = tf.constant(rows.gather(np.array([at]), int(rows.lengths[at])))
        one, places = masked_tokens.corrupt(alone, masked_tokens.fixed_numbers(alone), 30)
        np.testing.assert_array_equal(one[0], read[at, : one.shape[1]])
        np.testing.assert_array_equal(places[0], chosen[at, : one.shape[1]])
    assert len({tuple(row) for row in chosen.numpy().tolist()}) > 2


def test_a_text_without_tokens_has_nothing_to_predict():
    empty = tf.constant([[3, 0], [3, 0]])
    model = built("masked")
    sums, gradients = masked_tokens.gradients(
        model, {}, empty, [variable.value for variable in model.trainable_variables], total=tf.constant(0.0),
        config=Settings(), draws=masked_tokens.draws(Settings(), 1, 0),
    )  # fmt: skip
    assert float(sums["loss"]) == 0 and all(np.isfinite(tf.convert_to_tensor(one)).all() for one in gradients)


# The next token


@pytest.mark.parametrize("name", ["next", "causal"])
def test_a_causal_model_does_not_see_later_tokens(name):
    model = built(name)
    ids = np.array([[2, 5, 6, 7, 8]], np.int32)
    other = np.array([[2, 5, 6, 9, 10]], np.int32)
    one, two = model({}, ids).numpy(), model({}, other).numpy()
    np.testing.assert_allclose(one[:, :3], two[:, :3], atol=1e-6)
    assert np.abs(one[:, 3:] - two[:, 3:]).max() > 1e-4


@pytest.mark.parametrize("name", KINDS)
def test_a_language_model_learns_what_follows_from_its_context(name):
    objective = masked_tokens if name == "masked" else next_token
    model = built(name)
    settings = Settings(epochs=40, batch_rows=16, optimizer={"kind": "adam", "learning_rate": 0.01})
    result = loop.fit(model, {"train": patterned(), "valid": patterned(16, seed=1)}, settings, objective=objective)
    # The first of next tokens and the end do not follow; guessing would be right in a 26th of the cases.
    assert result["best"]["valid_accuracy"] > 0.6 and result["best"]["valid_perplexity"] < 5


class Stopped(Exception):
    """Interrupts a run."""


def test_a_run_stopped_inside_an_epoch_resumes_with_the_same_masks(tmp_path, monkeypatch):
    def fit(folder):
        model = built("masked")
        settings = Settings(epochs=2, batch_rows=16, checkpoint_steps=1)
        loop.fit(
            model, {"train": patterned(), "valid": patterned(8, seed=1)}, settings, folder, objective=masked_tokens
        )
        return tests.weights(model)

    whole = fit(tmp_path / "whole")
    update = loop.Loop.update

    def dying(self, *arguments):
        if self.global_step == 6:
            raise Stopped
        update(self, *arguments)

    with monkeypatch.context() as patch, pytest.raises(Stopped):
        patch.setattr(loop.Loop, "update", dying)
        fit(tmp_path / "stopped")
    assert tests.same(whole, fit(tmp_path / "stopped"))


# Pipelines


ENCODER = {"kind": "convolution", "embedding_size": 16, "filters": 16, "kernel_sizes": [3], "layers": 2}
TEXTS = {
    "task": "pretrain",
    "normalize": {"steps": ["unicode", "html", "whitespace"]},  # html removes tags
    "tokenize": {"codec": "words", "vocabulary": "joint"},
    "vectorize": {"features": {"kind": "ids", "max_length": 16}},
    "model": {"kind": "masked_language_model", "encoder": ENCODER},
    "train": {"epochs": 25, "batch_rows": 16, "optimizer": {"kind": "adam", "learning_rate": 0.01}},
    "export": {"golden_rows": 20},
}
CLASSES = {
    "task": "classify",
    "tokenize": {"codec": "words"},
    "vectorize": {"features": {"kind": "ids", "max_length": 16}},
    "model": {"kind": "pooled", "encoder": ENCODER, "pooling": "mean"},
}


def lines(path, labels=False, count=200):
    """Short questions, one a line; with their class for `labels`."""
    draw = random.Random(4)
    pairs = (("activate", "card"), ("repay", "loan"), ("find", "branch"))
    rows = ["text\tlabel" if labels else "text"]
    for number in range(count):
        verb, noun = pairs[number % 3]
        text = f"{draw.choice(('how', 'where', 'when'))} do i {verb} my {noun} {draw.choice(('today', 'now', 'please'))} {number}"
        rows.append(f"{text}\t{noun}" if labels else text)
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pretrain")
    return tiny.build(folder / "run", TEXTS, lines(folder / "lines.tsv"), until="export")


def test_masks_of_a_text_are_filled_by_the_exported_model(pretrained):
    from textpipe.savedmodel import loader

    model = loader.Model.load(pretrained["export"] / "model")
    answers = model.predict(
        ["how do i activate my <mask> now", "how do i <mask> my loan now", "how do i find my branch now"]
    )
    assert [answer["answer"] for answer in answers] == [
        "how do i activate my card now", "how do i repay my loan now", "how do i find my branch now",
    ]  # fmt: skip
    assert answers[2]["score"] == pytest.approx(1) and 0.3 < answers[0]["score"] < 1
    assert (
        len(answers[0]["vector"]) == 16 and np.abs(np.subtract(answers[0]["vector"], answers[1]["vector"])).max() > 1e-3
    )
    report = json.loads((pretrained["evaluate"] / "metrics.json").read_text())
    assert report["metrics"]["perplexity"] < 8 and report["metrics"]["token_accuracy"] > 0.4
    assert report["metrics"]["unchanged"] < 1  # numbers that train does not have are unknown


def test_a_classifier_of_one_or_several_fields_starts_from_the_encoder(pretrained, tmp_path):
    from textpipe.training.warm_start import parameters, source_weights

    there = {}
    config = json.loads((pretrained["train"] / "model.json").read_text())
    source = plugins.find("models", "masked_language_model").build(
        Plugin.check("models", config["model"]),
        Sizes.from_tables(config["sizes"], plugins.find("tasks", "pretrain").FIELDS),
        seed=0,
    )
    source.load_weights(pretrained["train"] / "model.weights.h5")
    there = {name: np.array(weight) for name, weight in parameters.weights_by_name(source).items()}
    tables = {
        **CLASSES,
        "train": {
            "epochs": 1,
            "init": {"from": str(pretrained["train"])},
            "optimizer": {"kind": "sgd", "learning_rate": 1e-9},
        },
    }
    one = tiny.build(tmp_path / "one", tables, lines(tmp_path / "rows.tsv", labels=True, count=60), until="train")
    report = json.loads((one["train"] / "train.json").read_text())["init"]
    assert "encoder/layer_0/kernel_0" in report["copied"] or any(
        name.startswith("encoder/layer_0") for name in report["copied"]
    )
    assert {"output_linear/kernel", "bias"} <= set(report["fresh"])
    carried = report["carried"]["encoder/embedding/table"]["text"]
    assert 10 < carried["carried"] <= carried["of"]
    sizes = Sizes(
        {
            "a": {"kind": "ids", "vocab_size": 5, "max_length": 9},
            "b": {"kind": "ids", "vocab_size": 6, "max_length": 9},
        },
        "label",
        tests.LABELS,
    )
    vocabulary = {
        "a": {"side": "source", "kind": "ids", "names": ["<pad>", "<unk>", "<s>", "</s>", "card"]},
        "b": {"side": "source", "kind": "ids", "names": ["<pad>", "<unk>", "<s>", "</s>", "loan", "card"]},
        "label": {"side": "target", "kind": "label", "names": ["a", "b", "c"]},
    }
    section = Plugin.check("models", CLASSES["model"])
    weights = source_weights.SourceWeights(
        source_weights.Init(**{"from": str(pretrained["train"])}), section, sizes, vocabulary
    )
    model = plugins.find("models", "pooled").build(section, sizes, seed=1)
    weights.apply(model)
    names = json.loads((pretrained["train"] / "vocabulary.json").read_text())["text"]["names"]
    found = {name: np.array(weight) for name, weight in parameters.weights_by_name(model).items()}
    table = there["encoder/embedding/table"]
    np.testing.assert_array_equal(
        found["field_b/encoder/embedding/table"][4:], table[[names.index("loan"), names.index("card")]]
    )
    np.testing.assert_array_equal(found["field_a/encoder/embedding/table"][4], table[names.index("card")])


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"kind": "masked_language_model", "encoder": "bag"}, "a bag encodes each token by itself"),
        (
            {"kind": "causal_language_model", "encoder": "transformer"},
            "sees the token that it has to predict; use .*causal = true",
        ),
        ({"kind": "causal_language_model", "encoder": "recurrent"}, 'direction = "forward"'),
    ],
)
def test_encoders_that_cannot_learn_the_objective_are_refused(model, message):
    with pytest.raises(ValueError, match=message):
        train.Config(task="pretrain", model=model)


def test_the_text_and_its_target_need_one_vocabulary():
    config = Plugin.check("models", {"kind": "masked_language_model", "encoder": ENCODERS["masked"]})
    sizes = Sizes({"text": tests.IDS}, "filled", {**tests.IDS, "vocab_size": 31})
    with pytest.raises(
        ConfigError,
        match="expected one vocabulary for inputs and targets, found two; set .tokenize. vocabulary = .joint.",
    ):
        plugins.find("models", "masked_language_model").build(config, sizes, seed=1)
    section = train.Config(task="pretrain", model={"kind": "masked_language_model"})
    tables = {side: {"side": side, "kind": "ids", "names": [side]} for side in ("source", "target")}
    with pytest.raises(
        ConfigError, match="masked_language_model: reads these fields with one vocabulary, but their tokens differ"
    ):
        train.check_tokens(section, tables)
    with pytest.raises(ValueError, match="word_dropout: masked_language_model predicts hidden tokens"):
        train.Config(task="pretrain", model={"kind": "masked_language_model"}, word_dropout={"rate": 0.1})


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("setting", [{"class_weight": "balanced"}, {"calibration": "temperature"}])
def test_settings_of_classifiers_are_refused(name, setting):
    with pytest.raises(ValueError, match=f"{next(iter(setting))}: {KINDS[name]} predicts .* of the text; leave"):
        train.Config(task="pretrain", model={"kind": KINDS[name], "encoder": ENCODERS[name]}, **setting)


def test_the_highest_number_draws_the_last_token_of_the_vocabulary():
    ids = tf.constant([[5, 6, 7, 3]])
    numbers = tf.constant([[[0.1, 0.2, 0.3, 0.4]], [[0.85] * 4], [[1.0] * 4]])
    read, chosen = masked_tokens.corrupt(ids, numbers, 30)
    assert read[chosen].numpy().tolist() == [29]


def test_a_new_pipeline_reads_the_text_column_for_both_fields(tmp_path, monkeypatch):
    from textpipe.pipeline import runner, scaffold
    from textpipe.stages import ingest

    monkeypatch.chdir(tmp_path)
    lines(tmp_path / "lines.tsv", count=30)
    scaffold.write("pretrain", tmp_path / "lines.tsv", "", tmp_path / "new.toml")
    pipeline = runner.Pipeline.load(tmp_path / "new.toml")
    fields = plugins.find("tasks", "pretrain").FIELDS
    assert ingest.required_columns(pipeline.sections["ingest"], fields) == ["text", "text"]
    other = pipeline.sections["ingest"].model_copy(update={"columns": {"text": "body", "filled": "clean"}})
    assert ingest.required_columns(other, fields) == ["body", "clean"]
