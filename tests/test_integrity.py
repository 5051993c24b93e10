"""A run detects damaged inputs, and a change that no stage reads rebuilds nothing."""

import json
import logging
import os
import shutil
from pathlib import Path

import pytest
import tiny

from textpipe.config.sections import Plugin
from textpipe.errors import ArtifactError
from textpipe.pipeline import runner
from textpipe.savedmodel import manifest
from textpipe.servable import ensemble
from textpipe.training.warm_start import source_weights


def damage(path: Path) -> None:
    """Flip a bit in the middle of a file without changing its size and times."""
    state = path.stat()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


def largest(folder: Path) -> Path:
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != manifest.NAME]
    return max(files, key=lambda path: path.stat().st_size)


class Project:
    """A copy of the tiny classifier's project, to damage."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.artifacts, self.saved_models = folder / "data/artifacts", folder / "saved_models"

    def run(self, *overrides, **options):
        """(result, [(stage, state)]) of a run."""
        events = []
        result = runner.run(
            runner.Pipeline.load(self.folder / "classifier.toml", overrides), artifacts=self.artifacts,
            saved_models=self.saved_models, on_event=lambda stage, state, _: events.append((stage, state)), **options,
        )  # fmt: skip
        return result, [(stage, state) for stage, state in events if state != "run"]


@pytest.fixture
def project(classifier, tmp_path):
    folder = tmp_path / "project"
    shutil.copytree(classifier["export"].parents[3], folder, copy_function=shutil.copy2)
    return Project(folder)


def test_damage_without_a_new_time_is_found_before_something_is_built_from_it(project, caplog):
    first, states = project.run()
    assert set(states) == {(stage, "cached") for stage in runner.ORDER}
    before = runner.ORDER[:5]
    for stage in before:
        damage(largest(first.artifacts[stage].path))
    assert set(project.run()[1]) == {
        (stage, "cached") for stage in runner.ORDER
    }  # nothing is built: a fast check is enough
    second, states = project.run(start="evaluate", until="evaluate")
    assert {(stage, "done") for stage in (*before, "evaluate")} <= set(states)
    for stage in (*before, "evaluate"):
        assert second.artifacts[stage].digest == first.artifacts[stage].digest
    for stage in before:
        path = first.artifacts[stage].path
        assert f"{path}: " in caplog.text and path.with_name(path.name + ".damaged").is_dir()


def test_a_damaged_export_is_rebuilt_from_intact_weights_before_it_is_published(project, caplog):
    first, _ = project.run()
    weights = (first.saved_model / "variables/variables.data-00000-of-00001").read_bytes()
    damage(first.artifacts["train"].path / "model.weights.h5")
    damage(largest(first.artifacts["export"].path / "model"))
    shutil.rmtree(project.saved_models)
    result, _ = project.run()
    assert caplog.text.count("is not the file that was written; set aside") == 2
    manifest.verify(result.saved_model)
    assert (result.saved_model / "variables/variables.data-00000-of-00001").read_bytes() == weights


def test_a_damaged_published_version_is_replaced_by_a_new_one(project, caplog):
    damage(project.saved_models / "classifier/1/textpipe.json")
    result, states = project.run()
    assert result.saved_model.name == "2" and ("export", "cached") in states
    assert "textpipe.json: is not the file that was exported" in caplog.text
    manifest.verify(result.saved_model)


@pytest.mark.parametrize("kind", ["artifact", "exported model"])
def test_weights_of_another_run_are_checked_before_they_are_loaded(project, kind):
    result, _ = project.run()
    path = result.artifacts["train"].path if kind == "artifact" else result.saved_model
    source_weights.locate(source_weights.Init(**{"from": str(path)})).check()
    ensemble.locate_member(str(path)).check()
    damage(path / "model.weights.h5" if kind == "artifact" else largest(path / "variables"))
    with pytest.raises(ArtifactError, match="is not the file that was written"):
        source_weights.locate(source_weights.Init(**{"from": str(path)})).check()
    if kind == "artifact":  # the next run builds it again
        assert not path.exists()
        assert ("train", "done") in project.run()[1]


def test_a_damaged_record_of_the_latest_run_is_named(project):
    project.run()
    (project.artifacts / "latest/classifier/train.json").write_text("[]")
    with pytest.raises(Exception, match="train.json: is damaged; run that pipeline again"):
        source_weights.locate(source_weights.Init(**{"from": str(project.artifacts / "latest/classifier")}))


def test_a_renamed_data_file_rebuilds_only_ingest(project):
    renamed = shutil.copyfile(project.folder / "rows.tsv", project.folder / "mails of May.tsv")
    states = project.run(f"ingest.files={json.dumps(str(renamed))}")[1]
    assert states == [("ingest", "done"), *((stage, "cached") for stage in runner.ORDER[1:])]


def test_a_step_that_changes_no_text_does_not_train_again(project):
    states = dict(project.run('normalize.steps=["unicode", "whitespace", "whitespace"]', until="train")[1])
    assert states["normalize"] == states["tokenize"] == "done" and states["train"] == "cached"


def test_every_stage_depends_on_the_code_of_the_plug_ins_it_runs(tmp_path):
    (tmp_path / "x.toml").write_text(tiny.toml({**tiny.GENERATOR, "ingest": {"files": str(tmp_path / "rows.tsv")}}))
    loaded = runner.Pipeline.load(tmp_path / "x.toml")
    (tmp_path / "rows.tsv").write_text("source\ttarget\n")
    runs = {
        "text.codecs.unigram": ("tokenize", "vectorize", "train", "evaluate", "export"),
        "text.steps.whitespace": ("normalize", "evaluate", "export"),
        "features.ids": ("vectorize", "train", "evaluate", "export"),
        "models.recurrent": ("train", "evaluate", "export"),
        "decoding.beam": ("evaluate", "export"),
        "data.formats.tsv": ("ingest",),
    }
    code = {}
    for stage in runner.ORDER:
        code[stage] = runner.stage_fingerprint(loaded, stage, {})["code"]
    for name, stages in runs.items():
        assert tuple(stage for stage in runner.ORDER if f"textpipe.{name}" in code[stage]) == stages, name


@pytest.fixture
def pretend(tmp_path, monkeypatch):
    """Stages up to train that only copy the lines of a file, and casefold them in normalize."""
    stages = {stage: runner.stage_module(stage) for stage in runner.ORDER[:5]}
    data = tmp_path / "pairs.tsv"

    def copy(name, change=str):
        return lambda config, inputs, output: (output / "rows").write_text(
            change((inputs[name] / "rows").read_text() if name else data.read_text())
        )

    runs = {"ingest": copy(None), "normalize": copy("ingest", str.casefold), "vectorize": copy("normalize")}
    for stage, module in stages.items():
        monkeypatch.setattr(module, "run", runs.get(stage, lambda config, inputs, output: None))
        monkeypatch.delattr(module, "summary")
    (tmp_path / "x.toml").write_text(
        tiny.toml({"task": "translate", "ingest": {"files": str(data)}, "model": {"kind": "recurrent"}})
    )

    def run(text, *overrides):
        data.write_text(text)
        states = {}
        runner.run(
            runner.Pipeline.load(tmp_path / "x.toml", overrides), until="train", artifacts=tmp_path / "artifacts",
            on_event=lambda stage, state, _: states.update({stage: state}),
        )  # fmt: skip
        return states

    return run


def test_train_depends_on_raw_references_only_if_it_measures_bleu(pretend):
    bleu = "train.valid_bleu_rows=5"
    assert pretend("A\tB\n")["train"] == pretend("A\tB\n", bleu)["train"] == "done"
    changed = pretend("a\tb\n")  # the same after normalization
    assert changed == {
        "ingest": "done",
        "normalize": "done",
        **dict.fromkeys(("tokenize", "vectorize", "train"), "cached"),
    }
    assert pretend("a\tb\n", bleu)["train"] == "done"
    assert pretend("a\tc\n")["train"] == pretend("a\tc\n", bleu)["train"] == "done"


@pytest.mark.parametrize(
    ("table", "read"), [({}, False), ({"metric": "valid_bleu"}, True), ({"valid_bleu_rows": 3}, True)]
)
def test_the_inputs_of_train_depend_on_its_settings(table, read):
    train = runner.stage_module("train")
    config = train.Config(task="translate", model=Plugin.check("models", "recurrent"), **table)
    assert ("ingest" in train.reads(config)) == read and "normalize" not in train.INPUTS


def test_a_code_cache_with_a_flipped_bit_is_rebuilt(project, caplog):
    """With a wrong digest of code, all stages would be rebuilt, or none when they should be."""
    caplog.set_level(logging.INFO)
    from textpipe.cache import fingerprint

    def forget():
        fingerprint.ANALYSES.clear()
        fingerprint.analyze.cache_clear()

    forget()  # analyses from other tests would not be written again
    project.run()
    damage(project.artifacts / runner.CODE)
    forget()
    assert set(project.run()[1]) == {(stage, "cached") for stage in runner.ORDER}
