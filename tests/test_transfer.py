"""Starting from the weights of another run: which are carried over, freshly initialized, or frozen."""

import json
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny

from textpipe.cache import fingerprint
from textpipe.config import plugins
from textpipe.config import sections as config
from textpipe.config.fields import Sizes
from textpipe.config.sections import Plugin
from textpipe.data.columns import Ids, Labels
from textpipe.errors import ConfigError
from textpipe.pipeline import runner
from textpipe.training import loop
from textpipe.training.batching.rows import Rows
from textpipe.training.settings import Settings
from textpipe.training.warm_start import parameters, source_weights, vocabulary_axes
from textpipe.training.warm_start.source_weights import Init, SourceWeights

MARKS = ["<pad>", "<unk>", "<s>", "</s>"]
HERE = [*MARKS, "▁the", "▁dog", "s", "▁runs", "▁cat", "▁new"]
THERE = [*MARKS, "▁cat", "▁old", "▁the", "s", "▁house", "▁car", "▁dog", "▁red"]
SMALL = {"kind": "recurrent", "units": 8, "embedding_size": 6, "attention_size": 4}


def ids(names):
    return {"kind": "ids", "vocab_size": len(names), "max_length": 12}


def of_ids(side, names):
    return {"side": side, "kind": "ids", "names": names}


def run_of(folder, model, sizes, vocabulary, seed=5):
    """A train artifact of random weights: (its folder, its weights by name)."""
    keras.utils.clear_session(free_memory=False)
    built = plugins.find("models", model["kind"]).build(Plugin.check("models", model), sizes, seed=seed)
    random = np.random.default_rng(seed)
    for weight in built.weights:
        weight.assign(random.normal(size=weight.shape))
    folder.mkdir()
    tables = sizes.tables
    (folder / "model.json").write_text(json.dumps({"model": model, "sizes": tables}))
    (folder / "vocabulary.json").write_text(json.dumps(vocabulary))
    built.save_weights(folder / "model.weights.h5")
    return folder, values(built)


def values(model):
    return {parameters.weight_name(weight): np.array(weight) for weight in model.weights}


def given(folder, model, sizes, vocabulary, only=(), seed=1):
    """(a model initialized from a run, the same model without, the report)."""
    section = Plugin.check("models", model)
    donor = SourceWeights(Init(**{"from": str(folder), "only": list(only)}), section, sizes, vocabulary)
    models = []
    for _ in range(2):
        keras.utils.clear_session(free_memory=False)
        models.append(plugins.find("models", model["kind"]).build(section, sizes, seed=seed))
    report = donor.apply(models[0])
    return values(models[0]), values(models[1]), report


def expect_rows(weight, fresh, old, here, there):
    """Rows are those of the other run if it has the piece, else freshly initialized."""
    for place, name in enumerate(here):
        expected = old[there.index(name)] if name in there else fresh[place]
        np.testing.assert_array_equal(weight[place], expected, err_msg=str(name))


def joint(names):
    return {"source": of_ids("source", names), "target": of_ids("target", names)}


@pytest.mark.parametrize(
    "model", [SMALL, {"kind": "transformer", "d_model": 8, "d_ff": 6, "num_heads": 2, "layers": 1}]
)
def test_rows_of_shared_pieces_are_carried_over_by_name_and_the_rest_is_copied(tmp_path, model):
    model = {**model, "share_embeddings": True}
    there, here = (Sizes({"source": ids(names)}, "target", ids(names)) for names in (THERE, HERE))
    folder, old = run_of(tmp_path / "run", model, there, joint(THERE))
    found, fresh, report = given(folder, model, here, joint(HERE))
    (name,) = report["carried"]
    expect_rows(found[name], fresh[name], old[name], HERE, THERE)
    assert list(report["carried"][name].values()) == [{"carried": 8, "of": 10}]
    for other in found.keys() - {name}:
        np.testing.assert_array_equal(found[other], old[other], err_msg=other)
    assert set(report["copied"]) == found.keys() - {name}
    assert report["fresh"] == []


