"""CTranslate2 runs the trained transformer, and unsupported pipelines are refused."""

import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
import tiny
from click.testing import CliRunner

from textpipe.cli import main
from textpipe.config import sections
from textpipe.config.fields import Sizes
from textpipe.config.sections import Plugin
from textpipe.errors import ModelError
from textpipe.export_formats import _ctranslate2_check as agreement
from textpipe.export_formats import _ctranslate2_weights as weights
from textpipe.models import transformer
from textpipe.pipeline import runner
from textpipe.text.special_tokens import SPECIAL_TOKENS
from textpipe.training import likelihood

VOCABULARY = 23
TOKENS = [*SPECIAL_TOKENS, *(f"t{number}" for number in range(4, VOCABULARY))]
SMALL = {"d_model": 16, "d_ff": 24, "num_heads": 2, "layers": 2}
PIPELINE = """
task = "translate"
[ingest]
files = "rows.tsv"
[normalize]
steps = ["unicode", "whitespace"]
[tokenize]
codec = { kind = "unigram", vocab_size = 300 }
[vectorize]
features = { kind = "ids", max_length = 24 }
[model]
kind = "transformer"
d_model = 16
d_ff = 24
num_heads = 2
layers = 2
share_embeddings = true
[train]
epochs = 2
batch_tokens = 1024
[decode]
kind = "beam"
beam_size = 3
max_length = 12
max_ratio = 2.0
patience = 2.0
[export]
golden_rows = 40
"""


def engine_of(model, folder):
    """A model written for CTranslate2 and loaded there."""
    ctranslate2 = pytest.importorskip("ctranslate2")
    spec = weights.build_spec(model, 64)
    spec.register_source_vocabulary(TOKENS)
    spec.register_target_vocabulary(TOKENS)
    spec.validate()
    spec.optimize()
    spec.save(str(folder))
    return ctranslate2.Translator(str(folder), device="cpu", compute_type="float32")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"norm": "post", "activation": "gelu", "share_embeddings": True},
        {"activation": "swiglu", "positions": "rotary", "tie_embeddings": False},
        {"encoder_layers": 3, "decoder_layers": 1, "num_heads": 4, "d_model": 20},
    ],
    ids=str,
)
def test_any_transformer_gives_the_same_token_probabilities(options, tmp_path):
    sizes = {"kind": "ids", "vocab_size": VOCABULARY, "max_length": 30}
    model = transformer.build(transformer.Config(**{**SMALL, **options}), Sizes({"a": sizes}, "b", sizes), seed=3)
    random = np.random.default_rng(1)
    for variable in model.trainable_variables:  # so that no gain, shift or bias keeps its initial value
        variable.assign(variable.numpy() + random.normal(scale=0.2, size=variable.shape))
    engine = engine_of(model, tmp_path)
    rows = [random.integers(4, VOCABULARY, size=(2, length)).tolist() for length in (1, 9, 4, 17)]
    tokens = [[[TOKENS[token] for token in side] for side in pair] for pair in rows]
    scored = engine.score_batch([source for source, _ in tokens], [target for _, target in tokens])
    for (source, target), found in zip(rows, scored, strict=True):
        expected = likelihood.token_log_probs(
            model, {"source": tf.constant([[*source, 3]])}, tf.constant([[*target, 3]])
        )[0]
        np.testing.assert_allclose(found.log_probs, expected, atol=2e-4)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("project")
    tiny.generator_rows(folder / "rows.tsv")
    (folder / "phrases.toml").write_text(PIPELINE)
    (folder / "other.h5").write_bytes(b"weights of a member of an ensemble")
    return folder


def export(*words):
    done = CliRunner().invoke(
        main, ["-v", "export", "phrases.toml", "--format", "ctranslate2", *words], catch_exceptions=False
    )
    return done.exit_code, done.stdout, done.stderr


