"""Files and the store on shared storage, by URL."""

import json
import os

import fsspec
import pytest
import tiny
from click.testing import CliRunner
from fsspec.implementations.memory import MemoryFileSystem

from textpipe.cache import checksummed_json, mirror
from textpipe.cli import main
from textpipe.config.sections import Section
from textpipe.errors import DataError, NetworkError, ResourceError
from textpipe.pipeline import runner
from textpipe.runtime import storage


@pytest.fixture
def memory(tmp_path, monkeypatch):
    """A file system of storage, empty, and a working folder."""
    monkeypatch.chdir(tmp_path)
    system = fsspec.filesystem("memory")
    system.store.clear()
    storage.fetch.cache_clear()
    yield system
    system.store.clear()


def fail(*args, **kwargs):
    raise RuntimeError("503 slow down\nretry later")


# Files


def test_a_file_is_fetched_again_only_where_it_has_changed(memory, caplog):
    caplog.set_level("INFO")
    memory.pipe("/mail/a.tsv", b"one")
    first = storage.fetch("memory://mail/a.tsv")
    assert first.name == "a.tsv" and first.read_bytes() == b"one"
    written = first.stat().st_mtime_ns
    storage.fetch.cache_clear()
    assert storage.fetch("memory://mail/a.tsv").stat().st_mtime_ns == written and len(caplog.records) == 1
    memory.pipe("/mail/a.tsv", b"longer")
    storage.fetch.cache_clear()
    assert storage.fetch("memory://mail/a.tsv").read_bytes() == b"longer"
    assert [path.name for path in first.parent.iterdir()] == ["a.tsv"]
    assert sorted(path.name for path in first.parent.parent.iterdir()) == [storage.COPY, storage.LOCK, storage.VERSION]


def test_a_file_may_have_any_name_and_any_place(memory):
    for name in (storage.VERSION, storage.COPY, storage.LOCK, "x" * 300 + ".tsv.gz"):
        memory.pipe(f"/{name}", name.encode())
        for _ in range(2):
            storage.fetch.cache_clear()
            path = storage.fetch(f"memory://{name}")
            assert path.read_bytes() == name.encode() and path.suffix == storage.Path(name).suffix
    assert storage.name_of("s3://../") == storage.name_of("s3://b/..") == storage.COPY
    assert storage.name_of("https://b/a.tsv?raw=1#x") == "a.tsv" and storage.name_of("s3://bucket") == "bucket"


def test_a_file_without_a_date_is_fetched_each_time(memory, monkeypatch):
    info = MemoryFileSystem.info
    monkeypatch.setattr(MemoryFileSystem, "info", lambda *args, **words: {**info(*args, **words), "created": None})
    for text in (b"one", b"two"):
        memory.pipe("/a.tsv", text)
        storage.fetch.cache_clear()
        assert storage.fetch("memory://a.tsv").read_bytes() == text
    assert storage.stamps({"size": 3, "Last-Modified": "Mon"}) == {"size": "3", "Last-Modified": "Mon"}


def test_a_folder_is_fetched_with_what_is_below_it(memory):
    memory.pipe({"/box/new/1": b"a", "/box/cur/2": b"b"})
    folder = storage.fetch("memory://box")
    assert {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()} == {
        "new/1": b"a",
        "cur/2": b"b",
    }
    memory.rm("/box/cur/2")
    storage.fetch.cache_clear()
    assert [path.name for path in storage.fetch("memory://box").rglob("*") if path.is_file()] == ["1"]


def test_a_file_url_is_a_path_and_a_drive_is_no_url(tmp_path):
    assert storage.fetch(f"file://{tmp_path}/a%20b.tsv") == tmp_path / "a b.tsv"
    assert storage.fetch(f"FILE://localhost{tmp_path}/a#b?.tsv") == tmp_path / "a#b?.tsv"
    assert (
        not storage.is_url("C:/mail.tsv") and not storage.is_url("data/mail.tsv") and storage.is_url("s3://b/mail.tsv")
    )


