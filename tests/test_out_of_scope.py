"""Rows without a class: thresholds, metrics, and a pipeline that answers them with a label of their own."""

import json
import random
import shutil

import numpy as np
import pytest
import tensorflow as tf
import tiny

from textpipe.answers._label_settings import Config
from textpipe.config import plugins
from textpipe.errors import ConfigError, DataError
from textpipe.metrics import classification, out_of_scope
from textpipe.stages import evaluate, export
from textpipe.tasks import classify

OOS = "oos"
TABLES = {
    **tiny.CLASSIFIER,
    "vectorize": {
        "features": {"kind": "tfidf", "num_buckets": 4096},
        "fields": {"label": {"kind": "label", "out_of_scope": OOS}},
    },
    "model": {"kind": "logistic_regression", "l2": 0.01},
    "train": {"optimizer": "lbfgs"},
    "answer": {"out_of_scope": OOS},
    "ingest": {"split": {"valid": 0.3, "test": 0.3}},
    "export": {"golden_rows": 40},
}


def rows(path, count=400):
    """Three classes with a word each, and texts of other words out of scope, as TSV."""
    draw = random.Random(3)
    lines = ["text\tlabel"]
    for number in range(count):
        label = ("card", "loan", "branch", OOS)[number % 4]
        subject = label if label != OOS else draw.choice(("weather", "football", "music", "holiday"))
        lines.append(f"what about the {subject} {draw.choice(('today', 'please', 'now'))} {number}\t{label}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scope")
    return tiny.build(folder / "run", TABLES, rows(folder / "rows.tsv"), until="export")


def test_rows_out_of_scope_are_answered_with_their_label_in_evaluation_and_in_the_export(built):
    from textpipe.savedmodel import loader

    report = json.loads((built["evaluate"] / "metrics.json").read_text())
    assert report["labels"] == ["branch", "card", "loan", OOS]
    assert report["metrics"]["out_of_scope_auroc"] > 0.99 and report["metrics"]["out_of_scope_fpr95"] == 0
    assert report["metrics"]["out_of_scope_f1"] > 0.97 and report["metrics"]["in_scope_accuracy"] > 0.97
    assert report["support"][3] >= 20
    about = json.loads((built["export"] / "model/textpipe.json").read_text())
    assert about["out_of_scope"]["label"] == OOS and about["out_of_scope"]["rule"] == "f1"
    assert about["labels"] == ["branch", "card", "loan"]
    model = loader.Model.load(built["export"] / "model")
    answers = model.predict(["what about the loan now 5", "what about the music now 5"])
    assert [answer["answer"] for answer in answers] == ["loan", OOS]
    threshold = about["out_of_scope"]["threshold"]
    assert answers[1]["scope"] < threshold <= answers[0]["scope"]


def test_training_leaves_rows_out_of_scope_out(built):
    from textpipe.config.fields import Sizes
    from textpipe.training.batching import rows as training_rows

    sizes = Sizes.read(built["vectorize"] / "features.json", classify.FIELDS)
    for split, least in (("train", 20), ("valid", 20)):
        kept = training_rows.read(built["vectorize"], split, sizes)
        stored = sum(batch.num_rows for batch in plugin_shards(built["vectorize"], split))
        assert kept.target.values.min() >= 0 and stored - len(kept) > least


def plugin_shards(folder, split):
    from textpipe.data import shards

    return shards.read(folder, split)


def scored(built, folder, **answer):
    """The metrics of the built pipeline under other settings of [answer]."""
    folder.mkdir()
    config = evaluate.Config(task="classify", answer={"out_of_scope": OOS, **answer}, resamples=0)
    evaluate.run(config, built, folder)
    return json.loads((folder / "metrics.json").read_text())["metrics"]


def test_a_given_threshold_a_coverage_and_each_score_decide(built, tmp_path):
    none = scored(built, tmp_path / "none", threshold=0.0)
    assert none["out_of_scope_recall"] == 0 and none["in_scope_accuracy"] == none["class_accuracy"]
    every = scored(built, tmp_path / "every", threshold=1.1)
    assert every["out_of_scope_recall"] == 1 and every["in_scope_accuracy"] == 0
    half = scored(built, tmp_path / "half", coverage=0.5)
    assert 0.2 < half["in_scope_accuracy"] < 0.8
    for score in ("logit", "energy"):
        found = scored(built, tmp_path / score, score=score)
        assert found["out_of_scope_auroc"] > 0.95 and found["out_of_scope_f1"] > 0.9


def test_the_threshold_of_a_coverage_keeps_that_share_and_ties_stay_together():
    found = out_of_scope.at_coverage(np.array([0.9, 0.8, 0.4, 0.3]), 0.75)
    assert found == {"threshold": pytest.approx(0.35), "rows": 4, "in_scope": 0.75}
    tied = out_of_scope.at_coverage(np.array([0.9, 0.4, 0.4, 0.4]), 0.5)
    assert tied["in_scope"] == 1.0
    everything = out_of_scope.at_coverage(np.array([0.5, 0.2]), 1.0)
    assert everything["threshold"] < 0.2 and everything["in_scope"] == 1.0