def test_vocabularies_of_equal_size_are_distinguished(tmp_path):
    # All shapes are equal: copied by position, rows would belong to other words.
    there = list(reversed(HERE[4:]))
    sizes = Sizes({"source": ids(HERE)}, "target", ids(HERE))
    folder, old = run_of(tmp_path / "run", {**SMALL, "share_embeddings": True}, sizes, joint([*MARKS, *there]))
    found, fresh, _ = given(folder, {**SMALL, "share_embeddings": True}, sizes, joint(HERE))
    expect_rows(found["target_embedding"], fresh["target_embedding"], old["target_embedding"], HERE, [*MARKS, *there])


def test_source_target_and_softmax_weights_are_matched_by_their_own_vocabularies(tmp_path):
    model = {**SMALL, "units": 10, "tie_embeddings": False}  # ten units and ten pieces: sizes alone are ambiguous
    other, here = [*HERE[:4], "▁Hund", "▁Katze", "s"], Sizes({"source": ids(HERE)}, "target", ids(THERE))
    there = Sizes({"message": ids(THERE)}, "reply", ids(other))
    folder, old = run_of(
        tmp_path / "run", model, there, {"message": of_ids("source", THERE), "reply": of_ids("target", other)}
    )
    mine = {"source": of_ids("source", HERE), "target": of_ids("target", THERE)}
    found, fresh, report = given(folder, model, here, mine)
    assert set(report["carried"]) == {"source_embedding", "target_embedding", "output_weight"}
    expect_rows(found["source_embedding"], fresh["source_embedding"], old["source_embedding"], HERE, THERE)
    for name in ("target_embedding", "output_weight"):
        expect_rows(found[name], fresh[name], old[name], THERE, other)
        assert report["carried"][name] == {"target": {"carried": 5, "of": 12}}
    np.testing.assert_array_equal(found["encoder/forward_0/kernel"], old["encoder/forward_0/kernel"])


def test_words_and_letters_of_a_hybrid_model_are_distinguished(tmp_path):
    # "a" is a word and a letter in both runs, at different positions.
    here = ([*MARKS, "a", "dog", "runs"], ["</unk>", "\ufffd", "d", "a", "o"])
    there = ([*MARKS, "runs", "cat", "a", "old", "red"], ["</unk>", "\ufffd", "a", "c", "o", "t"])

    def side(field, words, letters):
        return {**of_ids(field, [*words, *letters]), "num_words": len(words)}

    def size(words, letters):
        return {**ids([*words, *letters]), "num_words": len(words)}

    model = {"kind": "hybrid", "units": 8, "embedding_size": 6}
    sizes = [Sizes({"source": size(*both)}, "target", size(*both)) for both in (there, here)]
    tables = [{"source": side("source", *both), "target": side("target", *both)} for both in (there, here)]
    folder, old = run_of(tmp_path / "run", model, sizes[0], tables[0])
    found, fresh, report = given(folder, model, sizes[1], tables[1])
    for name in ("source_embedding", "target_embedding"):
        expect_rows(found[name], fresh[name], old[name], here[0], there[0])
    for name in ("source_letters", "target_letters", "output_letters"):
        expect_rows(found[name], fresh[name], old[name], here[1], there[1])
    assert report["fresh"] == []


# Classifiers


def sparse(buckets, **options):
    features = {"words": [1, 2], "characters": [], "pieces": [], "punctuation": True, "num_buckets": 100, **options}
    return {"side": "source", "kind": "sparse", "features": features, "names": buckets}


def classes(*names):
    return {"side": "target", "kind": "label", "names": list(names)}


def classifier(buckets, labels, **options):
    sizes = Sizes(
        {"text": {"kind": "sparse", "dim": len(buckets)}}, "label", {"kind": "label", "classes": list(labels)}
    )
    return sizes, {"text": sparse(buckets, **options), "label": classes(*labels)}


LINEAR = {"kind": "logistic_regression"}


