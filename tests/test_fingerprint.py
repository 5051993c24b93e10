"""A key changes if and only if something changes that can affect the result."""

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
    """Writes a user's module to the working directory."""
    monkeypatch.chdir(tmp_path)

    def write(text, name="own_stage"):
        (tmp_path / f"{name}.py").write_text(text)
        fingerprint.source_path.cache_clear()
        fingerprint.analyze.cache_clear()

    yield write
    fingerprint.source_path.cache_clear()
    fingerprint.analyze.cache_clear()


def key(section=None, inputs=None):
    return fingerprint.key(fingerprint.compute("ingest", "own_stage", section or Ingest(), inputs or {}, []))


def test_comments_docstrings_and_layout_do_not_count(module):
    module("def run(x):\n    return x + 1\n")
    before = key()
    module('"""Words."""\n\ndef run(x):  # why\n    """More words."""\n    return (x +\n            1)\n')
    assert key() == before


def test_imported_code_counts(module):
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


def test_changes_are_named():
    old = {"section": {"epochs": 3, "model": {"units": 8}}, "code": {"textpipe.x": "1"}, "versions": {"keras": "3.15"}}
    new = {"section": {"epochs": 3, "model": {"units": 9}}, "code": {"textpipe.x": "2"}, "versions": {"keras": "3.16"}}
    assert fingerprint.changes(old, new) == [
        "section model.units: 8 -> 9",
        "code textpipe.x",
        "versions keras: '3.15' -> '3.16'",
    ]


def test_relative_imports_and_imports_in_functions_are_followed():
    modules = fingerprint.reachable_modules({"textpipe.pipeline.runner"})
    assert {
        "textpipe.pipeline.runner",
        "textpipe.cache.store",
        "textpipe.errors",
        "textpipe.savedmodel.publish",
    } <= modules
    assert not any(name.startswith("textpipe.cli") for name in modules)


def test_a_stage_does_not_depend_on_code_of_its_callers():
    """Every import imports the package itself, which must not count as everything that the package exports."""
    for stage in ("ingest", "normalize", "tokenize", "vectorize", "train", "evaluate"):
        packages = {name.split(".")[1] for name in fingerprint.reachable_modules({f"textpipe.stages.{stage}"})}
        assert packages & {"api", "pipeline", "report", "commands", "cli", "inference", "serve"} == set(), stage
        assert {"runtime", "stages", "errors"} <= packages
    assert "textpipe.stages.tokenize" not in fingerprint.reachable_modules({"textpipe.stages.ingest"})
    assert "textpipe.servable.graph" not in fingerprint.reachable_modules({"textpipe.stages.train"})


def test_only_changed_code_is_parsed_again(module, tmp_path, monkeypatch):
    module("x = 1\n")
    monkeypatch.setattr(fingerprint, "ANALYSES", {})
    with fingerprint.cached_analyses(tmp_path / "code.json"):
        before = key()
    monkeypatch.setattr(fingerprint, "ANALYSES", {})
    parsed = []
    parse_code = fingerprint.parse_code
    monkeypatch.setattr(fingerprint, "parse_code", lambda text: parsed.append(text) or parse_code(text))
    fingerprint.analyze.cache_clear()
    with fingerprint.cached_analyses(tmp_path / "code.json"):
        assert key() == before and not parsed
        module("x = 2\n")
        assert key() != before and parsed == ["x = 2\n"]


def test_a_damaged_code_cache_is_ignored(module, tmp_path, monkeypatch):
    module("x = 1\n")
    before = key()
    (tmp_path / "code.json").write_text("{")
    monkeypatch.setattr(fingerprint, "ANALYSES", {})
    fingerprint.analyze.cache_clear()
    with fingerprint.cached_analyses(tmp_path / "code.json"):
        assert key() == before
