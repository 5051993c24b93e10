"""Ensembles of classifiers: compared with NumPy, and run through the stages of a pipeline."""

import json
import shutil

import numpy as np
import pytest
import tensorflow as tf
import tiny

from textpipe.answers._label_settings import Config as Answer
from textpipe.cache import fingerprint
from textpipe.config import plugins
from textpipe.config import sections as configs
from textpipe.errors import ConfigError
from textpipe.nets.classifier_ensemble import MEMBERS, ClassifierEnsemble
from textpipe.pipeline import runner
from textpipe.servable.ensemble import Ensemble as Section
from textpipe.servable.graph import Servable

OWN = {
    **tiny.CLASSIFIER,
    "normalize": {"steps": ["casefold"]},
    "vectorize": {"features": {"kind": "counts", "words": [1, 1], "num_buckets": 1024}},
    "model": {"kind": "feed_forward", "units": [8]},
    "train": {"epochs": 3, "calibration": "temperature"},
    "evaluate": {"resamples": 0},
    "export": {"golden_rows": 12, "warmup_rows": 2},
}
MEMBER = {
    **tiny.CLASSIFIER,
    "train": {"epochs": 3, "calibration": "temperature"},
    "evaluate": {"resamples": 0},
    "export": {"golden_rows": 4, "warmup_rows": 0},
}
TEXTS = ["could you send the report 5", "Thank you for the PLAN 9", ""]


def softmax(logits):
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


class Fixed(tf.Module):
    """A model with constant logits."""

    def __init__(self, logits):
        super().__init__()
        self.logits = tf.constant(logits, tf.float32)

    def __call__(self, inputs, training=False):
        assert set(inputs) == {"text"}
        return self.logits


@pytest.mark.parametrize("mean", ["arithmetic", "geometric"])
@pytest.mark.parametrize("classes", [2, 5])
def test_probabilities_are_the_mean_over_the_members(classes, mean):
    random = np.random.default_rng(1)
    logits = random.normal(size=(4, 1 if classes == 2 else classes))
    members = softmax(random.normal(size=(2, 4, classes)))
    members[0, 0] = np.eye(classes)[1]  # a member may be certain
    both = np.hstack([np.zeros_like(logits), logits]) if classes == 2 else logits
    each = np.concatenate([softmax(both / 1.7)[None], members])
    logs = np.log(np.maximum(each, 1e-37))
    expected = each.mean(axis=0) if mean == "arithmetic" else softmax(logs.mean(axis=0))
    model = ClassifierEnsemble(Fixed(logits), temperature=1.7, mean=mean)
    found = model({"text": tf.zeros([4, 3]), MEMBERS: tf.constant(members, tf.float32)})
    np.testing.assert_allclose(np.exp(found), expected, rtol=1e-5, atol=1e-30)


def checked(tables, **more):
    modules = {stage: plugins.find("stages", stage).Config for stage in runner.ORDER}
    return configs.check("tiny.toml", modules, {**tables, "ingest": {"files": "rows.tsv"}, **more})


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    """A pipeline up to its trained model, and the export of another with its own steps, features and model."""
    folder = tmp_path_factory.mktemp("classifier_ensemble")
    rows = tiny.classifier_rows(folder / "rows.tsv")
    outputs = tiny.build(folder / "own", OWN, rows, until="train")
    return {**outputs, "member": tiny.build(folder / "member", MEMBER, rows, until="export")["export"] / "model"}


