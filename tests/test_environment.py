"""Errors of the environment are one line that names the cause, in every command, and have their own exit codes."""

import errno
import os
import subprocess
import sys
import tempfile

import pytest
from click.testing import CliRunner

from textpipe import cli
from textpipe.config import plugins
from textpipe.errors import ConfigError, DataError, ModelError, NetworkError, ResourceError, ThresholdError
from textpipe.runtime import environment
from textpipe.runtime.module_command import module_command


def os_error(number, *path):
    return OSError(number, os.strerror(number), *path)


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (os_error(errno.ENOSPC, "reports/a.html"), 4, "reports/a.html: the disk is full"),
        (OSError("16124 requested and 10208 written"), 4, "output: the disk is full (16124 requested and 10208 written)"),
        (os_error(errno.ENOSPC), 4, "output: the disk is full"),
        (os_error(errno.EDQUOT, "x"), 4, "x: the disk is full"),
        (os_error(errno.EROFS, "saved_models"), 4, "saved_models: Read-only file system"),
        (os_error(errno.EACCES, b"data"), 4, "data: Permission denied"),
        (os_error(errno.EIO, "rows.tsv"), 4, "rows.tsv: Input/output error"),
        (os_error(errno.EMFILE), 4, "Too many open files"),
        (os_error(errno.ENOENT, "rows.tsv"), 2, "rows.tsv: No such file or directory"),
        (os_error(errno.EISDIR, "rows.tsv"), 2, "rows.tsv: Is a directory"),
        (FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp', '/']"), 4, "set TMPDIR"),
        (MemoryError(), 4, "out of memory"),
        (RuntimeError("Unable to write: errno = 28, error message = 'No space left on device'"), 4, "No space left"),
        (ModuleNotFoundError("No module named 'tensorflow_text'", name="tensorflow_text"), 4, "tensorflow_text cannot be imported"),
    ],
)  # fmt: skip
def test_an_environment_error_is_one_line_with_its_exit_code(monkeypatch, error, code, words):
    def command(*_, **__):
        raise error

    monkeypatch.setattr(plugins.find("commands", "plan").command, "callback", command)
    done = CliRunner().invoke(cli.main, ["-v", "plan", "x.toml"], catch_exceptions=False)
    assert done.exit_code == code
    assert done.stderr.startswith("error: ") and words in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize("error", [ValueError("no"), AssertionError(), OSError("no number"), KeyError("x")])
def test_a_bug_keeps_its_traceback(monkeypatch, error):
    def command(*_, **__):
        raise error

    monkeypatch.setattr(plugins.find("commands", "plan").command, "callback", command)
    done = CliRunner().invoke(cli.main, ["-v", "plan", "x.toml"])
    assert done.exit_code == 1 and done.exception is error


@pytest.mark.parametrize(
    ("error", "code"),
    [(ConfigError, 2), (DataError, 2), (ModelError, 2), (ThresholdError, 3), (ResourceError, 4), (NetworkError, 5)],
)
def test_exit_codes_are_those_listed_by_help(monkeypatch, error, code):
    def command(*_, **__):
        raise error("words")

    monkeypatch.setattr(plugins.find("commands", "plan").command, "callback", command)
    done = CliRunner().invoke(cli.main, ["-v", "plan", "x.toml"], catch_exceptions=False)
    assert (done.exit_code, done.stderr) == (code, "error: words\n")
    assert f" {code} " in " ".join(CliRunner().invoke(cli.main, ["--help"]).stdout.split("Exit codes:")[1].split())


def python(script, *, folder, **environ):
    words = {**os.environ, "PYTHONPATH": os.pathsep.join((str(folder), str(plugins.PACKAGE_FOLDER.parent))), **environ}
    return subprocess.run(
        [sys.executable, "-c", script], capture_output=True, encoding="latin-1", check=False, env=words, cwd="/"
    )


BROKEN = {
    "tensorflow": "raise ImportError('libcudart.so.12: cannot open shared object file')",
    "numpy": "raise RuntimeError('CPU dispatcher tracer already initialized')",
}


