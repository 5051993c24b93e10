"""A device, a named pipe or a file that is far too large is refused at once where a command expects a file."""

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from textpipe import cli
from textpipe.answers import _response_set
from textpipe.config import sections
from textpipe.data import text_file
from textpipe.errors import ConfigError, DataError
from textpipe.kinds import image
from textpipe.runtime import small_file
from textpipe.serve import access, tls
from textpipe.training.warm_start import word_vectors

READERS = {
    "pipeline": sections.load,
    "token file": access.TokenAuth.read,
    "certificate": lambda path: tls.read_pem(path, "--tls-cert"),
    "responses": _response_set.read,
    "rows": lambda path: text_file.open_bytes(path),
    "picture": image.read_file,
    "word vectors": lambda path: next(word_vectors.read(path)),
}
READS_PIPES = ("token file", "certificate")  # --token-file <(command)


@pytest.fixture
def pipe(tmp_path):
    path = tmp_path / "pipe.toml"
    os.mkfifo(path)
    return path


@pytest.mark.parametrize("reader", list(READERS))
def test_a_device_without_end_is_refused(reader):
    with pytest.raises((ConfigError, DataError, ValueError), match=r"/dev/zero.*found a device"):
        READERS[reader](Path("/dev/zero"))


@pytest.mark.parametrize("reader", [name for name in READERS if name not in READS_PIPES])
def test_a_named_pipe_is_refused_without_waiting_for_a_writer(reader, pipe):
    with pytest.raises((ConfigError, DataError, ValueError), match=r"pipe\.toml.*found a named pipe"):
        READERS[reader](pipe)


def test_a_large_file_is_no_pipeline_file(tmp_path):
    path = tmp_path / "large.toml"
    path.write_text("#" * small_file.MAX_BYTES)
    assert sections.load(path) == {}
    path.write_text("#" * (small_file.MAX_BYTES + 1))
    with pytest.raises(ConfigError, match="expected at most 1,000,000 bytes, found more; give a pipeline file"):
        sections.load(path)


@pytest.mark.parametrize("command", ["plan", "run", "ingest"])
def test_a_command_ends_with_the_place_and_the_cure(command):
    done = CliRunner().invoke(cli.main, [command, "/dev/zero"])
    assert done.exit_code == 2
    assert "/dev/zero: cannot be read: expected a file, found a device; give a pipeline file" in done.stderr


def test_tokens_are_read_from_a_pipe_of_the_shell():
    reader, writer = os.pipe()
    os.write(writer, b"secret\n")
    os.close(writer)
    try:
        assert access.TokenAuth.read(Path(f"/dev/fd/{reader}")).tokens == [b"secret"]
    finally:
        os.close(reader)