def test_a_pipeline_evaluates_and_exports_its_ensemble(paths, tmp_path):
    sections = checked(OWN, ensemble=[str(paths["member"])])
    outputs = dict(paths)
    for name in ("evaluate", "export"):  # export replays golden rows in a process without textpipe
        stage, outputs[name] = plugins.find("stages", name), tmp_path / name
        outputs[name].mkdir()
        stage.run(sections[name], {needed: outputs[needed] for needed in stage.INPUTS}, outputs[name])
    about = json.loads((outputs["export"] / "model" / "textpipe.json").read_text(encoding="utf-8"))
    assert [table["kind"] for table in about["ensemble"]["models"]] == ["logistic_regression"]

    card = (outputs["export"] / "model" / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "| ensemble | arithmetic mean of its probabilities and those of " in card
    assert "| parameters without the members' |" in card
    assert "- Whether the members of the ensemble were trained on rows of test is not known;" in card

    # The exported graph answers with the mean of the calibrated probabilities of its members, each loaded separately.
    text = tf.constant(TEXTS)
    own = Servable.load(paths, "classify").signature("serving_default")(text=text)["probabilities"].numpy()
    other = tf.saved_model.load(str(paths["member"])).signatures["serving_default"](text=text)["probabilities"].numpy()
    loaded = tf.saved_model.load(str(outputs["export"] / "model"))
    answered = loaded.signatures["serving_default"](text=text)
    expected = (own + other) / 2
    np.testing.assert_allclose(answered["probabilities"], expected, rtol=1e-5)
    assert np.abs(own - other).max() > 1e-3
    assert [one.decode() for one in answered["answer"].numpy()] == [("no", "yes")[at] for at in expected.argmax(axis=1)]
    scored = loaded.signatures["score"](text=text, label=tf.constant(["yes", "no", "absent"]))
    np.testing.assert_allclose(scored["probability"], [expected[0, 1], expected[1, 0], 0], rtol=1e-5)

    rows = (outputs["evaluate"] / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
    row = json.loads(rows[0])
    found = loaded.signatures["serving_default"](text=tf.constant([row["text"]]))
    np.testing.assert_allclose(row["score"], found["score"].numpy()[0], rtol=1e-5)


def test_results_depend_on_the_exported_members(paths, tmp_path):
    section = checked(OWN, ensemble=[str(paths["member"])])["evaluate"]
    assert paths["member"] / "manifest.json" in section.extra_files()
    assert (
        "textpipe.models.logistic_regression"
        in fingerprint.compute("evaluate", "textpipe.stages.evaluate", section, {}, [])["code"]
    )


def test_invalid_members_are_rejected(paths, tmp_path):
    with pytest.raises(ConfigError, match="expected an exported model, found a result of train"):
        checked(OWN, ensemble=[str(paths["train"])])
    about = json.loads((paths["member"] / "textpipe.json").read_text(encoding="utf-8"))
    for name, changes, message in (
        ("task", {"answer": "text", "task": "translate"}, "expected a classifier, found a model of task 'translate'"),
        (
            "fields",
            {"inputs": ["body"], "fields": [{"name": "body", "side": "source", "kind": "text"}]},
            "reads a field 'body'",
        ),
    ):
        copied = tmp_path / name
        (copied / "assets.extra").mkdir(parents=True)
        for path in ("saved_model.pb", "variables", "assets.extra/model.json", "assets.extra/vocabulary.json"):
            (copied / path).symlink_to(paths["member"] / path)
        (copied / "textpipe.json").write_text(json.dumps({**about, **changes}), encoding="utf-8")
        with pytest.raises(ConfigError, match=message):
            checked(OWN, ensemble=[str(copied)])
    with pytest.raises(ConfigError, match="answers with several labels"):
        plugins.find("answers", "labels").check_ensemble("feed_forward")


DAMAGED = {
    "textpipe.json": {
        "labels": (5, "labels: expected a list of strings, found 5; export the model again"),
        "fields": ([{"x": 1}], 'fields: expected a list of {"name": string'),
        "inputs": ([["text"]], "inputs: expected a list of strings"),
        "format": (9, "expected format 1 or 2, which textpipe .* reads, found 9"),
    },
    "assets.extra/model.json": {
        "model": ("x", "model.json: expected an object with model and sizes"),
        "sizes": (None, "model.json: expected an object with model and sizes"),
    },
}


@pytest.mark.parametrize(("file", "key"), [(file, key) for file, keys in DAMAGED.items() for key in keys])
def test_a_damaged_description_of_a_member_is_refused_before_training(paths, tmp_path, file, key):
    member = shutil.copytree(paths["member"], tmp_path / "member")
    value, message = DAMAGED[file][key]
    tables = json.loads((member / file).read_text(encoding="utf-8"))
    (member / file).write_text(json.dumps({**tables, key: value}), encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        checked(OWN, ensemble=[str(member)])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "model.json: cannot be read .*; export or train that model again"),
        ("[]", "model.json: expected an object with model and sizes"),
        ('{"model": {"kind": "newer"}, "sizes": {}}', "model.json: unknown model 'newer'.*; train that model again"),
        ('{"model": {"kind": "pooled", "newer": 1}, "sizes": {}}', "model.json: newer: unknown key"),
    ],
)
def test_a_member_whose_model_is_unknown_or_damaged_is_named(paths, tmp_path, text, message):
    member = shutil.copytree(paths["member"], tmp_path / "member")
    (member / "assets.extra" / "model.json").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=f"ensemble: {tmp_path}.*{message}"):
        checked(OWN, ensemble=[str(member)])


def test_ensembles_that_cannot_answer_are_refused_before_training(paths, tmp_path):
    file = tmp_path / "own.toml"
    tables = {**OWN, "ingest": {"files": "rows.tsv"}, "ensemble": [str(paths["member"])]}
    file.write_text(tiny.toml({**tables, "answer": {"out_of_scope": "oos", "score": "energy"}}), encoding="utf-8")
    with pytest.raises(ConfigError, match="an ensemble averages probabilities and has no energy"):
        runner.Pipeline.load(file)
    file.write_text(tiny.toml({**tables, "task": "multi_label"}), encoding="utf-8")
    with pytest.raises(ConfigError, match=f"{file} ensemble: feed_forward answers with several labels"):
        runner.Pipeline.load(file)
    file.write_text(tiny.toml({**tables, "ensemble": ["x" * 5000]}), encoding="utf-8")
    with pytest.raises(ConfigError, match=": File name too long; check the path"):
        runner.Pipeline.load(file)


def test_classes_must_be_the_same(paths):
    members = plugins.find("answers", "label").check_members
    members([paths["member"]], plugins.find("tasks", "classify"))
    from textpipe.answers._member_settings import check_member

    task = plugins.find("tasks", "classify")
    assert check_member(paths["member"], task, ["yes", "no"]) == ["no", "yes"]
    with pytest.raises(
        ConfigError, match="expected the 2 classes of this pipeline, found 2, also 'no' and not 'maybe'"
    ):
        check_member(paths["member"], task, ["yes", "maybe"])


def test_out_of_scope_needs_probabilities(paths):
    section = Section(members=[str(paths["member"])])
    servable = Servable.load(paths, "classify", ensemble=section, answer=Answer(out_of_scope="oos", threshold=0.7))
    answered = servable.signature("serving_default")(text=tf.constant(TEXTS))
    np.testing.assert_allclose(answered["scope"], answered["probabilities"].numpy().max(axis=1), rtol=1e-6)
    with pytest.raises(ConfigError, match="averages probabilities and has no energy"):
        Servable.load(paths, "classify", ensemble=section, answer=Answer(out_of_scope="oos", score="energy"))
