"""LiteRT runs the exported network with the pipeline's answers, and pipelines that it cannot run are refused."""

import json
import subprocess
import sys

import numpy as np
import pytest
import test_suggest
import tiny
from click.testing import CliRunner

from textpipe.answers._ranking_settings import Config
from textpipe.cli import main
from textpipe.config import plugins
from textpipe.config.sections import Plugin
from textpipe.errors import ModelError
from textpipe.export_formats import _litert_check, litert
from textpipe.features import _dense
from textpipe.pipeline import runner
from textpipe.servable.graph import Servable

tf = pytest.importorskip("tensorflow")
if not hasattr(tf, "lite"):
    pytest.skip("this TensorFlow has no LiteRT", allow_module_level=True)
NGRAMS = {"kind": "counts", "casefold": True, "marks": True}
TEXTS = ["", "a red fox", "no no NO don't!", "für die Füße, für uns", "unknown " * 50]


def interpreter(call, specs):
    """A function of tensors converted to LiteRT with built-in ops only, and run by it."""
    function = tf.function(call, input_signature=specs, autograph=False)
    model = litert.convert_function(function)
    with pytest.warns(UserWarning, match="deprecat|delet"):
        return tf.lite.Interpreter(model_content=model).get_signature_runner("serving_default")


@pytest.mark.parametrize(
    "options",
    [
        {"kind": "counts", "words": [1, 2]},
        {"kind": "counts", "words": [1, 1], "frequency": "binary", "num_buckets": 64},  # with collisions
        {"kind": "counts", "words": [1, 3], "frequency": "log", "punctuation": False},
        {
            "kind": "tfidf",
            "words": [1, 2],
            "characters": [2, 4],
            "pairs": 3,
            "norm": "family",
            "idf_power": 0.5,
            "weights": {"characters": 0.7},
        },
        {"kind": "tfidf", "words": [1, 2], "characters": [3, 3], "num_buckets": 512},
        {"kind": "tfidf", "words": [1, 1], "norm": "none", "frequency": "log"},
        {"kind": "counts", "words": [1, 2], "casefold": True, "marks": True},
        {"kind": "hashed", "words": [1, 2], "num_buckets": 64},
        {"kind": "hashed", "words": [1, 1], "characters": [2, 3], "num_buckets": 64, "frequency": "log", "norm": "l2"},
    ],
    ids=str,
)
def test_buckets_become_the_row_that_vectorize_makes_of_the_text(options, tmp_path):
    config = Plugin.check("features", options)
    module = plugins.find("features", options["kind"])
    module.learn(config, lambda: [tf.constant([*TEXTS[:4], "the red house", "a fox"])], tmp_path, "text", codec=None)
    feature = module.load(config, tmp_path, "text", codec=None)
    suffix, spec = _dense.spec(feature)
    assert suffix == "buckets"
    run = interpreter(
        lambda sent: {"row": _dense.row(feature, sent)}, [tf.TensorSpec(spec.shape, spec.dtype, name="sent")]
    )
    for text in [*TEXTS, "fox house red"]:
        sent = _dense.value(feature, tf.constant([text]))
        expected = tf.sparse.to_dense(feature(tf.constant([text]))).numpy()
        np.testing.assert_allclose(run(sent=sent)["row"], expected, rtol=2e-6, atol=1e-6)
        np.testing.assert_array_equal(run(sent=np.append(sent, [-1, -1]).astype("int32"))["row"], run(sent=sent)["row"])


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("litert")
    tiny.classifier_rows(folder / "mails.tsv")
    test_suggest.rows(folder / "replies.tsv")
    (folder / "mails.toml").write_text(
        tiny.toml({**tiny.CLASSIFIER, "ingest": {"files": "mails.tsv"}, "export": {"golden_rows": 40}})
    )
    (folder / "replies.toml").write_text(
        tiny.toml(
            {
                **test_suggest.SUGGEST,
                "vectorize": {"features": NGRAMS, "fields": {"reply": NGRAMS}},
                "answer": {"prior_weight": 0.25},
                "train": {**test_suggest.SUGGEST["train"], "epochs": 2},
                "ingest": {"files": "replies.tsv"},
                "export": {"golden_rows": 40},
            }
        )
    )
    lines = [
        "text\tsize\tlabel",
        *(f"word{n % 7} and{n % 3}\t{n % 11 if n % 5 else ''}\t{'ab'[n % 2]}" for n in range(120)),
    ]
    (folder / "fields.tsv").write_text("\n".join(lines) + "\n")
    fields = {"kind": "classify", "fields": {"text": "text", "size": "number"}, "target": "label"}
    (folder / "fields.toml").write_text(
        tiny.toml(
            {
                **tiny.CLASSIFIER,
                "task": fields,
                "model": {"kind": "feed_forward", "units": [8, 4]},
                "ingest": {"files": "fields.tsv"},
                "export": {"golden_rows": 40},
            }
        )
    )
    (folder / "translate.toml").write_text(tiny.toml({**tiny.GENERATOR, "ingest": {"files": "mails.tsv"}}))
    return folder


def export(name, *words):
    done = CliRunner().invoke(main, ["-v", "export", name, "--format", "litert", *words], catch_exceptions=False)
    return done.exit_code, done.stdout, done.stderr


