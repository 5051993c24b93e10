"""A name that is no model or pipeline is refused with the one that is meant."""

import subprocess
import sys

import pytest
from click.testing import CliRunner

from textpipe import cli
from textpipe.errors import ConfigError, ModelError
from textpipe.pipeline import bundled
from textpipe.report import systems
from textpipe.savedmodel import locations


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Two pipelines, of which one is exported, and folders that are no models."""
    monkeypatch.chdir(tmp_path)
    for folder in ("data", "pipelines", "saved_models/mails/1", "saved_models/mails/2", "empty"):
        (tmp_path / folder).mkdir(parents=True)
    for version in "12":
        (tmp_path / f"saved_models/mails/{version}/saved_model.pb").write_bytes(b"")
    for name in ("mails", "letters"):
        (tmp_path / f"pipelines/{name}.toml").write_text('task = "classify"\n')
    (tmp_path / "notes.txt").write_text("no model")
    return tmp_path


NAMES = {
    "mails": "mails: no such model; did you mean 'saved_models/mails'?",
    "pipelines/mails.toml": "pipelines/mails.toml: is a pipeline file, not an exported model; did you mean 'saved_models/mails'?",
    "mails.toml": "mails.toml: no such model; did you mean 'saved_models/mails'?",
    "pipelines/letters.toml": "is a pipeline file, not an exported model; export it first: textpipe run pipelines/letters.toml",
    "letters": "letters: no such model; export it first: textpipe run pipelines/letters.toml",
    "saved_models/letters": "no such model; export it first: textpipe run pipelines/letters.toml",
    "saved_models/mail": "saved_models/mail: no such model; did you mean 'saved_models/mails'?",
    "saved_models/mails/3": "saved_models/mails/3: no such model; did you mean 'saved_models/mails/",
    "nothing": "nothing: no such model; known: saved_models/mails",
    "empty": "contains no SavedModel and no numbered version; expected NAME or NAME/VERSION; known: saved_models/mails",
    "saved_models": "contains no SavedModel and no numbered version; expected NAME or NAME/VERSION; did you mean 'saved_models/mails'?",
    "notes.txt": "notes.txt: is a file; expected the directory of a model, NAME or NAME/VERSION",
}  # fmt: skip


@pytest.mark.parametrize(("name", "message"), NAMES.items())
def test_a_name_that_is_no_model_is_refused_with_the_one_that_is_meant(project, name, message):
    with pytest.raises(ModelError) as caught:
        locations.find_version(project.joinpath(name).relative_to(project))
    assert message in str(caught.value)


def test_a_model_is_found_with_its_latest_version(project):
    base = project / "saved_models/mails"
    assert locations.find_version(base) == base / "2"
    assert locations.find_version(base / "1") == base / "1"


@pytest.mark.parametrize("command", ["predict", "attention", "bulk"])
def test_every_command_that_takes_a_model_gives_the_hint(project, command):
    (project / "rows.txt").write_text("text\n")
    arguments = {"predict": ["text"], "attention": ["text"], "bulk": ["rows.txt", "out.jsonl"]}[command]
    done = CliRunner().invoke(cli.main, [command, "pipelines/mails.toml", *arguments])
    assert done.exit_code == 2 and NAMES["pipelines/mails.toml"] in done.stderr


def test_doctor_and_serve_give_a_hint(project):
    done = CliRunner().invoke(cli.main, ["doctor", "mails"])
    assert done.exit_code == 2 and NAMES["mails"] in done.stderr
    done = CliRunner().invoke(cli.main, ["serve", "pipelines/mails.toml"])
    assert done.exit_code == 2 and "found a file; did you mean 'saved_models'?" in done.stderr


def test_a_pipeline_is_found_by_its_name_in_the_folder_pipelines(project):
    assert str(bundled.find("mails")) == str(bundled.find("mails.toml")) == "pipelines/mails.toml"
    assert str(systems.pipeline_file("letters")) == "pipelines/letters.toml"
    (project / "mails.toml").write_text("")
    assert str(bundled.find("mails.toml")) == "mails.toml"
    with pytest.raises(ConfigError, match="no such pipeline file or bundled pipeline; did you mean 'letters'"):
        bundled.find("leters")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gradcheck", "recurent"], "did you mean 'recurrent'"),
        (["gradcheck", "recurrent", "-s", "model.unitz=3"], "unitz: unknown key; did you mean 'units'"),
        (["gradcheck", "empty"], "found no model.json"),
        (["gradcheck", "nothing.toml"], "no such pipeline file"),
        (["compare", "mals", "saved_models/mails"], "mals: no such model"),
        (["predict", "mals", "text"], "mals: no such model"),
        (["attention", "mals", "text"], "mals: no such model"),
        (["explain", "mals", "text"], "mals: no such model"),
        (["score", "mals", "rows.tsv"], "mals: no such model"),
        (["bulk", "mals", "notes.txt", "out.jsonl"], "mals: no such model"),
        (["tune", "mals"], "mals: no such pipeline file"),
        (["run", "mals"], "mals: no such pipeline file"),
        (["serve", "mals"], "mals: expected a folder of models"),
    ],
)
def test_a_wrong_name_is_refused_without_importing_tensorflow(project, arguments, message):
    script = (
        "import sys\nfrom textpipe import cli\ntry: cli.main()\nfinally: print('tensorflow' in sys.modules, 'keras' in sys.modules)"
    )  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False, cwd=project
    )
    assert done.returncode == 2 and message in done.stderr
    assert done.stdout == "False False\n"
