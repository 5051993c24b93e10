"""Ensembles: compared with NumPy and with enumeration, and run through the stages of a pipeline."""

import json
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny
from test_beam import Table, compare, every_answer, sources

from textpipe.cache import fingerprint
from textpipe.config import plugins
from textpipe.config import sections as configs
from textpipe.config.fields import Sizes
from textpipe.config.sections import Plugin
from textpipe.decoding import beam
from textpipe.errors import ConfigError
from textpipe.nets.ensemble import Ensemble
from textpipe.pipeline import runner
from textpipe.servable.ensemble import Ensemble as Section
from textpipe.servable.graph import Servable

KINDS = [
    {"kind": "recurrent", "units": 6, "embedding_size": 4, "attention_size": 5},
    {"kind": "transformer", "d_model": 8, "num_heads": 2, "d_ff": 12, "layers": 1},
    {"kind": "recurrent", "units": 6, "embedding_size": 4, "attention": "none", "cell": "lstm"},
]


def built(options, seed):
    ids = {"kind": "ids", "vocab_size": 13, "max_length": 20}
    section = Plugin.check("models", options)
    model = plugins.find("models", section.kind).build(section, Sizes({"source": ids}, "target", ids), seed=seed)
    random = np.random.default_rng(seed)
    for variable in model.trainable_variables:
        variable.assign(variable.numpy() + random.normal(scale=0.4, size=variable.shape))
    return model


@pytest.fixture(scope="module")
def members():
    return [built(options, seed) for seed, options in enumerate(KINDS)]


SOURCE = np.array([[5, 6, 7, 3], [9, 3, 0, 0]], np.int32)
TARGET_IN = np.array([[2, 5, 6, 8], [2, 9, 4, 7]], np.int32)


def probabilities(model, source, target_in):
    logits = model({"source": source}, target_in, training=False).numpy().astype("float64")
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def test_probabilities_are_the_mean_over_the_members(members):
    each = np.stack([probabilities(member, SOURCE, TARGET_IN) for member in members])
    found = np.exp(Ensemble(members)({"source": SOURCE}, TARGET_IN).numpy())
    np.testing.assert_allclose(found, each.mean(axis=0), rtol=2e-5)
    assert np.abs(each[0] - each[1]).max() > 0.1

    geometric = np.exp(np.log(each).mean(axis=0))
    geometric /= geometric.sum(axis=-1, keepdims=True)
    found = np.exp(Ensemble(members, mean="geometric")({"source": SOURCE}, TARGET_IN).numpy())
    np.testing.assert_allclose(found, geometric, rtol=2e-5)


@pytest.mark.parametrize("mean", ["arithmetic", "geometric"])
def test_steps_equal_a_full_call(members, mean):
    model = Ensemble(members, mean=mean)
    expected = model({"source": SOURCE}, TARGET_IN)
    state = model.start(model.encode({"source": SOURCE}))
    for place in range(TARGET_IN.shape[1]):
        logits, state, attention = model.step(state, TARGET_IN[:, place])
        np.testing.assert_allclose(logits, expected[:, place], atol=1e-5)
        np.testing.assert_allclose(tf.reduce_sum(attention, axis=1), 1, atol=1e-5)
        assert not attention[1, 2:].numpy().any()


def test_an_ensemble_of_one_model_equals_the_model(members):
    source = tf.constant(SOURCE)
    options = beam.Config(beam_size=3, max_length=6)
    for member in members:
        found = beam.decode(Ensemble([member]), {"source": source}, options)
        for name, values in beam.decode(member, {"source": source}, options).items():
            np.testing.assert_allclose(found[name], values, atol=2e-5, err_msg=f"{member.name} {name}")


def test_a_wide_beam_over_an_ensemble_equals_enumeration_under_the_mean():
    class Member(Table, keras.layers.Layer):
        def __init__(self, seed):
            keras.layers.Layer.__init__(self)
            Table.__init__(self, seed)

    tables = [Member(seed) for seed in (0, 1, 2)]
    mean = Table(0)
    softmax = [np.exp(one.logits) / np.exp(one.logits).sum(axis=-1, keepdims=True) for one in tables]
    mean.logits = np.log(np.mean(softmax, axis=0))
    found = beam.decode(Ensemble(tables), {"source": sources(5, 6)}, beam.Config(beam_size=125, max_length=4))
    for row, first in enumerate((5, 6)):
        compare(found, row, every_answer(mean, first, 4, 1.0)[:125])