@pytest.mark.parametrize("name", ["mails", "replies", "fields"])
def test_an_exported_pipeline_runs_as_its_readme_says(name, project, monkeypatch):
    monkeypatch.chdir(project)
    code, out, err = export(f"{name}.toml")
    assert code == 0, err
    assert out == f"litert_models/{name}\n"
    folder = project / out.strip()
    about = json.loads((folder / "textpipe.json").read_text())
    assert about["agreement"]["rows"] >= 50 and about["agreement"]["largest_difference"] < 1e-5
    assert about["bytes"] == (folder / "model.tflite").stat().st_size
    rows = [json.loads(line) for line in (folder / "golden.jsonl").read_text().splitlines()]
    row = rows[len(rows) // 2]
    script = (folder / "README.md").read_text().split("```python\n")[1].split("```")[0]
    script += "\nprint(json.dumps({name: value[0].tolist() for name, value in answer.items()}))\n"
    done = subprocess.run([sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    shown, answer = done.stdout.splitlines()
    for output, value in json.loads(answer).items():
        np.testing.assert_allclose(value, row["outputs"][output], rtol=1e-4)
    assert name != "replies" or eval(shown.split("] [")[0] + "]")[0] in about["choices"]


def test_the_readme_says_how_a_text_becomes_buckets(project, monkeypatch):
    """Buckets made by the steps of the README, in Python, are those of the golden rows; the hash alone is TensorFlow's."""
    import regex

    monkeypatch.chdir(project)
    export("replies.toml")
    folder = project / "litert_models/replies"
    feature = json.loads((folder / "textpipe.json").read_text())["inputs"]["message.buckets"]["feature"]
    assert feature["words"] == [1, 2] and feature["casefold"] and feature["marks"]
    rows = [json.loads(line) for line in (folder / "golden.jsonl").read_text().splitlines()]
    checked = 0
    for row in rows:
        text = row["texts"]["message"]
        if not text.isascii() or not text.isprintable():
            continue
        words = regex.findall(r"\w+(?:'\w+)*|[^\w\s]", text.casefold())
        marked = ["<s>", *words, "</s>"]
        pairs = [" ".join(marked[at : at + 2]) for at in range(len(marked) - 1)]
        grams = [*words, *pairs]
        hashed = tf.strings.to_hash_bucket_fast(tf.constant(grams), feature["num_buckets"]).numpy().tolist()
        assert hashed == row["inputs"]["message.buckets"]
        checked += 1
    assert checked > 40


def test_the_settings_of_answer_apply_in_litert_too(project, monkeypatch):
    """The golden scores are those of the pipeline's graph with its prior_weight."""
    monkeypatch.chdir(project)
    export("replies.toml")
    pipeline = runner.Pipeline.load("replies.toml")
    paths = {
        stage: artifact.path
        for until in ("responses", "train")
        for stage, artifact in runner.run(pipeline, until=until).artifacts.items()
    }
    lines = (project / "litert_models/replies/golden.jsonl").read_text().splitlines()
    rows = [row for row in map(json.loads, lines) if row["raw"]["message"].isascii()][:20]
    messages = {"message": tf.constant([row["raw"]["message"] for row in rows])}
    exported = [row["outputs"]["scores"] for row in rows]
    for weight, equal in ((0.25, True), (1.0, False)):
        servable = Servable.load(paths, pipeline.task, answer=Config(prior_weight=weight))
        scores = servable.output.answer(messages)["scores"]
        assert np.allclose(scores, exported, rtol=1e-4, atol=1e-6) == equal


def test_a_changed_model_is_detected(project, monkeypatch):
    monkeypatch.chdir(project)
    real = litert.convert

    def changed(servable, answers):
        kernel = servable.model.trainable_variables[0]
        value = kernel.numpy()
        kernel.assign(value * 1.5)
        try:
            return real(servable, answers)
        finally:
            kernel.assign(value)

    monkeypatch.setattr(litert, "convert", changed)
    code, out, err = export("mails.toml", "--output", "changed")
    assert code == 2 and "the answers of LiteRT and of the pipeline differ; the export was discarded" in err
    assert out == "" and not (project / "changed").exists()


def test_what_litert_cannot_run_is_refused_with_the_op(project, monkeypatch):
    monkeypatch.chdir(project)
    code, _, err = export("translate.toml")
    assert code == 2 and "TensorListReserve" in err and "SavedModel" in err and "Traceback" not in err
    function = tf.function(
        lambda sent: {"length": tf.strings.length(sent)},
        input_signature=[tf.TensorSpec([None], tf.string, name="sent")],
    )
    with pytest.raises(ModelError, match=r"LiteRT has no built-in op for StringLength of this model"):
        litert.convert_function(function)
    (project / "mine").mkdir()
    (project / "mine/notes.txt").write_text("not a model")
    code, _, err = export("mails.toml", "--output", "mine")
    assert code == 2 and "mine: exists and is not an export of textpipe" in err
    assert (project / "mine/notes.txt").exists()


def test_places_may_differ_only_where_scores_are_equal():
    expected = {"places": [3, 1, -1], "scores": [0.5, 0.3, 0.0]}

    def fault(places, scores):
        found = {"places": np.array([places], "int32"), "scores": np.array([scores], "float32")}
        return _litert_check.differences(expected, found)[1]

    assert fault([3, 1, -1], [0.5, 0.3, 0.0]) == ""
    assert "scores" in fault([3, 1, -1], [0.5, 0.2, 0.0])
    assert "empty" in fault([3, 1, 2], [0.5, 0.3, 0.0])
    assert "places" in fault([3, 1], [0.5, 0.3])