def test_the_best_f1_is_that_of_a_search_over_all_thresholds():
    from sklearn.metrics import f1_score

    draw = np.random.default_rng(5)
    for _ in range(20):
        outside = draw.random(30) < 0.3
        outside[0] = True
        scores = np.round(draw.normal(size=30) - outside, 1)  # with ties
        found = out_of_scope.best_f1(scores, outside)
        best = max(f1_score(outside, scores < cut) for cut in [*scores, scores.max() + 1])
        assert found["f1"] == pytest.approx(best)
        assert f1_score(outside, scores < found["threshold"]) == pytest.approx(best)


def test_separation_agrees_with_its_definition():
    draw = np.random.default_rng(6)
    outside = np.arange(200) < 60
    scores = np.round(draw.normal(size=200) - outside, 1)
    found = out_of_scope.separation(scores, outside)
    pairs = scores[~outside][:, None] - scores[outside][None]
    assert found["out_of_scope_auroc"] == pytest.approx((pairs > 0).mean() + (pairs == 0).mean() / 2)
    threshold = max(cut for cut in scores if (scores[~outside] >= cut).mean() >= 0.95)
    assert found["out_of_scope_fpr95"] == pytest.approx((scores[outside] >= threshold).mean())
    assert out_of_scope.separation([0.1], [False]) == {"out_of_scope_auroc": None, "out_of_scope_fpr95": None}


def test_metrics_of_rows_without_any_out_of_scope_are_none_and_a_label_of_neither_kind_is_refused():
    outputs = {"answer": ["a", OOS], "probabilities": np.array([[0.9, 0.1], [0.6, 0.4]]), "scope": [0.9, 0.6]}
    found = classification.score_with_scope(["a", "b"], outputs, ["a", "a"], OOS, resamples=5)["metrics"]
    assert found["out_of_scope_f1"] is None and found["in_scope_accuracy"] == 0.5 and found["class_accuracy"] == 1.0
    assert found["log_loss"] == pytest.approx(-(np.log(0.9) + np.log(0.6)) / 2)
    with pytest.raises(DataError, match="label 'c': occurs in the rows to score but not in training"):
        classification.score_with_scope(["a", "b"], outputs, ["a", "c"], OOS)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": 0.5}, "threshold: has no effect without out_of_scope"),
        ({"score": "energy"}, "score: has no effect without out_of_scope"),
        (
            {"out_of_scope": OOS, "threshold": 0.5, "coverage": 0.9},
            "coverage: is used to choose the threshold, but threshold is given",
        ),
        ({"out_of_scope": ""}, "at least 1 character"),
    ],
)
def test_settings_without_effect_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Config(**options)
    with pytest.raises(ValueError, match="has no such settings|has no effect|excl|leave|at least 1"):
        export.Config(task="classify", answer=options)


def test_after_calibration_both_errors_are_those_of_the_rows_with_a_class(built, tmp_path):
    """Only the probabilities change: a temperature of 2 for a model that was trained with 1."""
    trained = tmp_path / "train"
    shutil.copytree(built["train"], trained)
    summary = json.loads((trained / "train.json").read_text())
    (trained / "train.json").write_text(json.dumps({**summary, "calibration": {"temperature": 2.0}}))
    before = scored(built, tmp_path / "before", threshold=0.5)
    after = scored({**built, "train": trained}, tmp_path / "after", threshold=0.5)
    assert after["uncalibrated_error"] == pytest.approx(before["calibration_error"], abs=1e-6)
    assert after["calibration_error"] > before["calibration_error"]


def test_the_answer_as_numbers_has_the_score_that_the_threshold_is_for(built):
    from textpipe.answers import label
    from textpipe.servable.graph import Servable

    servable = Servable.load(built, "classify", answer=Config(out_of_scope=OOS))
    texts = {"text": tf.constant(["what about the loan now 5", "what about the music now 5"])}
    numbers = label.from_features(servable.output, servable.inputs(texts))
    np.testing.assert_allclose(numbers["scope"], servable.signature("serving_default")(**texts)["scope"], rtol=1e-5)


def test_a_class_that_was_trained_is_not_out_of_scope(built, tmp_path):
    config = evaluate.Config(task="classify", answer={"out_of_scope": "card"})
    with pytest.raises(
        ConfigError, match="out_of_scope: 'card' is a class that was trained.*label = . kind = \"label\""
    ):
        evaluate.run(config, built, tmp_path)


def test_rows_left_out_of_training_need_an_answer(built, tmp_path):
    with pytest.raises(
        ConfigError, match="training excludes the rows with label 'oos', so the model can never answer with this label"
    ):
        evaluate.run(evaluate.Config(task="classify"), built, tmp_path)


def test_without_rows_of_valid_a_threshold_must_be_given(built, tmp_path):
    empty = tmp_path / "ingest"
    (empty / "valid").mkdir(parents=True)
    (empty / "test").symlink_to(built["ingest"] / "test")
    config = evaluate.Config(task="classify", answer={"out_of_scope": OOS})
    with pytest.raises(ConfigError, match="valid has no rows with a class to choose the threshold on"):
        evaluate.run(config, {**built, "ingest": empty}, tmp_path)


def test_other_labels_unknown_to_train_are_still_refused():
    module = plugins.find("features", "label")
    from textpipe.features._labels import Labels

    labels = Labels(["a", "b"], out_of_scope=OOS)
    module.check(labels, "label", lambda: [("valid", [1, 2], tf.constant(["a", OOS]))])
    with pytest.raises(DataError, match="valid, row 3: label 'c' is not among the 2 labels"):
        module.check(labels, "label", lambda: [("valid", [1, 2], tf.constant([OOS, "c"]))])