def test_columns_and_classes_of_a_classifier_are_carried_over_together(tmp_path):
    folder, old = run_of(tmp_path / "run", LINEAR, *classifier([3, 8, 20, 31], ["a", "b", "c"]))
    found, _, report = given(folder, LINEAR, *classifier([8, 9, 31], ["b", "c", "d", "e"]))
    expected = np.zeros((3, 4))
    expected[0, :2], expected[2, :2] = old["linear/kernel"][1, 1:], old["linear/kernel"][3, 1:]
    np.testing.assert_array_equal(found["linear/kernel"], expected.astype(np.float32))
    np.testing.assert_array_equal(found["bias"], [*old["bias"][1:], 0, 0])
    assert report["carried"]["linear/kernel"] == {"text": {"carried": 2, "of": 3}, "label": {"carried": 2, "of": 4}}


def test_the_single_logit_of_two_classes_is_carried_over_only_between_the_same_classes(tmp_path):
    folder, old = run_of(tmp_path / "run", LINEAR, *classifier([3, 8], ["no", "yes"]))
    found, _, report = given(folder, LINEAR, *classifier([8, 5], ["no", "yes"]))
    np.testing.assert_array_equal(found["linear/kernel"], [old["linear/kernel"][1], [0]])
    np.testing.assert_array_equal(found["bias"], old["bias"])
    for labels in (["no", "perhaps"], ["no", "perhaps", "yes"]):
        found, _, report = given(folder, LINEAR, *classifier([8, 5], labels))
        assert not found["linear/kernel"].any()
        assert report["fresh"] == ["linear/kernel", "bias"] or set(report["fresh"]) == {"linear/kernel", "bias"}


def test_buckets_of_other_ngrams_are_not_carried_over(tmp_path):
    folder, _ = run_of(tmp_path / "run", LINEAR, *classifier([3, 8], ["a", "b", "c"]))
    found, _, report = given(folder, LINEAR, *classifier([3, 8], ["a", "b", "c"], characters=[2, 4]))
    assert not found["linear/kernel"].any()
    assert report["fresh"] == ["linear/kernel"]
    assert report["carried"] == {"bias": {"label": {"carried": 3, "of": 3}}}


# Mismatches


def test_a_model_of_another_shape_is_refused_with_the_differences_and_a_cure(tmp_path):
    sizes = Sizes({"source": ids(HERE)}, "target", ids(HERE))
    folder, old = run_of(tmp_path / "run", SMALL, sizes, joint(HERE))
    with pytest.raises(ConfigError) as error:
        given(folder, {**SMALL, "units": 12, "layers": 2}, sizes, joint(HERE))
    message = str(error.value)
    assert "encoder/forward_0/kernel is [6, 12] there and [6, 18] here" in message
    assert message.count(" there and ") + message.count("is not there") == source_weights.MAX_SHOWN
    assert "set [model] units = 8" in message
    assert message.endswith("name the parts to take over in init.only")
    found, fresh, report = given(folder, {**SMALL, "units": 12}, sizes, joint(HERE), only=["*_embedding"])
    np.testing.assert_array_equal(found["source_embedding"], old["source_embedding"])
    np.testing.assert_array_equal(found["encoder/forward_0/kernel"], fresh["encoder/forward_0/kernel"])
    assert "encoder/forward_0/kernel" in report["fresh"]


def test_a_model_of_another_kind_is_refused(tmp_path):
    sizes, vocabulary = classifier([3, 8], ["a", "b", "c"])
    folder, _ = run_of(tmp_path / "run", LINEAR, sizes, vocabulary)
    with pytest.raises(ConfigError, match="expected a model of kind 'feed_forward', found 'logistic_regression'"):
        given(folder, {"kind": "feed_forward"}, sizes, vocabulary)


def test_a_path_without_a_run_is_refused_with_what_is_expected(tmp_path):
    with pytest.raises(ConfigError, match="nowhere: expected a train artifact.*found no such folder; check the path"):
        source_weights.locate(Init(**{"from": str(tmp_path / "nowhere")}))
    with pytest.raises(ConfigError, match="found no model.json in it"):
        source_weights.locate(Init(**{"from": str(tmp_path)}))


