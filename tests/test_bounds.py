"""Limits on a served search: bounds of its options, and deadlines."""

import json
import math
import time

import pytest
import tensorflow as tf
import tiny
from test_beam import Table, sources

from textpipe.config import plugins
from textpipe.config import sections as config
from textpipe.config.sections import Plugin
from textpipe.decoding import _bounds
from textpipe.errors import ConfigError, ModelError
from textpipe.pipeline import runner
from textpipe.savedmodel.loader import Model
from textpipe.servable.graph import Servable
from textpipe.stages import export

KINDS = plugins.names("decoding")


@pytest.fixture(scope="module")
def model(generator):
    return Model.load(generator["export"] / "model")


def options(model, **changes):
    """The inputs of the signature `options`, with some values changed by the caller."""
    given = model.defaults("options")
    return given | {name: tf.constant(value, given[name].dtype) for name, value in changes.items()}


def ask(model, **changes):
    return model.signatures["options"](source=tf.constant(["the dog 5 is red"]), **options(model, **changes))


@pytest.mark.parametrize("kind", KINDS)
def test_the_defaults_of_every_option_are_within_its_bounds(kind):
    decoder, settings = plugins.find("decoding", kind), Plugin.check("decoding", kind)
    limits = _bounds.bounds(decoder, settings)
    assert set(limits) == set(decoder.OPTIONS)
    for name, (low, high) in limits.items():
        assert low <= (getattr(settings, name) or 0) <= high
    assert json.loads(json.dumps(limits, allow_nan=False)) == limits


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("beam_size", 65, "option beam_size must be at most 64, found 65"),
        ("beam_size", -1, "option beam_size must be at least 1, found -1"),
        ("max_length", 5000, "option max_length must be at most 1024, found 5000"),
        ("length_penalty", 11.5, "option length_penalty must be at most 10.0, found 11.5"),
        ("max_ratio", -0.5, "option max_ratio must be at least 0.0, found -0.5"),
    ],
)
def test_a_value_out_of_bounds_is_refused_by_the_client_and_by_the_graph(model, option, value, words):
    assert option in model.bounds()
    with pytest.raises(ModelError, match=words):
        model.predict(["the dog 5 is red"], options={option: value})
    with pytest.raises(tf.errors.InvalidArgumentError, match=words.split(", found")[0]):
        ask(model, **{option: value})


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_is_refused_by_the_graph(model, value):
    for option in ("length_penalty", "max_ratio", "patience", "deadline"):
        with pytest.raises(tf.errors.InvalidArgumentError, match=f"option {option} must be"):
            ask(model, **{option: value})


def test_a_text_option_has_a_maximum_number_of_tokens(model):
    with pytest.raises(tf.errors.InvalidArgumentError, match="option prefix must be at most 1024 tokens long"):
        ask(model, prefix=["das " * 2000])


def test_a_pipeline_may_set_bounds_that_include_its_own_settings():
    decoder = plugins.find("decoding", "beam")
    wide = Plugin.check("decoding", {"kind": "beam", "beam_size": 100})
    assert _bounds.bounds(decoder, wide)["beam_size"] == [1, 100]
    assert _bounds.bounds(decoder, wide, {"beam_size": 128})["beam_size"] == [1, 128]
    for upper, words in (
        ({"beam_size": 50}, r"beam_size = 50 is less than \[decode\] beam_size = 100; raise the bound"),
        ({"beam_sise": 200}, "no option 'beam_sise'; did you mean 'beam_size'"),
        ({"beam_size": 200.5}, "beam_size expects a whole number of at least 1, found 200.5"),
        ({"patience": math.inf}, "patience expects a number of at least 0, found inf"),
    ):
        with pytest.raises(ValueError, match=words):
            _bounds.bounds(decoder, wide, upper)
    sections = {"export": plugins.find("stages", "export").Config}
    tables = {"task": "translate", "decode": {"kind": "beam"}, "export": {"bounds": {"max_length": 5}}}
    with pytest.raises(ConfigError, match=r"max_length = 5.0 is less than \[decode\] max_length = 100"):
        config.check("t", sections, tables)
    with pytest.raises(ConfigError, match="classify answers with a label and has no options; leave bounds out"):
        config.check("t", sections, {"task": "classify", "export": {"bounds": {"beam_size": 5}}})