TABLES = {
    **tiny.GENERATOR,
    "train": {**tiny.GENERATOR["train"], "max_steps": 3},
    "decode": {"kind": "greedy", "max_length": 4},
    "evaluate": {"resamples": 0},
    "export": {"golden_rows": 4, "warmup_rows": 0},
}
TRANSFORMER = {"kind": "transformer", "d_model": 8, "num_heads": 2, "d_ff": 16, "layers": 1}


def checked(tables, **more):
    modules = {stage: plugins.find("stages", stage).Config for stage in runner.ORDER}
    return configs.check("tiny.toml", modules, {**tables, "ingest": {"files": "rows.tsv"}, **more})


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    """A pipeline up to its trained model, and two more members with the same vocabulary: another seed, another kind."""
    folder = tmp_path_factory.mktemp("ensemble")
    outputs = tiny.build(folder / "built", TABLES, tiny.generator_rows(folder / "rows.tsv"), until="train")
    stage = plugins.find("stages", "train")
    for name, tables in (("seed", {**TABLES, "seed": 2}), ("kind", {**TABLES, "model": TRANSFORMER})):
        outputs[name] = folder / name
        outputs[name].mkdir()
        stage.run(checked(tables)["train"], {stage: outputs[stage] for stage in stage.INPUTS}, outputs[name])
    return outputs


def test_a_pipeline_evaluates_and_exports_its_ensemble(paths, tmp_path):
    members = [str(paths["kind"]), str(paths["train"] / "model.weights.h5")]
    sections = checked(TABLES, ensemble=members)
    outputs = dict(paths)
    for name in ("evaluate", "export"):
        stage, outputs[name] = plugins.find("stages", name), tmp_path / name
        outputs[name].mkdir()
        stage.run(sections[name], {needed: outputs[needed] for needed in stage.INPUTS}, outputs[name])
    about = json.loads((outputs["export"] / "model" / "textpipe.json").read_text(encoding="utf-8"))
    assert about["ensemble"]["members"] == members
    assert [table["kind"] for table in about["ensemble"]["models"]] == ["transformer", "recurrent"]

    # The saved graph scores an answer with the mean over its members, each loaded separately.
    loaded = tf.saved_model.load(str(outputs["export"] / "model"))
    text, answer = tf.constant(["the old dog 5 is red"]), tf.constant(["der Hund 5 ist rot"])
    scored = loaded.signatures["score"](source=text, target=answer)
    each = []
    for train in (paths["train"], paths["kind"], paths["train"]):
        alone = Servable.load({**paths, "train": train}, "translate")
        each.append(np.exp(alone.signature("score")(source=text, target=answer)["log_probs"].numpy()))
    np.testing.assert_allclose(np.exp(scored["log_probs"]), np.mean(each, axis=0), rtol=2e-4)
    assert np.abs(each[0] - each[1]).max() > 1e-4


def test_results_depend_on_the_members_files_and_code(paths, tmp_path):
    member = tmp_path / "member"
    shutil.copytree(paths["kind"], member)

    def of(section):
        return fingerprint.compute("export", "textpipe.stages.export", section, {}, [])

    section = checked(TABLES, ensemble=[str(member)])["export"]
    before = of(section)
    assert "textpipe.models.transformer" in before["code"]
    assert "textpipe.models.transformer" not in of(checked(TABLES)["export"])["code"]
    weights = member / "model.weights.h5"
    weights.write_bytes(weights.read_bytes() + b"\0")
    assert fingerprint.changes(before, of(section)) == [f"files {weights}"]
    assert fingerprint.changes(
        before, of(checked(TABLES, ensemble={"members": [str(member)], "mean": "geometric"})["export"])
    )


def test_invalid_members_are_rejected(paths, tmp_path):
    with pytest.raises(ConfigError, match="ensemble.*/absent: expected a train artifact"):
        checked(TABLES, ensemble=["/absent"])
    with pytest.raises(ConfigError, match="expected a list of trained models"):
        checked(TABLES, ensemble=[])
    with pytest.raises(ConfigError, match="did you mean 'mean'"):
        checked(TABLES, ensemble={"members": [str(paths["seed"])], "means": "geometric"})
    other = tmp_path / "other"
    shutil.copytree(paths["seed"], other)
    vocabulary = json.loads((other / "vocabulary.json").read_text(encoding="utf-8"))
    names = vocabulary["target"]["names"]
    names[5], names[6] = names[6], names[5]
    (other / "vocabulary.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    with pytest.raises(ConfigError, match="expected the target vocabulary of this pipeline's model, found another"):
        Servable.load(paths, "translate", ensemble=Section(members=[str(other)]))