def test_what_cannot_be_fetched_is_a_message(memory, monkeypatch):
    with pytest.raises(DataError, match="memory://absent.tsv: no such file"):
        storage.fetch("memory://absent.tsv")
    with pytest.raises(DataError, match="unheard://x: Protocol not known: unheard"):
        storage.fetch("unheard://x")
    memory.pipe("/a.tsv", b"one")
    monkeypatch.setattr(MemoryFileSystem, "info", fail)
    with pytest.raises(NetworkError, match="memory://a.tsv: cannot be reached: 503 slow down$"):
        storage.fetch("memory://a.tsv")
    monkeypatch.setitem(__import__("sys").modules, "fsspec", None)
    with pytest.raises(ResourceError, match=r"pip install 'textpipe\[storage\]'"):
        storage.library()


class StatusError(Exception):
    """As aiohttp's ClientResponseError."""

    def __init__(self, status):
        super().__init__(f"{status}, message='words'")
        self.status = status


@pytest.mark.parametrize(
    ("cause", "words", "kind"),
    [
        (StatusError(404), "no such file", DataError),
        (StatusError(503), "cannot be reached: 503", NetworkError),
        (ConnectionError("refused"), "cannot be reached: refused", NetworkError),
        (None, "no such file", DataError),
    ],
)
def test_http_says_no_such_file_of_whatever_happened(cause, words, kind):
    with pytest.raises(DataError, match=words) as caught, storage.explained("https://h/a.tsv"):
        raise FileNotFoundError("https://h/a.tsv") from cause
    assert type(caught.value) is kind


def test_a_fetch_that_breaks_leaves_the_copy_of_before(memory, monkeypatch, caplog):
    memory.pipe("/a.tsv", b"one")
    path = storage.fetch("memory://a.tsv")
    memory.pipe("/a.tsv", b"another")
    storage.fetch.cache_clear()
    monkeypatch.setattr(MemoryFileSystem, "get_file", fail)
    with pytest.raises(NetworkError):
        storage.fetch("memory://a.tsv")
    assert path.read_bytes() == b"one" and len(list(path.parent.parent.iterdir())) == 3
    monkeypatch.setattr(MemoryFileSystem, "info", fail)
    assert storage.fetch("memory://a.tsv") == path and "the copy of an earlier run is used" in caplog.text


def test_a_file_outside_its_folder_is_refused(memory, tmp_path):
    with pytest.raises(DataError, match="a file outside its folder"):
        storage.download(memory, "/box", {"../../evil": {}}, tmp_path / "box")


def test_only_settings_that_name_files_take_urls(memory):
    from pathlib import Path

    class Settings(Section):
        files: dict[str, Path | list[Path]] | None = None
        pattern: str = ""

    memory.pipe("/a.tsv", b"one")
    read = Settings(files={"train": ["memory://a.tsv"], "test": "local.tsv"}, pattern="memory://a.tsv")
    assert read.files["train"][0].read_bytes() == b"one" and read.files["test"] == Path("local.tsv")
    assert read.pattern == "memory://a.tsv"
    with pytest.raises(ValueError, match="memory://b.tsv: no such file"):
        Settings(files={"train": "memory://b.tsv"})


# The store


@pytest.fixture
def project(memory, tmp_path, monkeypatch):
    """run(machine) runs a pipeline whose rows are in storage, with a store of that machine and a common mirror."""
    rows = tiny.classifier_rows(tmp_path / "rows.tsv")
    memory.pipe("/rows.tsv", rows.read_bytes())
    tables = {**tiny.CLASSIFIER, "ingest": {"files": "memory://rows.tsv"}}
    (tmp_path / "mail.toml").write_text(tiny.toml(tables), encoding="utf-8")
    monkeypatch.setenv(mirror.VARIABLE, "memory://store/mail")

    def run(machine, *words, until="vectorize"):
        storage.fetch.cache_clear()
        command = ["run", "mail.toml", "--until", until, "--artifacts", machine, "--json", *words]
        done = CliRunner().invoke(main, command)
        assert done.exit_code == 0, done.output
        return done

    return run


