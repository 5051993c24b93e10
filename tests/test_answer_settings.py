"""[answer]: a trigger in the graph of a ranker, its threshold, and the settings that do not fit."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
import tiny
from test_suggest import REPLIES, SUGGEST, rows

from textpipe.answers import _ranking
from textpipe.answers._candidates import Candidates
from textpipe.answers._ranking_settings import Config
from textpipe.answers._response_set import Response
from textpipe.answers._trigger import Trigger
from textpipe.errors import ConfigError, ModelError
from textpipe.pipeline import runner
from textpipe.savedmodel import loader

OPENINGS = list(REPLIES)
TRIGGER = {
    "task": "classify(message: text) -> wants",
    "tokenize": {"codec": "none"},
    "vectorize": {"features": {"kind": "counts", "num_buckets": 512}},
    "model": {"kind": "logistic_regression"},
    "train": {"optimizer": "lbfgs"},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the exported trigger, and rows for a ranker."""
    folder = tmp_path_factory.mktemp("answer")
    lines = ["message\twants"]
    lines += [f"{opening} the report {at}\tyes" for at in range(30) for opening in OPENINGS[:2]]
    lines += [f"{opening} the report {at}\tno" for at in range(30) for opening in OPENINGS[2:]]
    (folder / "wants.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    rows(folder / "rows.tsv")
    task = {"kind": "classify", "fields": {"message": "text"}, "target": "wants"}
    run(folder, "wants", {**TRIGGER, "task": task, "ingest": {"files": str(folder / "wants.tsv")}})
    return folder


def run(folder, name, tables, *overrides):
    file = folder / f"{name}.toml"
    file.write_text(tiny.toml(tables), encoding="utf-8")
    pipeline = runner.Pipeline.load(file, overrides)
    return runner.run(pipeline, artifacts=folder / "artifacts", saved_models=folder / "saved_models")


def ranker(folder, name="replies", **answer):
    tables = {**SUGGEST, "ingest": {"files": str(folder / "rows.tsv")}, "answer": answer}
    return run(folder, name, tables)


@pytest.fixture(scope="module")
def triggered(folder):
    """(result, loaded model) of a ranker with a trigger."""
    result = ranker(folder, trigger=str(folder / "saved_models/wants"))
    return result, loader.Model.load(result.saved_model)


def test_messages_that_the_trigger_does_not_choose_get_no_replies(triggered, folder):
    _, model = triggered
    messages = [f"{opening} the soup" for opening in OPENINGS]
    answers = model.predict(messages)
    trigger = loader.Model.load(folder / "saved_models/wants").predict(messages)
    for answer, decision in zip(answers, trigger, strict=True):
        assert answer["probability"] == pytest.approx(decision["probabilities"][1], rel=1e-6)
        assert answer["fires"] == (decision["probabilities"][1] >= 0.5)
    assert [answer["fires"] for answer in answers] == [True, True, False, False]
    assert [answer["answer"] for answer in answers] == [*list(REPLIES.values())[:2], "", ""]
    assert answers[3]["replies"] == ["", "", ""]
    assert answers[3]["scores"] == [0, 0, 0]
    (alone,) = model.predict(messages[3:])  # nothing is ranked
    assert alone["replies"] == ["", "", ""]


def test_the_threshold_is_an_option_of_a_call(triggered):
    _, model = triggered
    messages = [f"{opening} the soup" for opening in OPENINGS]
    answers = model.predict(messages, options={"threshold": 0, "num_replies": 1})
    assert [answer["replies"] for answer in answers] == [[reply] for reply in REPLIES.values()]
    assert not any(answer["fires"] for answer in model.predict(messages, options={"threshold": 1}))
    with pytest.raises(ModelError, match="threshold"):
        model.predict(messages, options={"threshold": 1.5})


def test_evaluate_counts_how_often_the_trigger_fires(triggered):
    result, _ = triggered
    metrics = json.loads((result.artifacts["evaluate"].path / "metrics.json").read_text(encoding="utf-8"))["metrics"]
    lines = (result.artifacts["evaluate"].path / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
    fires = [json.loads(line)["fires"] for line in lines]
    assert metrics["fires"] == pytest.approx(np.mean(fires))
    assert 0 < metrics["fires"] < 1


def test_golden_rows_hold_what_the_trigger_says(triggered):
    result, _ = triggered
    lines = (result.saved_model / loader.GOLDEN).read_text(encoding="utf-8").splitlines()
    assert all(0 <= json.loads(line)["trigger"]["probability"] <= 1 for line in lines)


def test_two_exports_of_a_model_with_a_trigger_have_the_same_bytes(triggered, folder):
    result, _ = triggered
    again = ranker(folder, "again", trigger=str(folder / "saved_models/wants"))
    assert (again.saved_model / "saved_model.pb").read_bytes() == (result.saved_model / "saved_model.pb").read_bytes()


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"trigger": "saved_models/nowhere"}, "no such model"),
        ({"coverage": 0.1}, "threshold and coverage apply to a trigger"),
        ({"rerank": "wants"}, "expected a ranker by likelihood"),
        ({"trigger": "wants", "threshold": 0.2, "coverage": 0.1}, "cannot both be set"),
        ({"candidates": 5}, "candidates and rerank_weight apply to rerank"),
        ({"triger": "wants"}, "unknown key; did you mean 'trigger'"),
    ],
)
def test_settings_that_do_not_fit_are_refused(folder, answer, message):
    named = {key: str(folder / "saved_models" / value) if value == "wants" else value for key, value in answer.items()}
    with pytest.raises(ConfigError, match=message):
        ranker(folder, "bad", **named)


