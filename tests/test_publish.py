"""Versions appear complete, once, and are never modified."""

import errno
import multiprocessing
import os
import shutil

import pytest

from textpipe.errors import ArtifactError, ModelError
from textpipe.savedmodel import manifest, publish


@pytest.fixture
def model(tmp_path):
    return make(tmp_path / "model", "weights")


def make(folder, content):
    """A directory like a SavedModel, with a valid manifest."""
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"graph")
    (folder / "variables" / "variables.data").write_text(content)
    manifest.write(folder)
    return folder


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_versions_increase_and_equal_models_share_one(model, tmp_path):
    base = tmp_path / "saved" / "name"
    assert publish.publish(model, base) == base / "1"
    assert publish.publish(model, base) == base / "1"
    other = make(tmp_path / "other", "more weights")
    assert publish.publish(other, base) == base / "2"
    assert publish.publish(model, base) == base / "3"
    assert (base / "1/variables/variables.data").read_text() == "weights"
    assert (base / "2/variables/variables.data").read_text() == "more weights"
    assert names(base) == ["1", "2", "3"]


def test_other_directories_are_left_alone_and_numbers_continue(model, tmp_path):
    base = tmp_path / "name"
    for name in ("7", "notes", "v9"):
        (base / name).mkdir(parents=True)
        (base / name / "keep.txt").write_text("mine")
    assert publish.publish(model, base) == base / "8"
    assert (base / "7/keep.txt").read_text() == "mine"
    assert names(base) == ["7", "8", "notes", "v9"]


def test_a_damaged_latest_version_is_not_reused(model, tmp_path):
    base = tmp_path / "name"
    first = publish.publish(model, base)
    (first / "variables/variables.data").unlink()
    assert publish.publish(model, base) == base / "2"


def test_a_changed_model_is_rejected_and_the_file_named(model, tmp_path):
    (model / "variables/variables.data").write_text("WEIGHTS")
    with pytest.raises(ModelError, match="variables/variables.data: is not the file that was exported"):
        publish.publish(model, tmp_path / "name")
    assert not (tmp_path / "name").exists()


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda folder: (folder / "saved_model.pb").unlink(), "saved_model.pb: is missing"),
        (lambda folder: (folder / "saved_model.pb").write_bytes(b"g"), "saved_model.pb: has 1 bytes where"),
        (lambda folder: (folder / "variables/extra").write_bytes(b""), "variables/extra: is not in the manifest"),
        (lambda folder: (folder / "manifest.json").write_text("{"), "manifest.json: cannot be read"),
        (lambda folder: (folder / "manifest.json").unlink(), "no manifest.json"),
    ],
)
def test_verify_names_the_damage(model, harm, words):
    manifest.verify(model)
    harm(model)
    with pytest.raises(ModelError, match=words):
        manifest.verify(model)


def publish_at_once(model, base, barrier):
    barrier.wait()
    publish.publish(model, base)


def test_publishers_at_the_same_moment_get_different_versions(tmp_path):
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(4)
    models = [make(tmp_path / f"model{number}", f"weights {number}") for number in range(4)]
    workers = [context.Process(target=publish_at_once, args=(one, tmp_path / "name", barrier)) for one in models]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0] * 4
    assert names(tmp_path / "name") == ["1", "2", "3", "4"]
    contents = {path.read_text() for path in (tmp_path / "name").glob("*/variables/variables.data")}
    assert contents == {f"weights {number}" for number in range(4)}
    for version in (tmp_path / "name").iterdir():
        manifest.verify(version)


def test_one_model_published_twice_at_the_same_moment_is_one_version(model, tmp_path):
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(3)
    workers = [context.Process(target=publish_at_once, args=(model, tmp_path / "name", barrier)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0] * 3
    assert names(tmp_path / "name") == ["1"]


def test_a_number_taken_meanwhile_is_skipped_not_overwritten(model, tmp_path, monkeypatch):
    base = tmp_path / "name"
    genuine = os.rename

    def rename(source, target):  # another process is quicker, once
        if not target.exists() and target.name == "1":
            make(target, "theirs")
        genuine(source, target)

    monkeypatch.setattr(os, "rename", rename)
    assert publish.publish(model, base) == base / "2"
    assert (base / "1/variables/variables.data").read_text() == "theirs"


def test_a_full_disk_leaves_nothing_and_says_so(model, tmp_path, monkeypatch):
    base = tmp_path / "name"
    first = publish.publish(model, base)
    other = make(tmp_path / "other", "more weights")

    def full(source, target, **_):
        target.mkdir()
        (target / "half").write_bytes(b"")
        raise OSError(errno.ENOSPC, "No space left on device", str(target))

    monkeypatch.setattr(shutil, "copytree", full)
    with pytest.raises(ArtifactError, match="disk is full and nothing was published"):
        publish.publish(other, base)
    assert names(base) == [first.name]


def test_the_copy_of_a_killed_process_is_removed(model, tmp_path):
    base = tmp_path / "saved" / "name"
    for name in (".0123456789abcdef.part", ".hidden", "notes.part"):
        (base / name / "variables").mkdir(parents=True)
    publish.publish(model, base)
    assert names(base) == [".hidden", "1", "notes.part"]
