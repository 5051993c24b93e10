"""A result is complete or absent, whatever happens during its build."""

import errno
import json
import os
import random
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from textpipe.cache.store import Store
from textpipe.errors import ArtifactError, ResourceError


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
        "import os, signal, sys; from pathlib import Path; from textpipe.cache.store import Store\n"
        "def work(output):\n"
        "    (output / 'a.txt').write_text('half'); os.kill(os.getpid(), signal.SIGKILL)\n"
        "Store(Path(sys.argv[1])).build('ingest', 'k' * 64, {}, work)"
    )
    done = subprocess.run([sys.executable, "-c", script, str(store.root)], check=False)
    assert done.returncode == -9
    assert store.find("ingest", "k" * 64) is None
    assert store.build("ingest", "k" * 64, {}, write("x")).path.joinpath("a.txt").read_text() == "x"


@pytest.mark.parametrize("damage", ["shorten", "change", "delete", "manifest"])
def test_a_damaged_result_is_set_aside_and_rebuilt(store, caplog, damage):
    built = store.build("ingest", "k" * 64, {}, write("xyz"))
    file = built.path / "deep" / "b.txt"
    if damage == "shorten":
        file.write_text("x")
    elif damage == "change":
        file.write_text("zyxzyx")
        os.utime(file, ns=(1, 1))
    elif damage == "delete":
        file.unlink()
    else:
        (built.path / "manifest.json").write_text("{")
    assert store.find("ingest", "k" * 64) is None
    assert "set aside" in caplog.text
    assert store.build("ingest", "k" * 64, {}, write("xyz")).digest == built.digest


def test_a_touched_but_equal_file_is_not_damaged(store):
    built = store.build("ingest", "k" * 64, {}, write("xyz"))
    os.utime(built.path / "a.txt", ns=(1, 1))
    assert store.find("ingest", "k" * 64) == built


def test_concurrent_builds_of_the_same_key_work_once(store):
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


def test_a_full_disk_is_an_error_with_a_cure_and_leaves_nothing(store):
    def work(output):
        write("half")(output)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(ArtifactError, match="disk is full.*free some space"):
        store.build("vectorize", "k" * 64, {}, work)
    assert store.find("vectorize", "k" * 64) is None
    assert not list(store.root.glob("vectorize/*.work"))


def test_contents_are_compared_before_something_is_built_from_them(store, caplog):
    built = store.build("train", "k" * 64, {}, write("xyz"))
    file = built.path / "deep" / "b.txt"
    before = file.stat()
    file.write_text("xyzxyZ")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert store.find("train", "k" * 64) == built  # the fast check of a cached run
    assert store.find("train", "k" * 64, contents=True) is None
    assert "b.txt is not the file that was written; set aside as" in caplog.text
    assert (store.root / "train" / ("k" * 32 + ".damaged") / "deep" / "b.txt").read_text() == "xyzxyZ"


def flips(size, count, seed):
    """`count` random bits of a file, as (byte position, bit mask)."""
    rng = random.Random(seed)
    return [(rng.randrange(size), 1 << rng.randrange(8)) for _ in range(count)]


def count_missed_flips(store, built, count, seed):
    """Flips single bits of a manifest, one at a time; returns how many were not detected."""
    path = built.path / "manifest.json"
    genuine = path.read_bytes()
    missed = 0
    for position, bit in flips(len(genuine), count, seed):
        flipped = bytearray(genuine)
        flipped[position] ^= bit
        path.write_bytes(flipped)
        missed += store.find("train", "k" * 64) is not None
        aside = built.path.with_name(built.path.name + ".damaged")
        if aside.exists():
            os.replace(aside, built.path)
    path.write_bytes(genuine)
    assert store.find("train", "k" * 64) == built
    return missed


FINGERPRINT = {"section": {"Grüße": 3, "l2": 1e-05, "on": True, "none": None}, "code": {"textpipe.cache.store": "0f"}}


