"""A pipeline file is checked completely, and each error names the place, the problem and the cure."""

import pytest

from textpipe.config import plugins, sections
from textpipe.config.sections import Plugin, Section
from textpipe.errors import ConfigError
from textpipe.pipeline import runner


class Optimizer(Section):
    kind: str = "adam"
    learning_rate: float = 0.001


class Train(Section):
    task: str = "classify"
    seed: int = 1
    epochs: int = 3
    optimizer: Optimizer = Optimizer()


class Normalize(Section):
    steps: list[Plugin.of("text.steps")] = []


SECTIONS = {"train": Train, "normalize": Normalize}


def errors(tables):
    with pytest.raises(ConfigError) as caught:
        sections.check("p.toml", SECTIONS, tables)
    return str(caught.value).splitlines()


def test_shared_keys_reach_the_sections_that_declare_them():
    checked = sections.check("p.toml", SECTIONS, {"task": "reply", "seed": 7, "train": {"epochs": 5}})
    assert checked["train"] == Train(task="reply", seed=7, epochs=5)


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"train": {"epoch": 3}}, "p.toml [train] epoch: unknown key; did you mean 'epochs'?"),
        ({"trian": {}}, "p.toml trian: unknown key; did you mean 'train'?"),
        ({"train": {"optimizer": {"learning_rat": 1}}}, "p.toml [train] optimizer.learning_rat: unknown key; did you mean 'learning_rate'?"),
        ({"train": 3}, "p.toml train: expected a table [train], found 3"),
        ({"train": {"optimizer": "sgd"}}, "p.toml [train] optimizer: expected a table of kind, learning_rate; found 'sgd'"),
        ({"train": {"optimizer": {"learning_rate": float("inf")}}}, "p.toml [train] optimizer.learning_rate: input should be a finite number; found inf"),
        ({"train": {"seed": 3}, "seed": 1}, "p.toml [train] seed: belongs at the top of the file, not in [train]"),
        ({"normalize": {"steps": ["whitespac"]}}, "p.toml [normalize] steps.0: unknown step 'whitespac'; did you mean 'whitespace'?"),
        ({"normalize": {"steps": ["./whitespace"]}}, "p.toml [normalize] steps.0: unknown step './whitespace'; did you mean 'whitespace'?"),
    ],
)  # fmt: skip
def test_an_error_names_place_problem_and_cure(tables, message):
    assert errors(tables) == [message]


@pytest.mark.parametrize("decode", ['decode = { kind = "beam" }', "[decode]\nmax_length = 9"])
def test_a_decoder_is_an_error_for_classifiers(decode, tmp_path):
    file = tmp_path / "p.toml"
    file.write_text(f'task = "classify"\n{decode}\n[ingest]\nfiles = "rows.tsv"\n')
    with pytest.raises(
        ConfigError, match=r"p.toml \[decode\]: task 'classify' answers with a label.*leave \[decode\] out"
    ):
        runner.Pipeline.load(file)


def test_a_wrong_type_is_an_error_with_the_value():
    (line,) = errors({"train": {"epochs": "many"}})
    assert line.startswith("p.toml [train] epochs: ") and line.endswith("found 'many'")


def test_all_errors_are_reported_at_once():
    assert len(errors({"trian": {}, "train": {"epoch": 1, "epochs": "x"}, "seed": "y"})) == 4


def test_options_of_a_plug_in_are_checked_by_its_config():
    (line,) = errors({"normalize": {"steps": [{"kind": "unicode", "from": "NFC"}]}})
    assert "did you mean 'form'?" in line


def test_overrides_are_toml_values_and_bare_words_are_strings():
    tables = {"train": {"epochs": 3}}
    changed = sections.override(tables, ("train.epochs=5", "train.optimizer.kind=sgd", "seed=2", "x.list=[1, 2]"))
    assert changed == {"train": {"epochs": 5, "optimizer": {"kind": "sgd"}}, "seed": 2, "x": {"list": [1, 2]}}
    assert tables == {"train": {"epochs": 3}}


def test_an_override_without_a_value_removes_the_key():
    tables = {"decode": {"kind": "beam", "patience": 1.0}, "ensemble": {"models": ["a"]}}
    changed = sections.override(tables, ("decode.patience=", "ensemble= ", "train.average.last=", 'decode.prefix=""'))
    assert changed == {"decode": {"kind": "beam", "prefix": ""}}
    assert "patience" in tables["decode"]


@pytest.mark.parametrize("assignment", ["train.epochs", "=3", "seed.x.y=1"])
def test_an_invalid_override_is_an_error(assignment):
    with pytest.raises(ConfigError, match="-s"):
        sections.override({"seed": 1}, (assignment,))


def test_a_missing_file_suggests_a_similar_name(tmp_path):
    (tmp_path / "mail.toml").write_text("")
    with pytest.raises(ConfigError, match="did you mean 'mail.toml'"):
        sections.load(tmp_path / "mial.toml")


@pytest.mark.parametrize(("content", "words"), [(b"a = [", "not valid TOML"), (b"a = '\xff'", "not UTF-8 at byte 5")])
def test_invalid_toml_is_an_error_with_its_position(tmp_path, content, words):
    (tmp_path / "x.toml").write_bytes(content)
    with pytest.raises(ConfigError, match=words):
        sections.load(tmp_path / "x.toml")


def test_sections_are_frozen():
    with pytest.raises(ValueError, match="frozen"):
        Train().epochs = 4


@pytest.mark.parametrize(
    ("package", "noun"),
    [("models", "model"), ("export_formats", "export format"), ("data.formats", "format"), ("text.steps", "step"), ("decoding", "decoder"), ("features", "feature")],
)  # fmt: skip
def test_a_message_names_what_kind_of_plug_in_is_unknown(package, noun):
    with pytest.raises(ConfigError, match=f"^unknown {noun} 'absent'"):
        plugins.find(package, "absent")
