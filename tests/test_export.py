"""Evaluate and export: the exported model answers like training-side code, also in TensorFlow's tools."""

import json
import math
import re
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest
import sklearn.metrics
import tensorflow as tf
import tiny
from click.testing import CliRunner
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from tensorflow.core.framework import tensor_pb2

from textpipe.answers import text as text_answers
from textpipe.commands import predict
from textpipe.config import plugins
from textpipe.config import sections as config
from textpipe.data import shards
from textpipe.errors import ConfigError, ModelError, ThresholdError
from textpipe.savedmodel import batching, loader, manifest, publish, warmup
from textpipe.savedmodel.loader import Model
from textpipe.servable import writer
from textpipe.servable.graph import Servable
from textpipe.stages import _golden, evaluate, export


@pytest.fixture(scope="module")
def published(classifier, tmp_path_factory):
    return publish.publish(classifier["export"] / "model", tmp_path_factory.mktemp("saved_models") / "mail")


def report(paths):
    return json.loads((paths["evaluate"] / "metrics.json").read_text(encoding="utf-8"))


def predictions(paths):
    return [
        json.loads(line) for line in (paths["evaluate"] / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
    ]


def golden(paths):
    return [json.loads(line) for line in (paths["export"] / "model" / loader.GOLDEN).read_text().splitlines()]


def section(tables, stage, **options):
    sections = config.check("t", {stage: plugins.find("stages", stage).Config}, {
        "task": tables["task"], **({"decode": tables["decode"]} if "decode" in tables else {}), stage: options
    })  # fmt: skip
    return sections[stage]


# evaluate


def test_rows_with_the_same_source_are_answered_once_with_all_their_targets():
    rows = {"row": [3, 4, 5, 6], "en": ["Go.", "Go.", "Stop!", "Go."], "fr": ["Va !", "Allez !", "Arrête !", "Va !"]}
    first, references = evaluate.group_by_source(rows, ("en",), "fr", None)
    assert first == {"row": [3, 5], "en": ["Go.", "Stop!"], "fr": ["Va !", "Arrête !"]}
    assert references == [["Va !", "Allez !"], ["Arrête !"]]
    assert evaluate.group_by_source(rows, ("en",), "fr", 1)[1] == [["Va !", "Allez !"]]


def test_predictions_are_the_test_rows_in_their_order(classifier):
    batches = list(shards.read(classifier["ingest"], "test"))
    rows = [row for batch in batches for row in batch.to_pylist()]
    found = predictions(classifier)
    assert [{name: line[name] for name in ("row", "text", "label")} for line in found] == rows
    for line in found:
        assert line["score"] == max(line["probabilities"].values()) == line["probabilities"][line["answer"]]


def test_reported_metrics_match_the_predictions(classifier, generator):
    found, lines = report(classifier), predictions(classifier)
    references, answers = [line["label"] for line in lines], [line["answer"] for line in lines]
    assert found["rows"] == len(lines) > 10 and found["split"] == "test"
    assert found["metrics"]["accuracy"] == pytest.approx(sklearn.metrics.accuracy_score(references, answers))
    scores = [line["probabilities"]["yes"] for line in lines]
    assert found["metrics"]["roc_auc"] == pytest.approx(
        sklearn.metrics.roc_auc_score([r == "yes" for r in references], scores)
    )
    assert found["confusion"] == sklearn.metrics.confusion_matrix(references, answers, labels=["no", "yes"]).tolist()
    found, lines = report(generator), predictions(generator)
    equal = [line["answer"] == line["target"] for line in lines]
    assert found["metrics"]["exact_match"] == pytest.approx(np.mean(equal))
    assert set(found["metrics"]) == set(plugins.find("tasks", "translate").METRICS)


def test_perplexity_equals_a_token_by_token_computation(generator):
    # Independent: one row at a time, without padding, the softmax in NumPy's float64.
    servable = Servable.load(generator, "translate")
    nats, tokens = 0, 0
    lines = predictions(generator)[:5]
    for line in lines:
        source = servable.encode("source", tf.constant([line["source"]]))
        ids = servable.encode("target", tf.constant([line["target"]])).numpy()
        forced = tf.constant(np.concatenate([[[2]], ids[:, :-1]], axis=1), tf.int32)
        logits = servable.model({"source": source}, forced, training=False).numpy().astype(np.float64)[0]
        logs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        nats -= logs[np.arange(ids.size), ids[0]].sum()
        tokens += ids.size
    figures, note = text_answers.reference_perplexity(
        servable, [line["source"] for line in lines], [line["target"] for line in lines], 3
    )
    assert figures == {"perplexity": pytest.approx(math.exp(nats / tokens), rel=1e-4)}
    assert f"over {tokens} tokens" in note


def test_rows_with_words_unseen_in_training_are_counted_and_scored(classifier):
    known = set()
    for batch in shards.read(classifier["ingest"], "train"):
        for text in batch.column("text").to_pylist():
            known |= set(text.lower().split())
    lines = [line for line in predictions(classifier) if set(line["text"].lower().split()) - known]
    found = report(classifier)["unseen_words"]
    assert 0 < found["rows"] == len(lines) < report(classifier)["rows"]
    assert found["metrics"]["accuracy"] == pytest.approx(np.mean([line["answer"] == line["label"] for line in lines]))


def test_a_missed_threshold_is_reported_with_all_metrics(classifier):
    limits = {"accuracy": 1.01, "log_loss": 0.0001, "recall": 0.0}  # a pipeline file cannot ask for 1.01
    config = section(tiny.CLASSIFIER, "evaluate").model_copy(update={"require": limits})
    with pytest.raises(ThresholdError) as caught:
        evaluate.check_thresholds(config, classifier["evaluate"])
    message = str(caught.value)
    figures = report(classifier)["metrics"]
    assert f"accuracy at least 1.01, found {figures['accuracy']:.4g}" in message
    assert "log_loss at most 0.0001" in message and "recall at least" not in message
    assert all(f"{name} {value:.4g}" in message for name, value in figures.items())
    evaluate.check_thresholds(section(tiny.CLASSIFIER, "evaluate", require={"recall": 0.0}), classifier["evaluate"])


def test_a_threshold_on_an_unknown_metric_is_rejected_before_anything_runs():
    with pytest.raises(
        ConfigError, match=r"\[evaluate\]:? require: classify has no metric 'acuracy'; did you mean 'accuracy'"
    ):
        section(tiny.CLASSIFIER, "evaluate", require={"acuracy": 0.9})


@pytest.mark.parametrize(
    ("task", "limits", "expectation"),
    [
        ("classify", {"accuracy": 1.5}, "require.accuracy: expected a number from 0 to 1, found 1.5"),
        ("classify", {"log_loss": -0.1}, "require.log_loss: expected a number of at least 0, found -0.1"),
        ("multi_label", {"f1_micro": 80}, "require.f1_micro: expected a number from 0 to 1, found 80"),
        ("qa", {"error": -1}, "require.error: expected a number from 0 to 1, found -1"),
        ("table_qa", {"accuracy": 36}, "require.accuracy: expected a number from 0 to 1, found 36"),
        ("translate", {"bleu": 101}, "require.bleu: expected a number from 0 to 100, found 101"),
        ("reply", {"perplexity": 0.5}, "require.perplexity: expected a number of at least 1, found 0.5"),
        ("caption", {"exact_match": 50}, "require.exact_match: expected a number from 0 to 1, found 50"),
        ("suggest", {"mrr": 20}, "require.mrr: expected a number from 0 to 1, found 20"),
        ("pretrain", {"token_accuracy": 2}, "require.token_accuracy: expected a number from 0 to 1, found 2"),
    ],
)
def test_a_threshold_that_no_model_can_reach_is_rejected_with_the_range(task, limits, expectation):
    with pytest.raises(ValueError, match=re.escape(expectation) + ", which no model can reach"):
        evaluate.Config(task=task, require=limits)


@pytest.mark.parametrize("task", plugins.names("tasks"))
def test_the_extremes_of_each_metric_may_be_required(task):
    module = plugins.find("tasks", task)
    assert set(module.RANGES) == set(module.METRICS)
    extremes = {name: min(module.RANGES[name][direction == "max"], 1e9) for name, direction in module.METRICS.items()}
    assert evaluate.Config(task=task, require=extremes).require == extremes


def test_limit_and_split_select_the_rows(classifier, tmp_path):
    evaluate.run(section(tiny.CLASSIFIER, "evaluate", limit=7, split="valid", resamples=5), classifier, tmp_path)
    found = json.loads((tmp_path / "metrics.json").read_text())
    assert (found["rows"], found["split"]) == (7, "valid")
    first = next(shards.read(classifier["ingest"], "valid")).column("text").to_pylist()[:7]
    lines = (tmp_path / "predictions.jsonl").read_text().splitlines()
    assert [json.loads(line)["text"] for line in lines] == first
    assert "7 valid rows" in evaluate.summary(tmp_path) and "accuracy" in evaluate.summary(tmp_path)


# export


def test_golden_rows_are_many_and_include_the_awkward_ones(classifier, generator):
    for paths in (classifier, generator):
        rows = golden(paths)
        assert len(rows) >= 200 + len(_golden.AWKWARD)
        assert {text for row in rows for text in row["raw"].values()} >= set(_golden.AWKWARD)
        assert {row["origin"].split()[0] for row in rows} == {"awkward", "test", "valid", "train"}
        assert "golden rows replayed" in export.summary(paths["export"])


def test_a_model_that_answers_unlike_training_is_rejected(classifier, tmp_path):
    # Change the golden rows instead of the model, each of five in a different way.
    model = shutil.copytree(classifier["export"] / "model", tmp_path / "model")
    rows = golden(classifier)
    chosen = [row for row in rows if row["origin"].startswith("test")][:5]
    answer, score, values, indices, given = chosen
    answer["texts"][0] = "not this"
    score["scores"][0] *= 1.0001
    values["features"]["text"]["values"] = [value + 0.01 for value in values["features"]["text"]["values"]]
    indices["features"]["text"]["indices"] = [index + 1 for index in indices["features"]["text"]["indices"]]
    given["log_prob"] *= 1.0001
    (model / loader.GOLDEN).write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(ModelError, match="training-side code differ; nothing is published") as caught:
        export.replay(model)
    assert [line.strip().split(":")[0] for line in str(caught.value).splitlines()[1:]] == [
        f"row {rows.index(row) + 1} {row['raw']['text']!r}" for row in sorted(chosen, key=rows.index)
    ]
    for words in ("gave 'not this'", "score 0.", "feature values [", "feature indices [", "log-probability -0."):
        assert str(caught.value).count(words) == 1


def test_export_is_byte_reproducible_regardless_of_the_process_state(classifier, generator, tmp_path):
    tf.function(lambda x: x + 1)(tf.constant(1))  # advances the counters TensorFlow names functions by
    inputs = {stage: classifier[stage] for stage in export.INPUTS}
    export.run(section(tiny.CLASSIFIER, "export"), inputs, tmp_path / "classifier")
    files = manifest.read(tmp_path / "classifier" / "model")
    assert files == manifest.read(classifier["export"] / "model")
    assert set(files) >= {
        "saved_model.pb",
        "variables/variables.index",
        "textpipe.json",
        warmup.FILE,
        loader.GOLDEN,
    }
    keras.utils.clear_session(free_memory=False)
    again = Servable.load(generator, "translate", section(tiny.GENERATOR, "export").decode)
    writer.save(again, tmp_path / "generator")
    for path in [path for path in (tmp_path / "generator").rglob("*") if path.is_file()]:
        first = generator["export"] / "model" / path.relative_to(tmp_path / "generator")
        assert path.read_bytes() == first.read_bytes(), path.name


def test_textpipe_json_describes_the_model(classifier, generator):
    about = loader.read_about(classifier["export"] / "model")
    assert about["task"] == "classify" and about["labels"] == ["no", "yes"] and about["inputs"] == ["text"]
    assert about["signatures"]["serving_default"] == {
        "inputs": {"text": {"kind": "text", "dtype": "string", "shape": [None]}},
        "outputs": ["answer", "labels", "probabilities", "score"],
        "gives": "answer", "method": "predict", "mergeable": True, "follows": None, "search": None,
    }  # fmt: skip
    classify = about["signatures"]["classify"]
    assert (list(classify["inputs"]), classify["outputs"]) == (["inputs"], ["classes", "scores"])
    assert (classify["inputs"]["inputs"]["kind"], classify["method"]) == ("examples", "classify")
    assert about["view"] == {"kind": "bars", "signature": "serving_default", "attention": None}
    assert about["evaluation"]["metrics"] == report(classifier)["metrics"]
    about = loader.read_about(generator["export"] / "model")
    assert about["decode"]["beam_size"] == 3 and about["labels"] is None
    assert about["view"] == {"kind": "texts", "signature": "nbest", "attention": "attention"}
    assert about["signatures"]["advance"]["follows"] == "begin"
    assert about["signatures"]["options"]["inputs"]["beam_size"] == {"kind": "option", "dtype": "int32", "shape": []}
    assert about["signatures"]["options"]["inputs"]["deadline"]["kind"] == "deadline"
    assert about["signatures"]["attention"]["outputs"] == ["alignment", "source_tokens", "target_tokens", "weights"]


def prediction_log():
    """PredictionLog as in TensorFlow Serving's .proto files, reduced to the fields used here."""
    file = descriptor_pb2.FileDescriptorProto(name="p.proto", package="p", syntax="proto3")
    types = descriptor_pb2.FieldDescriptorProto
    for name, fields in {
        "ModelSpec": [("name", 1, types.TYPE_STRING), ("signature_name", 3, types.TYPE_STRING)],
        "Entry": [("key", 1, types.TYPE_STRING), ("value", 2, types.TYPE_BYTES)],
        "PredictRequest": [("model_spec", 1, ".p.ModelSpec"), ("inputs", 2, ".p.Entry")],
        "PredictLog": [("request", 1, ".p.PredictRequest")],
        "PredictionLog": [("predict_log", 6, ".p.PredictLog")],
    }.items():
        message = file.message_type.add(name=name)
        for field, number, kind in fields:
            repeated = types.LABEL_REPEATED if field == "inputs" else types.LABEL_OPTIONAL
            added = message.field.add(name=field, number=number, label=repeated)
            if isinstance(kind, str):
                added.type, added.type_name = types.TYPE_MESSAGE, kind
            else:
                added.type = kind
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("p.PredictionLog"))