def test_an_exported_pipeline_runs_as_its_readme_says(project, monkeypatch):
    pytest.importorskip("ctranslate2")
    monkeypatch.chdir(project)
    code, out, err = export()
    assert code == 0, err
    assert out == "ctranslate2_models/phrases\n"
    folder = project / out.strip()
    about = json.loads((folder / "textpipe.json").read_text())
    found = about["agreement"]
    assert found["rows"] >= 50 and found["greedy_equal"] >= found["rows"] - 2 and found["largest_difference"] < 1e-3
    assert about["decode"]["pipeline"]["max_ratio"] == 2.0 and about["decode"]["ctranslate2"]["patience"] == 2.0
    script = (folder / "README.md").read_text().split("```python\n")[1].split("```")[0]
    script = script.replace('["..."]', '["the dog 5 is red", "the old house"]') + "\nprint(answers)\n"
    done = subprocess.run([sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(eval(done.stdout)) == 2
    before = (folder / "model.bin").read_bytes()
    assert export()[0] == 0 and (folder / "model.bin").read_bytes() == before
    assert not list(folder.parent.glob(".*"))


def test_a_changed_model_is_detected(project, monkeypatch, tmp_path):
    pytest.importorskip("ctranslate2")
    from textpipe.servable.graph import Servable

    monkeypatch.chdir(project)
    result = runner.run(runner.Pipeline.load("phrases.toml"), until="train")
    paths = {stage: artifact.path for stage, artifact in result.artifacts.items()}
    decode = Plugin.check("decoding", {"kind": "beam", "beam_size": 2, "max_length": 8})
    servable = Servable.load(paths, "translate", decode)
    spec = weights.build_spec(servable.model, 64)
    spec.decoder.layer[1].ffn.linear_1.weight = spec.decoder.layer[1].ffn.linear_1.weight * 1.5
    names = weights.vocabulary(servable.features["source"].codec)
    spec.register_source_vocabulary(names)
    spec.register_target_vocabulary(names)
    spec.validate()
    spec.save(str(tmp_path))
    rows = agreement.golden_rows(12, paths, servable)
    with pytest.raises(ModelError, match="and of the pipeline differ; the export was discarded"):
        agreement.compare(servable, rows, tmp_path, decode)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["model={kind='recurrent'}"], 'kind = "recurrent": CTranslate2 runs only transformers'),
        (["decode={kind='sample'}"], 'kind = "sample": CTranslate2 has no such search'),
        (["decode={kind='beam', rules=[{kind='no_repeat_ngram'}]}"], "CTranslate2 has no such option; leave it out"),
        (["decode={kind='beam', prefix='Es'}"], "prefix = 'Es': CTranslate2 has no such option"),
        (["ensemble=['other.h5']"], "ensemble: CTranslate2 runs one model"),
    ],
)
def test_unsupported_pipelines_are_rejected_before_anything_runs(project, monkeypatch, overrides, words):
    monkeypatch.chdir(project)
    code, _, err = export("--artifacts", "elsewhere", *(word for override in overrides for word in ("-s", override)))
    assert code == 2 and words in err and not (project / "elsewhere").exists()


def test_a_missing_package_is_reported_with_its_extra(project, monkeypatch):
    monkeypatch.chdir(project)
    monkeypatch.setitem(sys.modules, "ctranslate2", None)
    code, _, err = export("--artifacts", "elsewhere")
    assert code == 2 and "pip install 'textpipe[ctranslate2]'" in err


def test_a_folder_with_other_files_is_left_alone(project, monkeypatch):
    pytest.importorskip("ctranslate2")
    monkeypatch.chdir(project)
    (project / "mine").mkdir(exist_ok=True)
    (project / "mine" / "notes.txt").write_text("mine")
    code, _, err = export("--output", "mine")
    assert (
        code == 2 and "is not an export of textpipe" in err and (project / "mine" / "notes.txt").read_text() == "mine"
    )


@pytest.mark.parametrize(("alpha", "mean"), [(1.0, 14.0), (0.6, 9.0)])
def test_length_penalties_rank_equally_around_the_mean_length(alpha, mean):
    decode = sections.Plugin.check("decoding", {"kind": "beam", "length_penalty": alpha})
    power = agreement.translate_options(decode, mean)["length_penalty"]

    def slope(penalty):  # of its logarithm, by the logarithm of the length
        step = 1e-4
        return (np.log(penalty(mean * (1 + step))) - np.log(penalty(mean * (1 - step)))) / (2 * step)

    assert slope(lambda length: length**power) == pytest.approx(
        slope(lambda length: ((5 + length) / 6) ** alpha), abs=2e-3
    )
