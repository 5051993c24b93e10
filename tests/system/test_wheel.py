"""An installed wheel works in an empty folder and includes pipelines, cards, data sets and types."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder with what a wheel of this checkout installs."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def textpipe(installed, folder, *words):
    script = "import textpipe, sys; from textpipe.cli import main; assert textpipe.__file__.startswith(sys.argv[1]); main(sys.argv[2:])"
    return subprocess.run(
        [sys.executable, "-c", script, str(installed), *words], cwd=folder, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(installed)},
    )  # fmt: skip


def test_a_bundled_pipeline_runs_from_an_empty_folder(installed, tmp_path):
    done = textpipe(installed, tmp_path, "run", "mail_reply_or_not", "--until", "ingest", "-s", "ingest.max_rows=50")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / done.stdout.strip() / "stats.json").is_file()
    assert done.stdout.startswith("data/artifacts/ingest/")


def test_every_bundled_pipeline_is_listed_and_valid(installed, tmp_path):
    listed = textpipe(installed, tmp_path, "new", "--list").stdout
    for path in (ROOT / "pipelines").glob("*.toml"):
        line = next(line for line in listed.splitlines() if line.split()[:1] == [path.stem])
        assert len(line.split()) > 3
    for name in ("mail_smart_reply", "phrases_en_de"):
        done = textpipe(installed, tmp_path, "plan", name)
        assert done.returncode == 0 and done.stdout.startswith("ingest"), done.stderr
    assert not list(tmp_path.iterdir())


def test_a_file_takes_precedence_over_a_bundled_pipeline(installed, tmp_path):
    shutil.copy(ROOT / "pipelines/phrases_en_de.toml", tmp_path / "mail_reply_or_not.toml")
    shown = textpipe(installed, tmp_path, "plan", "mail_reply_or_not.toml", "--json").stdout
    assert '"task": "translate"' in shown
    done = textpipe(installed, tmp_path, "plan", "mail_reply_or_nt")
    assert done.returncode == 2 and "did you mean 'mail_reply_or_not'?" in done.stderr


def test_the_wheel_is_marked_as_typed(installed):
    assert (installed / "textpipe/py.typed").is_file() and (installed / "textpipe/__init__.pyi").is_file()