def test_the_model_answers_its_warm_up_requests(classifier):
    folder = classifier["export"] / "model"
    kind, model = prediction_log(), Model.load(folder)
    records = [record.numpy() for record in tf.data.TFRecordDataset(str(folder / warmup.FILE))]
    assert 0 < len(records) <= warmup.LIMIT
    rows = []
    for record in records:
        log = kind.FromString(record)
        assert log.SerializeToString() == record  # no undeclared fields
        request = log.predict_log.request
        (entry,) = request.inputs
        tensor = tf.make_ndarray(tensor_pb2.TensorProto.FromString(entry.value))
        found = model.signatures[request.model_spec.signature_name](**{entry.key: tf.constant(tensor)})
        rows.append(found["answer"].shape[0])
    assert rows == [1] * 16 + [16]


# saved_model_cli has no option to load an op library.
TOOL = "import tensorflow_text; from tensorflow.python.tools import saved_model_cli; saved_model_cli.main()"


def test_saved_model_cli_gives_the_answers_of_predict(classifier, generator, tmp_path):
    texts = ["could you send the plan 5", "thank you for the Grüße 7"]
    runs = {
        "mail": (classifier, "serving_default", ["--input_exprs", f"text={texts!r}"], texts),
        "phrases": (generator, "nbest", ["--input_exprs", "source=['the dog 5 is red']"], ["the dog 5 is red"]),
    }
    tools = []
    for name, (paths, signature, inputs, _) in runs.items():
        place = ["--dir", str(paths["export"] / "model"), "--tag_set", "serve", "--outdir", str(tmp_path / name)]
        command = [sys.executable, "-c", TOOL, "run", *place, "--signature_def", signature, *inputs]
        tools.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
    for tool in tools:
        said, _ = tool.communicate()
        assert tool.returncode == 0, said
    for name, (paths, signature, _, rows) in runs.items():
        expected = Model.load(paths["export"] / "model").predict(rows, signature=signature)
        for output in expected[0]:
            found = np.load(tmp_path / name / f"{output}.npy", allow_pickle=True)
            if found.dtype.kind == "f":
                np.testing.assert_allclose(found, [row[output] for row in expected], rtol=1e-5)
            else:
                assert [batching.to_python(value) for value in found] == [row[output] for row in expected]