def test_the_latest_run_of_a_pipeline_and_version_of_a_model_are_found(tmp_path):
    artifact = tmp_path / "train" / "abc"
    for folder, names in (
        (artifact, ("model.json", "vocabulary.json", "model.weights.h5")),
        (tmp_path / "latest" / "mine", ()),
        *((tmp_path / "models" / version / "variables", ("variables.index",)) for version in ("9", "10")),
        *(
            (tmp_path / "models" / version / "assets.extra", ("model.json", "vocabulary.json"))
            for version in ("9", "10")
        ),
    ):
        folder.mkdir(parents=True)
        for name in names:
            (folder / name).touch()
    for version in ("9", "10"):
        (tmp_path / "models" / version / "saved_model.pb").touch()
    (tmp_path / "latest" / "mine" / "train.json").write_text('{"path": "abc"}')
    assert (
        source_weights.locate(Init(**{"from": str(tmp_path / "latest" / "mine")})).weights
        == artifact / "model.weights.h5"
    )
    origin = source_weights.locate(Init(**{"from": str(tmp_path / "models")}))
    assert origin.weights == tmp_path / "models" / "10" / "variables"
    assert [path.name for path in origin.files] == ["model.json", "vocabulary.json", "variables.index"]


# Freezing


def trained(model, rows):
    before = values(model)
    settings = Settings(epochs=2, num_shapes=1, optimizer={"kind": "adam", "learning_rate": 0.05})
    loop.fit(model, {"train": rows}, settings)
    after = values(model)
    return {name for name in before if np.array_equal(before[name], after[name])}


def generator_rows():
    random = np.random.default_rng(0)
    lists = [[*random.integers(4, 10, size=random.integers(1, 6)), 3] for _ in range(40)]
    return Rows({"source": Ids.from_lists(lists)}, Ids.from_lists(lists))


def test_frozen_parts_keep_their_weights_and_others_change():
    sizes = Sizes({"source": ids(HERE)}, "target", ids(HERE))
    model = plugins.find("models", "recurrent").build(Plugin.check("models", SMALL), sizes, seed=1)
    names = list(values(model))
    frozen = parameters.freeze(model, ["encoder", "target_embedding", "decoder/*/bias"])
    expected = {name for name in names if name.startswith("encoder/") or name == "target_embedding"}
    expected |= {
        name for name in names if name.startswith("decoder/") and name.endswith("/bias") and name.count("/") == 2
    }
    assert set(frozen) == expected
    assert trained(model, generator_rows()) == expected


def test_frozen_batch_normalization_keeps_its_averages():
    sizes = Sizes({"text": ids(HERE)}, "label", {"kind": "label", "classes": ["a", "b", "c"]})
    section = Plugin.check(
        "models", {"kind": "feed_forward", "units": [4, 4], "embedding": 3, "normalization": "batch"}
    )
    keras.utils.clear_session(free_memory=False)
    model = plugins.find("models", "feed_forward").build(section, sizes, seed=1)
    names = list(values(model))
    first = next(name.split("/")[0] for name in names if "moving_mean" in name)
    frozen = parameters.freeze(model, [first])
    assert any("moving_mean" in name for name in frozen)
    rows = generator_rows()
    kept = trained(
        model,
        Rows({"source": rows.inputs["source"]}, Labels([length % 3 for length in rows.inputs["source"].lengths], 3)),
    )
    assert kept == set(frozen)


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("encodr", r"freeze 'encodr': no weight has such a name; did you mean 'encoder'\?"),
        ("nothing_like_it_at_all", "no weight has such a name; the model has .*encoder, decoder"),
        ("*", "every weight of the model is frozen"),
    ],
)
def test_parts_that_do_not_exist_are_refused_with_those_that_do(pattern, message):
    sizes = Sizes({"source": ids(HERE)}, "target", ids(HERE))
    model = plugins.find("models", "recurrent").build(Plugin.check("models", SMALL), sizes, seed=1)
    with pytest.raises(ConfigError, match=message):
        parameters.freeze(model, [pattern])


# Through the stages


def exported(artifact, folder):
    """The parts of an exported model that a run starts from; tests/test_export.py has a complete one."""
    held = tf.Module()
    held.weights = [weight.value for weight in rebuilt(artifact).weights]
    tf.saved_model.save(held, str(folder))
    (folder / "assets.extra").mkdir()
    for name in ("model.json", "vocabulary.json"):
        shutil.copy(artifact / name, folder / "assets.extra")
    return folder


