"""Scores of given answers agree between the decoder, evaluate, Python, the command line and the SavedModel."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner

from textpipe.answers import text
from textpipe.cli import main
from textpipe.commands import score as score_command
from textpipe.config import sections
from textpipe.errors import ConfigError, DataError, ModelError
from textpipe.inference import scoring
from textpipe.savedmodel import loader
from textpipe.servable.graph import Servable
from textpipe.servable.tracing import ABSENT
from textpipe.training import likelihood

LONG = "das rot " * 60


def published(paths):
    """The published model of a pipeline that tiny.once ran."""
    return paths["export"].parents[3] / "saved_models/generator/1"


def score(*words):
    """Exit code, stdout and stderr of `textpipe score`."""
    done = CliRunner().invoke(main, ["-v", "score", *map(str, words)], catch_exceptions=False)
    return done.exit_code, done.stdout, done.stderr


def test_decoded_answers_score_the_log_probs_of_the_decoder(generator):
    paths = generator
    decode = sections.Plugin.check("decoding", {"kind": "beam", "beam_size": 4, "max_length": 9})
    servable = Servable.load(paths, "translate", decode)
    source = servable.inputs({"source": tf.constant(["the dog 5 is red", "the old house", "a"])})
    found = servable.output.generate(source)
    rows, beams, length = found["ids"].shape
    ids = tf.reshape(found["ids"], [rows * beams, length])
    by_token = likelihood.token_log_probs(
        servable.model, {"source": tf.repeat(source["source"], beams, axis=0)}, ids
    ).numpy()
    np.testing.assert_allclose(by_token.sum(axis=1), found["log_probs"].numpy().ravel(), rtol=1e-5)
    assert (by_token[ids.numpy() != 0] < 0).all() and not by_token[ids.numpy() == 0].any()


def test_a_model_without_a_split_call_gives_the_same_scores(generator):
    paths = generator
    model = Servable.load(paths, "translate").model
    source = tf.constant([[7, 8, 9, 3], [10, 3, 0, 0]])
    target = tf.constant([[4, 5, 6, 3], [3, 0, 0, 0]])

    class Whole:
        pad_id, start_id = model.pad_id, model.start_id

        def __call__(self, inputs, target_in, training):
            return model(inputs, target_in, training=training)

    split = likelihood.token_log_probs(model, {"source": source}, target)
    np.testing.assert_allclose(split, likelihood.token_log_probs(Whole(), {"source": source}, target), rtol=1e-5)


def test_blocks_of_the_vocabulary_layer_do_not_change_the_scores(generator, monkeypatch):
    paths = generator
    model = Servable.load(paths, "translate").model
    source, target = tf.fill([5, 4], 9), tf.constant(np.arange(4, 39).reshape(5, 7), tf.int32)
    whole = likelihood.token_log_probs(model, {"source": source}, target)
    monkeypatch.setattr(
        "textpipe.training.vocabulary_loss.BLOCK_LOGITS", 300 * 4
    )  # blocks of four tokens, and a last one of three
    np.testing.assert_allclose(likelihood.token_log_probs(model, {"source": source}, target), whole, rtol=1e-6)


def test_python_the_command_line_and_the_saved_model_agree(generator, monkeypatch):
    saved = published(generator)
    folder = saved.parents[2]
    monkeypatch.chdir(folder)
    rows = [line.split("\t") for line in (folder / "rows.tsv").read_text().splitlines()[1:6]]
    given = [{"source": a, "target": b} for a, b in rows]
    exported, trained = scoring.Scorer.load(saved).score(given), scoring.Scorer.load("generator.toml").score(given)
    texts = {name: tf.constant([row[name] for row in given]) for name in ("source", "target")}
    raw = loader.Model.load(saved).signatures["score"](**texts)
    (folder / "five.jsonl").write_text("".join(json.dumps(row) + "\n" for row in given))
    code, out, err = score(saved, "five.jsonl", "--json")
    printed = [json.loads(line) for line in out.splitlines()]
    assert code == 0 and printed == exported and exported[0].keys() == trained[0].keys()
    of_pipeline = score("generator.toml", "five.jsonl", "--json", "--columns", "source=source,target=target")[1]
    assert [json.loads(line) for line in of_pipeline.splitlines()] == trained
    for at, (one, other) in enumerate(zip(exported, trained, strict=True)):
        assert one["target_tokens"] == other["target_tokens"] and one["tokens"] == len(one["target_tokens"])
        assert "".join(one["target_tokens"]).replace("▁", " ").strip() == given[at]["target"] + "</s>"
        np.testing.assert_allclose(one["log_probs"], other["log_probs"], rtol=1e-5)
        np.testing.assert_allclose(one["log_prob"], raw["log_prob"][at], rtol=1e-5)
        np.testing.assert_allclose(one["log_prob"], sum(one["log_probs"]), rtol=1e-5)
        assert math.isclose(one["perplexity"], math.exp(-sum(one["log_probs"]) / one["tokens"]), rel_tol=1e-4)
    assert "5 pairs, " in err and f"{sum(row['tokens'] for row in exported)} tokens" in err


def test_the_test_set_has_the_perplexity_that_evaluate_reports(generator, tmp_path):
    paths, saved = generator, published(generator)
    lines = (paths["evaluate"] / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
    pairs = [json.loads(line) for line in lines]
    found = text.score_totals(scoring.Scorer.load(saved).score(pairs))
    expected = json.loads((paths["evaluate"] / "metrics.json").read_text())
    assert math.isclose(found["perplexity"], expected["metrics"]["perplexity"], rel_tol=1e-5)
    assert f"over {found['tokens']} tokens" in expected["notes"][0] and found["pairs"] == expected["rows"]


def test_two_files_of_lines_score_like_two_columns_of_one(generator, tmp_path):
    saved = published(generator)
    (tmp_path / "some.en").write_text("the dog 5 is red\nthe cat\n")
    (tmp_path / "some.de").write_text("das Hund 5 ist rot\ndas Katze\n")
    (tmp_path / "both.tsv").write_text("de\ten\ndas Hund 5 ist rot\tthe dog 5 is red\ndas Katze\tthe cat\n")
    (tmp_path / "bare.txt").write_text("das Hund 5 ist rot\tthe dog 5 is red\ndas Katze\tthe cat\n")
    _, lines, _ = score(saved, tmp_path / "some.en", tmp_path / "some.de")
    _, named, _ = score(saved, tmp_path / "both.tsv", "--columns", "source=en,target=de")
    _, numbered, _ = score(
        saved, tmp_path / "bare.txt", "--columns", "source=1,target=0", "--format", '{ kind = "tsv", header = false }'
    )
    assert lines == named == numbered and len(lines.splitlines()) == 2
    log_prob, tokens, perplexity = map(float, lines.splitlines()[1].split("\t"))
    assert math.isclose(perplexity, math.exp(-log_prob / tokens), rel_tol=1e-4)


def test_an_answer_longer_than_the_model_reads_is_reported(generator, tmp_path):
    saved = published(generator)
    (tmp_path / "pairs.tsv").write_text(f"source\ttarget\nthe dog\t{LONG}\nthe dog\tdas Hund\n")
    code, out, err = score(saved, tmp_path / "pairs.tsv", "--json")
    long, short = map(json.loads, out.splitlines())
    assert code == 0 and long["cut"] and long["tokens"] == 24 and not short["cut"]
    assert "1 answers exceed the model's max_length" in err


def test_a_classifier_scores_the_probability_of_the_label(classifier, tmp_path):
    model = loader.Model.load(classifier["export"] / "model")
    texts = ["could you send the plan 3", "thank you for the report 7", ""]
    (tmp_path / "rows.tsv").write_text("text\tlabel\n" + "".join(f"{text}\tno\n" for text in texts))
    code, out, err = score(model.path, tmp_path / "rows.tsv")
    expected = [row["probabilities"][row["labels"].index("no")] for row in model.predict(texts)]
    found = np.array([line.split("\t") for line in out.splitlines()], float)
    np.testing.assert_allclose(found[:, 1], expected, rtol=1e-4)
    np.testing.assert_allclose(found[:, 0], np.log(expected), rtol=1e-4)
    assert code == 0 and f"log loss {-np.log(expected).mean():.4g}" in err


def test_an_unknown_label_is_refused_and_has_probability_0_in_the_signature(classifier):
    place = classifier["export"] / "model"
    with pytest.raises(DataError, match="row 1: 'yess' is not a known value of .*did you mean 'yes'"):
        scoring.Scorer.load(place).score([{"text": "please", "label": "yess"}])
    given = {"text": tf.constant(["please"]), "label": tf.constant(["yess"])}
    found = loader.Model.load(place).signatures["score"](**given)
    assert found["log_prob"].numpy() == [np.float32(ABSENT)] and found["probability"].numpy() == [0]


@pytest.mark.parametrize(
    ("content", "columns", "form", "words"),
    [
        ("source\ttarget\n", {}, None, "has no pairs to score"),
        ("source\tgerman\na\tb\n", {}, None, "no column 'target'"),
        ("source\ttarget\na\tb\n", {"sauce": "source"}, None, "no such field; did you mean 'source'"),
        ("source\ttarget\na\tb\n", {}, "tvs", "did you mean 'tsv'"),
        ("source\ttarget\na\n", {}, None, "line 2"),
    ],
)
def test_unreadable_pairs_are_refused_with_file_and_line(tmp_path, content, columns, form, words):
    (tmp_path / "pairs.tsv").write_text(content)
    with pytest.raises((ConfigError, DataError), match=words):
        scoring.read_pairs([tmp_path / "pairs.tsv"], ("source", "target"), columns, form)


@pytest.mark.parametrize(
    ("header", "given", "pairs"),
    [
        ("en\tde\tsource", {}, [("a", "b")]),
        ("source\ttarget\tx", {}, [("a", "b")]),  # the fields' own names, where the pipeline's columns are not there
        ("x\tde\ten", {}, [("c", "b")]),
        ("fr\tde\ten", {"source": "fr"}, [("a", "b")]),
    ],
)
def test_the_columns_of_a_pipeline_are_the_default_for_its_pairs(tmp_path, header, given, pairs):
    (tmp_path / "x.toml").write_text(
        'task = "translate"\n[ingest]\nfiles = "t.tsv"\ncolumns = { source = "en", target = "de" }\n[model]\nkind = "recurrent"\n'
    )
    own = score_command.columns_of(tmp_path / "x.toml", (), (tmp_path / "pairs.tsv",))
    assert own == {"source": "en", "target": "de"}
    assert (
        score_command.columns_of(tmp_path, (), (tmp_path / "pairs.tsv",))
        == score_command.columns_of(tmp_path / "x.toml", (), ("a", "b"))
        == {}
    )
    (tmp_path / "pairs.tsv").write_text(f"{header}\na\tb\tc\n")
    scorer = SimpleNamespace(fields={"source": "string", "target": "string"}, kinds={})
    found = score_command.read_pairs((tmp_path / "pairs.tsv",), scorer, given, None, own)
    assert [(row["source"], row["target"]) for row in found] == pairs
    with pytest.raises(DataError, match="no column 'en'; known: de, ne"):
        (tmp_path / "pairs.tsv").write_text("ne\tde\na\tb\n")
        score_command.read_pairs((tmp_path / "pairs.tsv",), scorer, {}, None, own)


def test_a_user_s_mistake_ends_the_command_with_one_message(generator, tmp_path):
    code, out, err = score(published(generator), tmp_path / "pairs.tsv")
    assert (code, out) == (2, "") and err.count("error: ") == 1 and "pairs.tsv: no such file" in err
    assert "expected FIELD=COLUMN" in score(published(generator), tmp_path / "pairs.tsv", "--columns", "source")[2]


def test_a_model_without_the_signature_and_an_override_of_a_model_are_refused(generator, tmp_path):
    class Shout(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="words")])
        def __call__(self, words):
            return {"answer": tf.strings.upper(words)}

    shout = Shout()
    tf.saved_model.save(shout, str(tmp_path / "7"), signatures=shout.__call__)
    with pytest.raises(ModelError, match="no signature 'score'; export the pipeline again"):
        scoring.Scorer.load(tmp_path)
    with pytest.raises(ConfigError, match="only a pipeline file takes overrides"):
        scoring.Scorer.load(published(generator), ("train.epochs=3",))
    with pytest.raises(ConfigError, match="no such pipeline file"):
        scoring.Scorer.load(tmp_path / "nothing.toml")
    with pytest.raises(DataError, match="row 2: field 'target' must be a text, found None"):
        scoring.Scorer.load(published(generator)).score([{"source": "a", "target": "b"}, {"source": "a"}])