# loading


def test_a_published_model_answers_as_the_servable_it_came_from(classifier, published):
    texts = [line["text"] for line in predictions(classifier)]
    model = Model.load(published.parent)
    assert (model.path, model.name, model.version, model.fields) == (published, "mail", "1", ("text",))
    found = model.predict(texts, batch_rows=7)
    for row, line in zip(found, predictions(classifier), strict=True):
        assert row["answer"] == line["answer"] and row["labels"] == ["no", "yes"]
        assert row["score"] == pytest.approx(line["score"], rel=1e-5)
    assert model.predict([{"text": text} for text in texts], batch_rows=7) == found
    assert model.predict([]) == []


def test_every_signature_takes_rows(published):
    model = Model.load(published)
    (default,) = model.predict(["could you send the plan"])
    (classified,) = model.predict(["could you send the plan"], signature="classify")
    assert classified == {"classes": default["labels"], "scores": default["probabilities"]}
    (features,) = model.predict(["could you send the plan"], signature="features")
    assert len(features["indices"]) == len(features["values"]) > 5


def test_omitted_options_have_the_values_of_the_pipeline_and_given_ones_apply(generator):
    model = Model.load(generator["export"] / "model")
    assert model.option_defaults() == {
        "beam_size": 3, "length_penalty": 1.0, "coverage_penalty": 0.0, "patience": 0.0, "max_length": 8,
        "max_ratio": 0.0, "max_extra": 10, "min_length": 1, "prefix": "",
    }  # fmt: skip
    texts = ["the dog 5 is red", "the old house", ""]
    assert model.predict(texts, signature="options") == model.predict(texts, signature="nbest")
    wide = model.predict(texts, signature="nbest", options={"beam_size": "6", "max_length": 3})
    assert [len(row["texts"]) for row in wide] == [6, 6, 6]
    first = model.predict(texts, options={"beam_size": 6, "max_length": 3.0})
    assert first == [{"answer": row["texts"][0], "score": row["scores"][0]} for row in wide]
    begun = model.predict(texts, options={"prefix": "das Auto"})
    assert all(row["answer"].startswith("das Auto") for row in begun)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"beam_sise": 3}, "no option 'beam_sise'; did you mean 'beam_size'"),
        ({"beam_size": "3.5"}, "option beam_size expects a whole number, found '3.5'"),
        ({"length_penalty": "high"}, "option length_penalty expects a number, found 'high'"),
        ({"length_penalty": "nan"}, "option length_penalty expects a number, found 'nan'"),
        ({"beam_size": 0}, "option beam_size must be at least 1, found 0$"),
        ({"max_length": True}, "option max_length expects a whole number, found True"),
    ],
)
def test_impossible_options_are_refused(generator, options, words):
    model = Model.load(generator["export"] / "model")
    with pytest.raises(ModelError, match=words):
        model.predict(["the dog"], options=options)