def second(generator, folder, origin, **options):
    """The train stage on the rows of the first pipeline with another vocabulary size, started from the first."""
    tables = {**tiny.GENERATOR, "tokenize": {"codec": {"kind": "bpe", "vocab_size": 305}}}
    tables = {**tables, "train": {**tables["train"], "init": {"from": str(origin)}, **options}}
    configs = {stage: plugins.find("stages", stage).Config for stage in runner.ORDER}
    sections = config.check("second.toml", configs, {**tables, "ingest": {"files": "rows.tsv"}})
    outputs = {stage: generator[stage] for stage in ("ingest", "normalize")}
    for stage in ("tokenize", "vectorize", "train"):
        module = plugins.find("stages", stage)
        (folder / stage).mkdir(parents=True)
        module.run(sections[stage], {name: outputs[name] for name in module.INPUTS}, folder / stage)
        outputs[stage] = folder / stage
    return sections["train"], outputs["train"]


def test_a_pipeline_starts_from_an_artifact_or_an_exported_model_and_reports_it(generator, tmp_path):
    section, artifact = second(generator, tmp_path / "a", generator["train"], freeze=["*_embedding", "encoder"])
    report = json.loads((artifact / "train.json").read_text())
    assert report["init"]["from"] == str(generator["train"])
    assert report["frozen"] == sorted(name for name in report["frozen"] if "embedding" in name or "encoder" in name)
    counts = report["init"]["carried"]["target_embedding"]["target"]
    assert 250 < counts["carried"] < counts["of"]
    # Frozen weights equal those of the other run, row by row, by the pieces of both vocabularies.
    names = [
        json.loads((run / "vocabulary.json").read_text())["target"]["names"] for run in (generator["train"], artifact)
    ]
    there, here = (values(rebuilt(run))["target_embedding"] for run in (generator["train"], artifact))
    both = [name for name in names[1] if name in names[0]]
    assert len(both) == counts["carried"]
    for name in both:
        np.testing.assert_array_equal(here[names[1].index(name)], there[names[0].index(name)])
    assert section.extra_files() == [
        generator["train"] / name for name in ("model.json", "vocabulary.json", "model.weights.h5")
    ]
    _, other = second(
        generator, tmp_path / "b", exported(generator["train"], tmp_path / "1"), freeze=["*_embedding", "encoder"]
    )
    assert (other / "model.weights.h5").read_bytes() == (artifact / "model.weights.h5").read_bytes()


def rebuilt(artifact):
    """The model of a train artifact."""
    described = json.loads((artifact / "model.json").read_text())
    sizes = Sizes.from_tables(described["sizes"], plugins.find("tasks", "translate").FIELDS)
    model = vocabulary_axes.build_model(Plugin.check("models", described["model"]), sizes)
    model.load_weights(artifact / "model.weights.h5")
    return model


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"init": {"form": "x"}}, r"init.form: unknown key; did you mean 'from'"),
        ({"init": {"only": ["encoder"]}}, r"init.from: is required"),
        ({"freeze": ["a"], "optimizer": "lbfgs"}, "freeze: lbfgs minimizes one function of all weights; set optimizer"),
    ],
)
def test_mistakes_in_the_file_are_reported_with_their_place(options, message):
    configs = {stage: plugins.find("stages", stage).Config for stage in runner.ORDER}
    tables = {**tiny.GENERATOR, "ingest": {"files": "rows.tsv"}, "train": options}
    with pytest.raises(ConfigError, match=message):
        config.check("mine.toml", configs, tables)


def test_the_files_of_the_other_run_are_part_of_the_cache_key(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    for name in ("model.json", "vocabulary.json", "model.weights.h5"):
        (folder / name).write_text("{}")
    module = plugins.find("stages", "train")
    section = module.Config(task="translate", model="recurrent", init={"from": str(folder)})

    def key():
        return fingerprint.key(fingerprint.compute("train", module.__name__, section, {}, []))

    before = key()
    (folder / "logs").mkdir()
    (folder / "logs" / "curve").write_text("other times")  # not read, so not counted
    assert key() == before
    (folder / "model.weights.h5").write_text("others")
    assert key() != before
