"""A run builds from what was written or says so; what no stage reads builds nothing again."""

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


def hurt(path: Path) -> None:
    """Flip a bit in the middle of a file and leave size and times as they were."""
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
        told = []
        result = runner.run(
            runner.Pipeline.load(self.folder / "classifier.toml", overrides), artifacts=self.artifacts,
            saved_models=self.saved_models, on_event=lambda stage, state, _: told.append((stage, state)), **options,
        )  # fmt: skip
        return result, [(stage, state) for stage, state in told if state != "run"]


@pytest.fixture
def project(classifier, tmp_path):
    folder = tmp_path / "project"
    shutil.copytree(classifier["export"].parents[3], folder, copy_function=shutil.copy2)
    return Project(folder)


def test_damage_that_times_do_not_show_is_found_before_anything_is_built_from_it(project, caplog):
    first, states = project.run()
    assert set(states) == {(stage, "cached") for stage in runner.ORDER}
    before = runner.ORDER[:5]
    for stage in before:
        hurt(largest(first.artifacts[stage].path))
    assert set(project.run()[1]) == {
        (stage, "cached") for stage in runner.ORDER
    }  # nothing is built: a quick look will do
    second, states = project.run(start="evaluate", until="evaluate")
    assert {(stage, "done") for stage in (*before, "evaluate")} <= set(states)
    for stage in (*before, "evaluate"):
        assert second.artifacts[stage].digest == first.artifacts[stage].digest
    for stage in before:
        place = first.artifacts[stage].path
        assert f"{place}: " in caplog.text and place.with_name(place.name + ".damaged").is_dir()


def test_a_damaged_export_is_written_again_from_sound_weights_before_it_is_published(project, caplog):
    first, _ = project.run()
    weights = (first.saved_model / "variables/variables.data-00000-of-00001").read_bytes()
    hurt(first.artifacts["train"].path / "model.weights.h5")
    hurt(largest(first.artifacts["export"].path / "model"))
    shutil.rmtree(project.saved_models)
    result, _ = project.run()
    assert caplog.text.count("is not the file that was written; set aside") == 2
    manifest.verify(result.saved_model)
    assert (result.saved_model / "variables/variables.data-00000-of-00001").read_bytes() == weights


def test_a_damaged_published_version_is_replaced_by_a_new_one(project, caplog):
    hurt(project.saved_models / "classifier/1/textpipe.json")
    result, states = project.run()
    assert result.saved_model.name == "2" and ("export", "cached") in states
    assert "textpipe.json: is not the file that was exported" in caplog.text
    manifest.verify(result.saved_model)


@pytest.mark.parametrize("kind", ["artifact", "exported model"])
def test_weights_of_another_run_are_compared_before_they_are_taken_over(project, kind):
    result, _ = project.run()
    place = result.artifacts["train"].path if kind == "artifact" else result.saved_model
    source_weights.locate(source_weights.Init(**{"from": str(place)})).check()
    ensemble.locate_member(str(place)).check()
    hurt(place / "model.weights.h5" if kind == "artifact" else largest(place / "variables"))
    with pytest.raises(ArtifactError, match="is not the file that was written"):
        source_weights.locate(source_weights.Init(**{"from": str(place)})).check()
    if kind == "artifact":  # the run that is asked for makes it anew
        assert not place.exists()
        assert ("train", "done") in project.run()[1]


def test_a_note_of_the_newest_run_that_is_damaged_is_named(project):
    project.run()
    (project.artifacts / "latest/classifier/train.json").write_text("[]")
    with pytest.raises(Exception, match="train.json: is damaged; run that pipeline again"):
        source_weights.locate(source_weights.Init(**{"from": str(project.artifacts / "latest/classifier")}))


def test_a_renamed_data_file_builds_nothing_but_ingest(project):
    renamed = shutil.copyfile(project.folder / "rows.tsv", project.folder / "mails of May.tsv")
    states = project.run(f"ingest.files={json.dumps(str(renamed))}")[1]
    assert states == [("ingest", "done"), *((stage, "cached") for stage in runner.ORDER[1:])]


def test_a_step_that_changes_no_text_trains_nothing_again(project):
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
    """Stages up to train that write what the real ones would depend on: the lines of a file, casefolded, "trained"."""
    stages = {stage: runner.module(stage) for stage in runner.ORDER[:5]}
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
        told = {}
        runner.run(
            runner.Pipeline.load(tmp_path / "x.toml", overrides), until="train", artifacts=tmp_path / "artifacts",
            on_event=lambda stage, state, _: told.update({stage: state}),
        )  # fmt: skip
        return told

    return run


def test_train_depends_on_raw_references_only_where_it_measures_bleu(pretend):
    bleu = "train.valid_bleu_rows=5"
    assert pretend("A\tB\n")["train"] == pretend("A\tB\n", bleu)["train"] == "done"
    changed = pretend("a\tb\n")  # the same once it is normalized
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
def test_what_train_reads_follows_from_its_section(table, read):
    train = runner.module("train")
    config = train.Config(task="translate", model=Plugin.check("models", "recurrent"), **table)
    assert ("ingest" in train.reads(config)) == read and "normalize" not in train.INPUTS


def test_code_remembered_with_a_flipped_bit_is_read_anew(project, caplog):
    """A digest of code that is off by a bit would have everything built again, or nothing where it should be."""
    caplog.set_level(logging.INFO)
    from textpipe.cache import fingerprint

    def forget():
        fingerprint.FACTS.clear()
        fingerprint.facts.cache_clear()

    forget()  # what other tests had this process learn is not written down again
    project.run()
    hurt(project.artifacts / runner.CODE)
    forget()
    assert set(project.run()[1]) == {(stage, "cached") for stage in runner.ORDER}