def test_predict_takes_options_on_the_command_line(generator):
    model = generator["export"] / "model"
    runner, command = CliRunner(), predict.command
    done = runner.invoke(
        command, [str(model), "the dog 5 is red", "--option", "beam_size=2", "--option", "max_length=3"]
    )
    (expected,) = Model.load(model).predict(["the dog 5 is red"], options={"beam_size": 2, "max_length": 3})
    assert done.exit_code == 0 and done.stdout == f"{expected['answer']}\t{expected['score']:.6g}\n"
    for given, words in {
        "beam_sise=2": "no option 'beam_sise'; did you mean 'beam_size'?",
        "beam_size": "--option beam_size: expected name=value, for example --option beam_size=3",
        "beam_size=two": "option beam_size expects a whole number, found 'two'",
    }.items():
        failed = runner.invoke(command, [str(model), "the dog", "--option", given]).exception
        assert words in str(failed) and failed.exit_code == 2


def test_a_classifier_and_the_attention_take_no_options(generator, published):
    for place, signature in ((published, "serving_default"), (generator["export"] / "model", "attention")):
        model = Model.load(place)
        with pytest.raises(ModelError, match=f"'{signature}' of this model has no options"):
            model.predict(["x"], signature=signature, options={"beam_size": 1})


def test_batches_hold_all_rows_and_few_of_the_long_ones():
    lengths = [*range(5, 900, 3), 10_000, 60_000]
    found = list(batching.batches(range(len(lengths)), lengths, 16))
    assert [row for batch in found for row in batch] == list(range(len(lengths)))
    assert max(map(len, found)) == 16 and found[-1] == [len(lengths) - 1]
    for batch in found:
        assert len(batch) == 1 or len(batch) * lengths[batch[-1]] <= 16 * batching.ROW_BYTES
    assert list(batching.batches([], [], 16)) == []