def test_an_exported_model_records_how_its_signatures_derive_from_options(model):
    texts = ["the dog 5 is red", "", "a cat"]
    every = model.predict(texts, signature="options")
    searches = {name: one.search for name, one in model.described.items() if one.search}
    assert set(searches) == {"serving_default", "nbest"}
    for name, search in searches.items():
        results = model.predict(texts, signature=name)
        for row, one in zip(every, results, strict=True):
            for output, of_options in search.outputs.items():
                expected = row[of_options][0] if search.first else row[of_options]
                assert one[output] == (pytest.approx(expected) if output.startswith("score") else expected)
    assert "deadline" not in model.option_defaults() | model.bounds()
    with pytest.raises(ModelError, match="no option 'deadline'"):
        model.predict(texts, options={"deadline": 1.0})


def test_a_past_deadline_fails_and_a_future_one_changes_nothing(model):
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"\[DEADLINE_EXCEEDED: "):
        ask(model, deadline=time.time() - 1)
    later = ask(model, deadline=time.time() + 3600)
    assert later["texts"].numpy().tolist() == ask(model)["texts"].numpy().tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_a_search_fails_at_its_deadline(kind, monkeypatch):
    class Slow(Table):
        def step(self, state, ids):
            result = super().step(state, ids)
            clock[0] += 1.0  # a second for each step
            return result

    clock = [1000.0]
    monkeypatch.setattr(tf, "timestamp", lambda: tf.constant(clock[0], tf.float64))
    table, decoder = Slow(3, end_bonus=-50.0), plugins.find("decoding", kind)
    settings = Plugin.check("decoding", {"kind": kind, "max_length": 40})
    with pytest.raises(tf.errors.InvalidArgumentError, match="DEADLINE_EXCEEDED: the search was ended at its deadline"):
        decoder.decode(table, {"source": sources(5, 6)}, settings, {"deadline": tf.constant(1005.0, tf.float64)})
    assert table.steps == 5
    result = decoder.decode(table, {"source": sources(5, 6)}, settings, {"deadline": tf.constant(2000.0, tf.float64)})
    expected = decoder.decode(Table(3, end_bonus=-50.0), {"source": sources(5, 6)}, settings)
    assert result["ids"].numpy().tolist() == expected["ids"].numpy().tolist()


NO_ATTENTION = {"kind": "recurrent", "units": 16, "embedding_size": 16, "attention": "none"}


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        ({"model": NO_ATTENTION, "decode": {"kind": "beam", "coverage_penalty": 0.2}}, "coverage_penalty: recurrent with"),
        ({"model": NO_ATTENTION, "decode": {"kind": "greedy", "replace_unknown": True}, "tokenize": {"codec": "words"}},
         "replace_unknown: recurrent with attention = 'none' points to no source word"),
        ({"decode": {"kind": "beam", "replace_unknown": True}}, "replace_unknown: codec 'unigram' has no words"),
    ],
)  # fmt: skip
def test_settings_that_the_model_does_not_support_are_refused_before_anything_runs(tables, words, tmp_path):
    file = tmp_path / "p.toml"
    file.write_text(tiny.toml({**tiny.GENERATOR, **tables, "ingest": {"files": "rows.tsv"}}))
    with pytest.raises(ConfigError, match=words):
        runner.Pipeline.load(file)


def test_a_classifier_with_a_decoder_is_refused(tmp_path):
    file = tmp_path / "p.toml"
    file.write_text(tiny.toml({**tiny.CLASSIFIER, "decode": {"kind": "beam"}, "ingest": {"files": "rows.tsv"}}))
    with pytest.raises(ConfigError, match="answers with a label, which needs no decoder; leave"):
        runner.Pipeline.load(file)


def test_a_model_without_attention_has_no_coverage_penalty(generator):
    servable = Servable.load(generator, "translate", Plugin.check("decoding", "beam"))
    without_attention = Servable(
        plugins.find("tasks", "translate"), servable.normalizer, servable.features, servable.model,
        decode=servable.output.decode, attends=False,
    )  # fmt: skip
    assert (
        without_attention.output.bounds["coverage_penalty"] == [0.0, 0.0] != servable.output.bounds["coverage_penalty"]
    )
    assert export.Config(task="translate", decode="beam").bounds == {}