def contents(folder):
    """{file: bytes} of the results of a store."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for stage in runner.ORDER
        for path in (folder / stage).rglob("*")
        if path.is_file() and path.suffix not in (".lock", mirror.UNCOPIED)
    }


def test_a_result_of_one_machine_is_fetched_by_another(project, memory, tmp_path, monkeypatch):
    project("one")
    planned = CliRunner().invoke(main, ["plan", "mail.toml", "--artifacts", "two", "--until", "vectorize", "--json"])
    assert [step["state"] for step in json.loads(planned.output)["steps"]] == ["cached"] * 4
    assert not (tmp_path / "two" / "ingest").exists()
    monkeypatch.setattr("textpipe.stages.ingest.run", fail)
    project("two")
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_a_damaged_or_partial_result_of_the_mirror_is_built_again(project, memory, tmp_path, caplog):
    project("one", until="ingest")
    (folder,) = (tmp_path / "one" / "ingest").glob("*[0-9a-f]")
    place = f"/store/mail/ingest/{folder.name}"
    whole = memory.cat_file(f"{place}/stats.json")
    memory.pipe(f"{place}/stats.json", bytes(len(whole)))
    project("two", until="ingest")
    assert "stats.json is not the file that was written; the result is built again" in caplog.text
    assert memory.cat_file(f"{place}/stats.json") == whole
    memory.rm(f"{place}/manifest.json")
    project("three", until="ingest")
    assert memory.exists(f"{place}/manifest.json")
    memory.pipe(f"{place}/manifest.json", b"{}")
    project("four", until="ingest")
    assert "manifest.json: is corrupt; the result is built again" in caplog.text
    built = [contents(tmp_path / machine) for machine in ("one", "four")]
    for files in built:
        del files[f"ingest/{folder.name}/manifest.json"]  # it has the times of the build
    assert built[0] == built[1]


@pytest.mark.parametrize("time", ["yesterday", None, 10**30, -(10**30)])
def test_a_manifest_of_the_mirror_with_a_time_that_is_none_is_damaged(memory, tmp_path, monkeypatch, caplog, time):
    monkeypatch.setenv(mirror.VARIABLE, "memory://store")
    key = "ab" * 32
    built = mirror.open_store(tmp_path / "one").build("train", key, {}, lambda folder: (folder / "a").write_text("x"))
    place = f"/store/train/{built.path.name}/manifest.json"
    table = json.loads(memory.cat_file(place))
    table["files"]["a"]["mtime_ns"] = time
    table = {name: value for name, value in table.items() if name in ("digest", "stage", "ingredients", "files")}
    memory.pipe(place, checksummed_json.dumps(table).encode())
    assert mirror.open_store(tmp_path / "two").find("train", key) is None
    assert "manifest.json: is corrupt; the result is built again" in caplog.text


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("shared", "expected a URL, s3://bucket/textpipe for example, or an absolute path, found 'shared'"),
        ("file://", "expected a URL"),
        ("unheard://x", "unheard://x: Protocol not known"),
    ],
)
def test_a_store_that_cannot_be_is_refused(tmp_path, monkeypatch, value, words):
    monkeypatch.setenv(mirror.VARIABLE, value)
    with pytest.raises(DataError, match=f"{mirror.VARIABLE}: {words}"):
        mirror.open_store(tmp_path)
    monkeypatch.setenv(mirror.VARIABLE, str(tmp_path))
    assert mirror.open_store(tmp_path).url == str(tmp_path)


def test_storage_that_fails_costs_no_result(project, memory, tmp_path, monkeypatch, caplog):
    with monkeypatch.context() as broken:
        broken.setattr(MemoryFileSystem, "put_file", fail)
        broken.setattr(MemoryFileSystem, "cat_file", fail)
        project("one", until="ingest")
    assert "503 slow down" in caplog.text and "the run goes on without the mirror" in caplog.text
    assert not memory.find("/store/mail/ingest") and list((tmp_path / "one" / "ingest").glob("*.uncopied"))
    project("one", until="ingest")
    assert memory.find("/store/mail/ingest") and not list((tmp_path / "one" / "ingest").glob("*.uncopied"))


def test_the_store_of_a_folder_url_is_kept_like_any_other(project, tmp_path, monkeypatch):
    monkeypatch.setenv(mirror.VARIABLE, f"file://{tmp_path}/shared")
    project("one", until="ingest")
    kept = [path for path in (tmp_path / "shared").rglob("*") if path.is_file()]
    assert max(kept, key=os.path.getmtime).name == "manifest.json"
    project("two", until="ingest")
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