def test_text_with_lone_surrogates_is_answered(published):
    model = Model.load(published)
    lone, mended = model.predict(["could you \ud800 send", "could you \ufffd\ufffd\ufffd send"])
    assert lone["answer"] == mended["answer"]


@pytest.mark.parametrize(
    ("rows", "options", "words"),
    [
        (["x"], {"signature": "clasify"}, "no signature 'clasify'; did you mean 'classify'"),
        ([{"txt": "x"}], {}, "row 1: the model has no field 'txt'; did you mean 'text'"),
        (["x", {}], {}, "row 2: field 'text' must be a text, found None"),
        ([{"text": 5}], {}, "row 1: field 'text' must be a text, found 5"),
    ],
)
def test_invalid_predict_calls_are_rejected(published, rows, options, words):
    with pytest.raises(ModelError, match=words):
        Model.load(published).predict(rows, **options)


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda folder: shutil.rmtree(folder), "no such model"),
        (lambda folder: (folder / "saved_model.pb").unlink(), "contains no SavedModel and no numbered version"),
        (
            lambda folder: (folder / "textpipe.json").write_text("{}"),
            "textpipe.json: has 2 bytes where the manifest says",
        ),
        (lambda folder: (folder / "manifest.json").unlink(), "no manifest.json, so the copy may be incomplete"),
    ],
)
def test_a_damaged_or_missing_model_is_rejected(published, tmp_path, harm, words):
    folder = shutil.copytree(published, tmp_path / "mail")
    harm(folder)
    with pytest.raises(ModelError, match=words):
        Model.load(folder)


