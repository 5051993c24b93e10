"""A result is complete or absent, whatever happens while it is built."""

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from textpipe.errors import ArtifactError
from textpipe.store import Store


def write(text):
    def work(output: Path):
        (output / "a.txt").write_text(text)
        (output / "deep").mkdir(exist_ok=True)
        (output / "deep" / "b.txt").write_text(text * 2)

    return work


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "artifacts")


def test_a_finished_result_is_found_again(store):
    built = store.build("ingest", "k" * 64, {"section": 1}, write("x"))
    assert store.find("ingest", "k" * 64) == built
    assert store.find("ingest", "j" * 64) is None


def test_equal_bytes_give_equal_digests_and_logs_do_not_count(store):
    def with_log(text):
        def work(output):
            write("x")(output)
            (output / "logs").mkdir()
            (output / "logs" / "times").write_text(text)

        return work

    one = store.build("train", "a" * 64, {}, with_log("1 s"))
    two = store.build("train", "b" * 64, {}, with_log("2 s"))
    assert one.digest == two.digest
    assert store.build("train", "c" * 64, {}, write("y")).digest != one.digest


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), SystemExit(1)])
def test_an_interrupted_build_leaves_no_result_but_keeps_resume(store, error):
    def work(output):
        write("half")(output)
        (output / "resume").mkdir()
        (output / "resume" / "step").write_text("7")
        raise error

    with pytest.raises(type(error)):
        store.build("train", "k" * 64, {}, work)
    assert store.find("train", "k" * 64) is None

    def again(output):
        assert [path.name for path in output.iterdir()] == ["resume"]
        assert (output / "resume" / "step").read_text() == "7"
        write("whole")(output)

    built = store.build("train", "k" * 64, {}, again)
    assert not (built.path / "resume").exists()
    assert sorted(path.name for path in built.path.iterdir()) == ["a.txt", "deep", "manifest.json"]


def test_a_killed_build_leaves_no_result(store):
    script = (
        "import os, signal, sys; from pathlib import Path; from textpipe.store import Store\n"
        "def work(output):\n"
        "    (output / 'a.txt').write_text('half'); os.kill(os.getpid(), signal.SIGKILL)\n"
        "Store(Path(sys.argv[1])).build('ingest', 'k' * 64, {}, work)"
    )
    done = subprocess.run([sys.executable, "-c", script, str(store.root)], check=False)
    assert done.returncode == -9
    assert store.find("ingest", "k" * 64) is None
    assert store.build("ingest", "k" * 64, {}, write("x")).path.joinpath("a.txt").read_text() == "x"


@pytest.mark.parametrize("hurt", ["shorten", "change", "delete", "manifest"])
def test_a_damaged_result_is_set_aside_and_built_again(store, caplog, hurt):
    built = store.build("ingest", "k" * 64, {}, write("xyz"))
    file = built.path / "deep" / "b.txt"
    if hurt == "shorten":
        file.write_text("x")
    elif hurt == "change":
        file.write_text("zyxzyx")
        os.utime(file, ns=(1, 1))
    elif hurt == "delete":
        file.unlink()
    else:
        (built.path / "manifest.json").write_text("{")
    assert store.find("ingest", "k" * 64) is None
    assert "set aside" in caplog.text
    assert store.build("ingest", "k" * 64, {}, write("xyz")).digest == built.digest


def test_a_touched_but_equal_file_is_no_damage(store):
    built = store.build("ingest", "k" * 64, {}, write("xyz"))
    os.utime(built.path / "a.txt", ns=(1, 1))
    assert store.find("ingest", "k" * 64) == built


def test_two_builds_of_one_key_do_the_work_once(store):
    started, counted = threading.Event(), []

    def slow(output):
        counted.append(1)
        started.set()
        release.wait(10)
        write("x")(output)

    release = threading.Event()
    results = []
    first = threading.Thread(target=lambda: results.append(store.build("ingest", "k" * 64, {}, slow)))
    first.start()
    assert started.wait(10)
    second = threading.Thread(target=lambda: results.append(store.build("ingest", "k" * 64, {}, slow)))
    second.start()
    release.set()
    first.join(10)
    second.join(10)
    assert len(counted) == 1
    assert results[0] == results[1]


def test_a_full_disk_is_named_with_its_cure_and_leaves_nothing(store):
    def work(output):
        write("half")(output)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(ArtifactError, match="disk is full.*free some space"):
        store.build("vectorize", "k" * 64, {}, work)
    assert store.find("vectorize", "k" * 64) is None
    assert not list(store.root.glob("vectorize/*.work"))