def test_an_error_of_the_whole_table_names_it_once(folder):
    with pytest.raises(ConfigError) as error:
        ranker(folder, "bad", coverage=0.1)
    assert str(error.value).endswith(
        "bad.toml [answer] threshold and coverage apply to a trigger; set trigger, or leave them out"
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fields": []}, "found inputs message and fields none; export the model again"),
        ({"fields": None}, "found inputs message and fields none; export the model again"),
        ({"inputs": ["other"]}, "found inputs other and fields message, wants; export the model again"),
        ({"inputs": None}, "found inputs none and fields message, wants; export the model again"),
        ({"answer": "text", "task": "translate"}, "expected a classifier of two classes, found task 'translate'"),
        ({"labels": ["a", "b", "c"]}, "expected a classifier of two classes, found 3 classes"),
        ({"coverage": None}, "coverage: .*textpipe.json has no thresholds for a coverage"),
        ({"coverage": 3}, "coverage: .*expected 101 probabilities"),
    ],
)
def test_a_trigger_whose_description_is_damaged_is_refused_before_anything_runs(folder, tmp_path, changes, message):
    about = loader.read_about(loader.find_version(folder / "saved_models/wants")) | changes
    (tmp_path / "wants/1").mkdir(parents=True)
    (tmp_path / "wants/1/saved_model.pb").write_bytes(b"")
    text = json.dumps({key: value for key, value in about.items() if value is not None})
    (tmp_path / "wants/1/textpipe.json").write_text(text, encoding="utf-8")
    tables = {**SUGGEST, "ingest": {"files": str(folder / "rows.tsv")}}
    answer = {"trigger": str(tmp_path / "wants"), "coverage": 0.1}
    (tmp_path / "bad.toml").write_text(tiny.toml({**tables, "answer": answer}), encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        runner.Pipeline.load(tmp_path / "bad.toml")


def test_a_trigger_that_reads_another_field_is_refused(folder):
    task = {"kind": "suggest", "fields": {"mail": "text"}, "target": "reply"}
    tables = {**SUGGEST, "task": task, "ingest": {"files": str(folder / "rows.tsv")}}
    with pytest.raises(ConfigError, match="reads a field 'message' of kind 'text', but this pipeline has only mail"):
        run(folder, "bad", {**tables, "answer": {"trigger": str(folder / "saved_models/wants")}})


def test_a_task_without_such_settings_refuses_them(folder):
    tables = {
        **TRIGGER,
        "task": "multi_label",
        "ingest": {"files": str(folder / "wants.tsv")},
        "answer": {"threshold": 0.5},
    }
    with pytest.raises(ConfigError, match="has no such settings; leave \\[answer\\] out"):
        run(folder, "bad", tables)


def test_the_weight_of_the_prior_decides_for_the_frequent():
    responses = [Response("rare", count=1), Response("frequent", count=9)]
    model = SimpleNamespace(encode_reply=lambda ids: tf.zeros([len(ids), 1]))
    graph = SimpleNamespace(model=model, encode=lambda field, texts: texts, target="reply")
    for weight in (-1.0, 0.0, 2.0):
        output = _ranking.Output(graph, responses, Config(prior_weight=weight))
        np.testing.assert_allclose(output.prior, weight * np.log([0.1, 0.9]), rtol=1e-6)
    np.testing.assert_allclose(_ranking.Output(graph, responses).prior, np.log([0.1, 0.9]), rtol=1e-6)


def test_a_stated_coverage_is_looked_up_in_the_trigger(folder):
    path = folder / "saved_models/wants"
    stated = loader.read_about(loader.find_version(path))["coverage"]["thresholds"]
    assert stated[10] > stated[90]
    for percent in (10, 90):
        settings = Config(trigger=path, coverage=percent / 100)
        assert float(Trigger(settings.trigger, settings).threshold) == pytest.approx(stated[percent])


SCORES = np.array([[2.0, 0.0, 1.0, -1.0], [0.5, 3.0, 2.5, 0.0]])
SECOND = {"a": -4.0, "b": -1.0, "c": -2.0, "d": 5.0}  # log P(candidate | message)


@pytest.mark.parametrize(("num_candidates", "weight"), [(2, 0.0), (2, 0.25), (3, 1.0), (50, 0.5)])
def test_a_cascade_ranks_the_first_candidates_again(num_candidates, weight):
    graph = SimpleNamespace(
        model=SimpleNamespace(encode_reply=lambda ids: tf.zeros([len(ids), 1])),
        encode=lambda field, texts: texts, target="reply",
    )  # fmt: skip
    settings = Config.model_construct(candidates=num_candidates, rerank_weight=weight)
    output = _ranking.Output(graph, [Response(text) for text in SECOND], settings)

    def log_probs(signature, tensors):
        assert signature == "rerank"
        rows = tensors["candidates"].numpy().tolist()
        return {"log_probs": tf.constant([[SECOND[text.decode()] for text in row] for row in rows])}

    output.second = SimpleNamespace(call=log_probs)
    found = output.reranked(
        {"message": tf.constant(["x", "y"])}, Candidates(tf.constant(SCORES, tf.float32))
    ).scores.numpy()
    for scores, row in zip(SCORES, found, strict=True):
        first = np.exp(scores) / np.exp(scores).sum()
        places = np.argsort(-scores)[:num_candidates]
        other = np.exp(list(SECOND.values()))[places]
        mixed = first[places] ** (1 - weight) * (other / other.sum()) ** weight
        expected = first.copy()
        expected[places] = first[places].sum() * mixed / mixed.sum()
        np.testing.assert_allclose(np.exp(row), expected, rtol=1e-5)