def test_a_flipped_bit_in_the_weights_is_detected(published, tmp_path):
    folder = shutil.copytree(published, tmp_path / "mail")
    weights = next((folder / "variables").glob("*.data-*"))
    data = bytearray(weights.read_bytes())
    data[len(data) // 2] ^= 1
    weights.write_bytes(data)
    with pytest.raises(ModelError, match="is not the file that was exported"):
        Model.load(folder)


def test_a_model_of_another_tool_can_be_loaded_too(tmp_path):
    class Shout(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="words")])
        def __call__(self, words):
            return {"loud": tf.strings.upper(words)}

    shout = Shout()
    tf.saved_model.save(shout, str(tmp_path / "7"), signatures=shout.__call__)
    model = Model.load(tmp_path)
    assert model.fields == ("words",) and model.about == {}
    assert model.predict(["a", "bc"]) == [{"loud": "A"}, {"loud": "BC"}]
    (tmp_path / "7" / "saved_model.pb").write_bytes(b"rubbish")
    with pytest.raises(ModelError, match="cannot be loaded as a SavedModel"):
        Model.load(tmp_path)


def test_another_run_can_start_from_the_exported_model(generator):
    from textpipe.config.fields import Sizes
    from textpipe.config.sections import Plugin
    from textpipe.tasks import translate
    from textpipe.training.warm_start import source_weights, vocabulary_axes

    origin = source_weights.locate(source_weights.Init(**{"from": str(generator["export"] / "model")}))
    for name in ("model.json", "vocabulary.json"):
        assert (origin.model.parent / name).read_bytes() == (generator["train"] / name).read_bytes()
    described = json.loads(origin.model.read_text(encoding="utf-8"))
    section, sizes = Plugin.check("models", described["model"]), Sizes.from_tables(described["sizes"], translate.FIELDS)
    trained, loaded = (vocabulary_axes.build_model(section, sizes) for _ in range(2))
    trained.load_weights(generator["train"] / "model.weights.h5")
    source_weights.load(loaded, origin.weights)
    for one, other in zip(trained.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())