@pytest.mark.parametrize("library", BROKEN)
def test_a_library_that_cannot_be_imported_is_named(tmp_path, library):
    (tmp_path / library).mkdir()
    (tmp_path / library / "__init__.py").write_text(BROKEN[library])
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "saved_model.pb").write_bytes(b"")
    call = f"from textpipe.cli import main; main(['predict', {str(tmp_path / 'model')!r}, 'text'])"
    done = python(call, folder=tmp_path)
    assert done.returncode == 4
    assert done.stderr.startswith(f"error: {library} cannot be imported (") and done.stderr.count("\n") == 1


def test_without_a_temporary_folder_shared_memory_or_an_unchecked_folder_is_used(monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setenv("TMPDIR", "/nowhere")
    monkeypatch.setattr(environment, "is_writable", lambda folder: folder == "/var/tmp")
    environment.ensure_temporary_folder()
    assert os.environ["TMPDIR"] == "/nowhere" and tempfile.tempdir is None  # Python finds /var/tmp itself
    monkeypatch.setattr(environment, "is_writable", lambda folder: folder == "/dev/shm")
    environment.ensure_temporary_folder()
    assert os.environ["TMPDIR"] == "/dev/shm"
    monkeypatch.setattr(environment, "is_writable", lambda folder: False)
    environment.ensure_temporary_folder()
    assert tempfile.gettempdir() == "/dev/shm"


def test_a_folder_on_a_full_disk_is_not_writable(tmp_path, monkeypatch):
    assert environment.is_writable(str(tmp_path)) and not environment.is_writable(str(tmp_path / "nowhere"))
    state = os.statvfs(tmp_path)
    monkeypatch.setattr(os, "statvfs", lambda _: os.statvfs_result((*state[:3], 0, *state[4:])))
    assert not environment.is_writable(str(tmp_path))


@pytest.mark.parametrize("words", [["--version"], ["--help"], ["data", "list"]])
def test_a_full_disk_under_standard_output_is_named(tmp_path, words):
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "textpipe", *words], stdout=full, stderr=subprocess.PIPE, check=False, cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(plugins.PACKAGE_FOLDER.parent)},
        )  # fmt: skip
    assert done.returncode == 4
    assert done.stderr.startswith(b"error: output: the disk is full") and done.stderr.count(b"\n") == 1


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_streams_are_opened(closed, tmp_path):
    script = (
        "import os, sys; from textpipe import cli; cli.environment.open_closed_streams(); "
        "print('a', sys.stdin.closed); print('b', file=sys.stderr); "
        "open('out', 'w').write(str([stream.fileno() for stream in (sys.stdin, sys.stdout, sys.stderr)]))"
    )
    done = subprocess.run(["sh", "-c", f'"$0" -c "$1" {closed}', sys.executable, script], cwd=tmp_path, check=False)
    assert done.returncode == 0
    assert (tmp_path / "out").read_text() == "[0, 1, 2]"


def test_characters_outside_the_locales_encoding_are_escaped(tmp_path):
    script = "from textpipe import cli; import click; cli.environment.escape_unencodable_output(); click.echo('Grüße \\u4f60')"
    done = python(script, folder=tmp_path, PYTHONIOENCODING="iso-8859-1")
    assert done.stdout == "Grüße \\u4f60\n", done.stderr


def test_a_module_in_a_process_of_its_own_sees_the_working_folder_only_if_this_one_does(tmp_path, monkeypatch):
    (tmp_path / "here.py").write_text("print('working folder')")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "here.py").write_text("print('other folder')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "other"))
    for first, expected in (
        (str(tmp_path / "bin"), "other folder"),
        ("", "working folder"),
        (str(tmp_path), "working folder"),
    ):
        monkeypatch.setattr(sys, "path", [first, *sys.path])
        done = subprocess.run(module_command("here"), capture_output=True, text=True, check=True)
        assert done.stdout.strip() == expected