def test_a_flipped_bit_of_a_manifest_is_detected(store):
    built = store.build("train", "k" * 64, FINGERPRINT, write("xyz"))
    assert count_missed_flips(store, built, 400, seed=11) == 0


@pytest.mark.prove
def test_ten_thousand_flipped_bits_of_a_manifest_are_detected(store):
    built = store.build("train", "k" * 64, FINGERPRINT, write("xyz"))
    assert count_missed_flips(store, built, 10_000, seed=12) == 0


NOT_MANIFESTS = ["", "null", "[]", "3", '"text"', "{}", "NaN", "[" * 5000, '{"files": {}}', '{"sum": "0"}', "\ufeff{}"]


@pytest.mark.parametrize("text", NOT_MANIFESTS)
def test_an_invalid_manifest_is_set_aside(store, caplog, text):
    built = store.build("ingest", "k" * 64, {}, write("xyz"))
    (built.path / "manifest.json").write_text(text, encoding="utf-8")
    assert store.find("ingest", "k" * 64) is None
    assert "manifest.json is corrupt" in caplog.text


def test_a_truncated_manifest_is_set_aside(store):
    built = store.build("train", "k" * 64, FINGERPRINT, write("xyz"))
    path, aside = built.path / "manifest.json", built.path.with_name(built.path.name + ".damaged")
    genuine = path.read_bytes()
    for end in range(0, len(genuine), 7):
        path.write_bytes(genuine[:end])
        assert store.find("train", "k" * 64) is None
        os.replace(aside, built.path)


def test_folders_in_place_of_files_are_damage(store):
    built = store.build("ingest", "k" * 64, {}, write("xyz"))
    (built.path / "manifest.json").unlink()
    (built.path / "manifest.json").mkdir()
    assert store.find("ingest", "k" * 64) is None
    again = store.build("ingest", "k" * 64, {}, write("xyz"))
    (again.path / "a.txt").unlink()
    (again.path / "a.txt").mkdir()
    assert store.find("ingest", "k" * 64) is None
    built.path.write_text("a file in the place of a result")
    assert store.find("ingest", "k" * 64) is None
    assert store.build("ingest", "k" * 64, {}, write("xyz")).digest == built.digest


def test_a_result_of_a_version_without_checksums_is_rebuilt_without_a_warning(store, caplog):
    built = store.build("ingest", "k" * 64, {}, write("xyz"))
    table = json.loads((built.path / "manifest.json").read_text())
    del table["sum"]
    (built.path / "manifest.json").write_text(json.dumps(table, indent=1, sort_keys=True) + "\n")
    assert store.find("ingest", "k" * 64) is None
    assert built.path.exists() and not [record for record in caplog.records if record.levelname == "WARNING"]
    assert store.build("ingest", "k" * 64, {}, write("xyz")).digest == built.digest
    assert json.loads((built.path / "manifest.json").read_text())["sum"]


@pytest.mark.parametrize("text", ["[]", "null", "{", "7", "[" * 5000])
def test_a_damaged_record_of_the_latest_result_is_ignored(store, text):
    artifact = store.build("ingest", "k" * 64, {}, write("xyz"))
    store.remember("mine", artifact)
    (store.root / "latest" / "mine" / "ingest.json").write_text(text)
    assert store.latest("ingest", "mine") is None


FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("call", ["fsync", "replace", "mkdir"])
def test_a_full_disk_at_any_call_leaves_nothing_and_the_next_run_succeeds(store, monkeypatch, call):
    def full(*_, **__):
        raise FULL

    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        with pytest.raises(ResourceError, match="disk is full.*free some space"):
            store.build("vectorize", "k" * 64, {}, write("x"))
    assert not list(store.root.glob("vectorize/*.work"))
    assert store.build("vectorize", "k" * 64, {}, write("x")).path.joinpath("a.txt").read_text() == "x"
    assert ResourceError.exit_code == 4
