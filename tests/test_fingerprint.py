"""A key changes when, and only when, something changes that can change the result."""

from pathlib import Path

import pytest

from textpipe.cache import fingerprint
from textpipe.config.sections import Section
from textpipe.errors import DataError


class Ingest(Section):
    files: dict[str, list[Path]] = {}
    limit: int = 0


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module of the user's own, in the working directory."""
    monkeypatch.chdir(tmp_path)

    def write(text, name="own_stage"):
        (tmp_path / f"{name}.py").write_text(text)
        fingerprint.source_path.cache_clear()
        fingerprint.analyze.cache_clear()

    yield write
    fingerprint.source_path.cache_clear()
    fingerprint.analyze.cache_clear()


def key(section=None, inputs=None):
    return fingerprint.key(fingerprint.ingredients("ingest", "own_stage", section or Ingest(), inputs or {}, []))


def test_comments_docstrings_and_layout_do_not_count(module):
    module("def run(x):\n    return x + 1\n")
    before = key()
    module('"""Words."""\n\ndef run(x):  # why\n    """More words."""\n    return (x +\n            1)\n')
    assert key() == before


def test_code_counts_also_where_it_is_only_reached(module):
    module("def step(x):\n    return x\n", "own_step")
    module("def run(x):\n    import own_step\n    return own_step.step(x)\n")
    before = key()
    module("def step(x):\n    return x + 1\n", "own_step")
    assert key() != before


def test_section_inputs_and_file_bytes_count(module, tmp_path):
    module("x = 1\n")
    file = tmp_path / "rows.tsv"
    file.write_text("a\n")
    section = Ingest(files={"train": [file]})
    keys = [key(), key(Ingest(limit=1)), key(inputs={"normalize": "1"}), key(section)]
    file.write_text("b\n")
    keys.append(key(section))
    assert len(set(keys)) == 5


def test_a_missing_file_is_named(module, tmp_path):
    module("x = 1\n")
    (tmp_path / "train.tsv").write_text("")
    with pytest.raises(DataError, match="tran.tsv: no such file; did you mean 'train.tsv'"):
        key(Ingest(files={"train": [tmp_path / "tran.tsv"]}))


def test_changes_are_told_by_name():
    old = {"section": {"epochs": 3, "model": {"units": 8}}, "code": {"textpipe.x": "1"}, "versions": {"keras": "3.15"}}
    new = {"section": {"epochs": 3, "model": {"units": 9}}, "code": {"textpipe.x": "2"}, "versions": {"keras": "3.16"}}
    assert fingerprint.changes(old, new) == [
        "section model.units: 8 -> 9",
        "code textpipe.x",
        "versions keras: '3.15' -> '3.16'",
    ]


def test_relative_and_inner_imports_are_followed():
    reached = fingerprint.reachable_modules({"textpipe.pipeline.runner"})
    assert {
        "textpipe.pipeline.runner",
        "textpipe.cache.store",
        "textpipe.errors",
        "textpipe.savedmodel.publish",
    } <= reached
    assert not any(name.startswith("textpipe.cli") for name in reached)


def test_a_stage_depends_on_no_code_that_only_a_caller_runs():
    """Every module imports the package itself, which must not count as all that the package offers."""
    for stage in ("ingest", "normalize", "tokenize", "vectorize", "train", "evaluate"):
        reached = {name.split(".")[1] for name in fingerprint.reachable_modules({f"textpipe.stages.{stage}"})}
        assert reached & {"api", "pipeline", "report", "commands", "cli", "inference", "serve"} == set(), stage
        assert {"runtime", "stages", "errors"} <= reached
    assert "textpipe.stages.tokenize" not in fingerprint.reachable_modules({"textpipe.stages.ingest"})
    assert "textpipe.servable.graph" not in fingerprint.reachable_modules({"textpipe.stages.train"})


def test_remembered_code_is_not_parsed_again_and_changed_code_is(module, tmp_path, monkeypatch):
    module("x = 1\n")
    monkeypatch.setattr(fingerprint, "ANALYSES", {})
    with fingerprint.remembered(tmp_path / "code.json"):
        before = key()
    monkeypatch.setattr(fingerprint, "ANALYSES", {})
    parsed = []
    genuine = fingerprint.parse_code
    monkeypatch.setattr(fingerprint, "parse_code", lambda text: parsed.append(text) or genuine(text))
    fingerprint.analyze.cache_clear()
    with fingerprint.remembered(tmp_path / "code.json"):
        assert key() == before and not parsed
        module("x = 2\n")
        assert key() != before and parsed == ["x = 2\n"]


def test_a_damaged_memory_of_code_does_no_harm(module, tmp_path, monkeypatch):
    module("x = 1\n")
    before = key()
    (tmp_path / "code.json").write_text("{")
    monkeypatch.setattr(fingerprint, "ANALYSES", {})
    fingerprint.analyze.cache_clear()
    with fingerprint.remembered(tmp_path / "code.json"):
        assert key() == before
