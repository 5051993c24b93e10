"""The command line as a user runs it: a small project in an empty directory, commands in separate processes."""

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

import forkserver
import pytest

WANTS = (
    "Can you send me the {} by {}?",
    "Please call me about the {} on {}.",
    "When is the {} due, {}?",
    "Could we meet for the {} {}?",
)
TELLS = ("The {} went out on {}.", "Thanks for the {} of {}.", "I filed the {} {}.", "We closed the {} last {}.")
THINGS = ("report", "invoice", "contract", "agenda", "ticket", "slides", "budget", "draft", "forecast", "schedule")
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")

PIPELINE = """
task = "classify"
seed = 1

[ingest]
files = "mail.tsv"
columns = { text = "message", label = "wants_reply" }
split = { valid = 0.15, test = 0.25 }

[normalize]
steps = ["unicode", "casefold", "whitespace"]

[tokenize]
codec = "none"

[vectorize]
features = { kind = "tfidf", words = [1, 2] }

[model]
kind = "logistic_regression"
l2 = 0.001

[train]
epochs = 2
batch_rows = 64
"""


def rows():
    for label, phrasings in (("yes", WANTS), ("no", TELLS)):
        for phrasing in phrasings:
            for thing in THINGS:
                for day in DAYS:
                    yield phrasing.format(thing, day), label


class Project:
    """A user's directory."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.write("mail.tsv", "message\twants_reply\n" + "".join(f"{text}\t{label}\n" for text, label in rows()))
        self.write("mail.toml", PIPELINE)

    def write(self, name: str, content: str | bytes) -> Path:
        path = self.folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "textpipe", *words]

    def textpipe(self, *words: str, stdin: str | bytes = b"", env: dict[str, str] | None = None):
        data = stdin.encode() if isinstance(stdin, str) else stdin
        code, out, err = forkserver.run(words, self.folder, {**os.environ, **(env or {})}, data)
        return subprocess.CompletedProcess(self.command(*words), code, out.decode(), err.decode())

    def fails(self, *words: str, code: int = 2, **options) -> str:
        """The message of a command that must fail without a traceback; code: the expected exit code."""
        done = self.textpipe(*words, **options)
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stderr

    def succeeds(self, *words: str, **options) -> str:
        done = self.textpipe(*words, **options)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def heavy_imports(self, *words: str) -> list[str]:
        """The heavy libraries that a command imports, in a new process; the command must succeed."""
        script = (
            "import sys; from textpipe.cli import main\n"
            f"try: main({list(words)!r})\n"
            "except SystemExit as end: assert not end.code\n"
            "heavy = {'tensorflow', 'keras', 'pandas', 'pyarrow', 'numpy', 'sklearn', 'scipy'} & set(sys.modules)\n"
            "print('heavy:', *sorted(heavy))"
        )
        done = subprocess.run(
            [sys.executable, "-c", script], cwd=self.folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()[-1].removeprefix("heavy:").split()

    def leftovers(self) -> list[str]:
        """Incomplete results in the store and among the published models."""
        found = [*self.folder.glob("data/artifacts/*/*.work"), *self.folder.glob("saved_models/*/.*")]
        return [str(path) for path in found]


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path)


@pytest.fixture(scope="session")
def trained_once(tmp_path_factory):
    """A project whose pipeline has run, once for all tests; to be copied. The output of the run is in first.txt."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "trained"
    with (folder.with_suffix(".lock")).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "first.txt").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            output = Project(folder).succeeds("run", "mail.toml", "--show", "2")
            (folder / "first.txt").write_text(output, encoding="utf-8")
    return folder


def copied(folder, place):
    """A copy of a project that keeps modification times, so its artifacts count as unchanged."""
    shutil.copytree(folder, place, dirs_exist_ok=True, copy_function=shutil.copy2)
    copy = object.__new__(Project)
    copy.folder = place
    return copy


@pytest.fixture(scope="module")
def trained(trained_once, tmp_path_factory):
    """A trained project; its tests do not change its inputs."""
    project = copied(trained_once, tmp_path_factory.mktemp("trained"))
    project.first = (project.folder / "first.txt").read_text(encoding="utf-8")
    return project


@pytest.fixture
def trained_copy(trained_once, tmp_path):
    """A trained project that the test may damage."""
    return copied(trained_once, tmp_path)
