"""Dataset cards and downloads from a local server."""

import hashlib
import io
import subprocess
import sys
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from textpipe.config.plugins import find
from textpipe.data import catalog, shards
from textpipe.errors import DataError

DATA = bytes(range(256)) * 4_000  # a megabyte


def sha256(data):
    return hashlib.sha256(data).hexdigest()


class Home(ThreadingHTTPServer):
    """A server with configurable faults: break_after truncates that many responses, codes are sent instead of files."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.ranges, self.codes = {}, True, []
        self.break_after, self.breaks, self.length_told = 300_000, 0, True
        self.seen = []  # the Range header of each request

    def url(self, name):
        return f"http://127.0.0.1:{self.server_port}/{name}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        home, data = self.server, self.server.files.get(self.path[1:])
        requested = self.headers.get("Range")
        home.seen.append(requested)
        if home.codes or data is None:
            self.send_error(home.codes.pop() if home.codes else 404)
            return
        start = int(requested.removeprefix("bytes=").removesuffix("-")) if requested and home.ranges else 0
        if start and start >= len(data):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        if home.length_told:
            self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        body = data[start:]
        if home.breaks:
            home.breaks -= 1
            body = body[: home.break_after]
        self.wfile.write(body)

    def log_message(self, *words):
        pass


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(catalog.MIRROR, raising=False)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    server = Home()
    server.files["a.bin"] = DATA
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def write_card(folder, entries, kind="public", extra=""):
    (folder / "data/cards").mkdir(parents=True, exist_ok=True)
    head = 'title = "T"\ndescription = "D"\nlicence = "L"\nhomepage = "H"\n'
    head += f'kind = "{kind}"\n{extra}\n[columns]\n[splits]\n'
    tables = "".join(
        "[[files]]\n" + "".join(f'{key} = "{value}"\n' for key, value in entry.items()) for entry in entries
    )
    (folder / "data/cards/own.toml").write_text(head + tables)


def test_a_download_is_complete_and_not_repeated(tmp_path, home):
    write_card(tmp_path, [{"path": "own/a.bin", "url": home.url("a.bin"), "sha256": sha256(DATA)}])
    progress = []
    assert catalog.check("own") == [(catalog.DOWNLOADS / "own/own/a.bin", "missing")]
    folder = catalog.get("own", lambda *step: progress.append(step))
    assert (folder / "own/a.bin").read_bytes() == DATA
    assert progress[-1] == ("own/a.bin", len(DATA), len(DATA))
    assert catalog.check("own") == [(folder / "own/a.bin", "ok")]
    catalog.get("own")
    assert home.seen == [None]
    assert [path.name for path in (folder / "own").iterdir()] == ["a.bin"]


def test_an_interrupted_transfer_is_resumed(tmp_path, home):
    write_card(tmp_path, [{"path": "a.bin", "url": home.url("a.bin"), "sha256": sha256(DATA)}])
    home.breaks = 2
    folder = catalog.get("own")
    assert (folder / "a.bin").read_bytes() == DATA
    assert home.seen == [None, "bytes=300000-", "bytes=600000-"]


def test_a_transfer_that_keeps_failing_is_resumed_by_the_next_run(tmp_path, home):
    write_card(tmp_path, [{"path": "a.bin", "url": home.url("a.bin"), "sha256": sha256(DATA)}])
    home.breaks, home.break_after = 3, 100_000
    with pytest.raises(DataError, match="connection lost after 300,000 of 1,024,000 bytes; run again to resume"):
        catalog.get("own")
    assert not (catalog.DOWNLOADS / "own/a.bin").exists()
    assert (catalog.get("own") / "a.bin").read_bytes() == DATA
    assert home.seen[-1] == "bytes=300000-"


@pytest.mark.parametrize("left", [b"old version of the file", DATA + b"more", DATA, DATA[:1000]])
def test_a_download_succeeds_whatever_an_earlier_run_left(tmp_path, home, left):
    write_card(tmp_path, [{"path": "a.bin", "url": home.url("a.bin"), "sha256": sha256(DATA)}])
    for home.ranges in (True, False):
        part = catalog.DOWNLOADS / "own/a.bin.part"
        part.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(left)
        assert (catalog.get("own") / "a.bin").read_bytes() == DATA
        assert not part.exists()
        (catalog.DOWNLOADS / "own/a.bin").unlink()


def test_without_a_content_length_the_checksum_decides(tmp_path, home):
    write_card(tmp_path, [{"path": "a.bin", "url": home.url("a.bin"), "sha256": sha256(DATA)}])
    home.length_told = False
    assert (catalog.get("own") / "a.bin").read_bytes() == DATA
    (catalog.DOWNLOADS / "own/a.bin").unlink()
    home.breaks = 1
    with pytest.raises(DataError, match="SHA-256"):
        catalog.get("own")


def test_a_wrong_checksum_is_rejected_with_both_checksums_and_leaves_no_file(tmp_path, home):
    write_card(tmp_path, [{"path": "a.bin", "url": home.url("a.bin"), "sha256": sha256(b"another file")}])
    with pytest.raises(DataError) as error:
        catalog.get("own")
    assert sha256(DATA) in str(error.value)
    assert sha256(b"another file") in str(error.value)
    assert list((catalog.DOWNLOADS / "own").iterdir()) == []
    (catalog.DOWNLOADS / "own/a.bin").write_bytes(b"damaged")
    with pytest.raises(DataError, match=f"SHA-256 {sha256(b'damaged')} where the card has"):
        catalog.get("own")
    assert catalog.check("own")[0][1].startswith("damaged: SHA-256")


def test_an_equivalent_copy_is_accepted(tmp_path, home):
    write_card(tmp_path, [{"path": "a.bin", "url": home.url("a.bin"), "sha256": sha256(b"other line ends")}])
    card = tmp_path / "data/cards/own.toml"
    card.write_text(card.read_text() + f'also = ["{sha256(DATA)}"]\n')
    assert (catalog.get("own") / "a.bin").read_bytes() == DATA
    assert catalog.check("own")[0][1] == "ok"


def test_a_member_of_a_zip_archive_is_extracted(tmp_path, home):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("readme", "no")
        archive.writestr("inner", DATA)
    home.files["a.zip"] = packed.getvalue()
    entry = {"path": "a.bin", "url": home.url("a.zip"), "member": "inner", "sha256": sha256(DATA)}
    write_card(tmp_path, [entry])
    home.breaks = 1
    folder = catalog.get("own")
    assert [path.name for path in folder.iterdir()] == ["a.bin"]
    assert (folder / "a.bin").read_bytes() == DATA
    (folder / "a.bin").unlink()
    write_card(tmp_path, [{**entry, "member": "outer"}])
    with pytest.raises(DataError, match="not a zip archive with a member 'outer'"):
        catalog.get("own")
    assert list(folder.iterdir()) == []


def test_missing_pages_and_unreachable_servers_say_what_to_do(tmp_path, home):
    write_card(tmp_path, [{"path": "a.bin", "url": home.url("gone"), "sha256": sha256(DATA)}])
    with pytest.raises(DataError, match=f"{home.url('gone')}: the server responded with 404"):
        catalog.get("own")
    assert len(home.seen) == 1
    write_card(tmp_path, [{"path": "a.bin", "url": home.url("a.bin"), "sha256": sha256(DATA)}])
    home.codes = [503, 502]
    assert (catalog.get("own") / "a.bin").read_bytes() == DATA
    (catalog.DOWNLOADS / "own/a.bin").unlink()
    write_card(tmp_path, [{"path": "b/a.bin", "url": "http://127.0.0.1:9/a.bin", "sha256": sha256(DATA)}])
    with pytest.raises(DataError, match=r"cannot be reached \(.*TEXTPIPE_DATA to a folder that has b/a.bin"):
        catalog.get("own")


def test_a_mirror_is_read_in_place_and_checked(tmp_path, home, monkeypatch):
    write_card(tmp_path, [{"path": "x/a.bin", "url": home.url("a.bin"), "sha256": sha256(DATA)}])
    mirror = tmp_path / "mirror"
    monkeypatch.setenv(catalog.MIRROR, str(mirror))
    with pytest.raises(DataError, match="no such file in the folder TEXTPIPE_DATA names"):
        catalog.get("own")
    (mirror / "x").mkdir(parents=True)
    (mirror / "x/a.bin").write_bytes(DATA)
    assert catalog.get("own") == mirror
    assert catalog.check("own") == [(mirror / "x/a.bin", "ok")]
    (mirror / "x/a.bin").write_bytes(DATA[1:])
    with pytest.raises(DataError, match="where the card has"):
        catalog.get("own")
    assert home.seen == []


def test_a_derived_file_comes_with_its_recipe(tmp_path, home):
    write_card(tmp_path, [{"path": "x/a.tsv", "sha256": sha256(DATA)}], "derived", 'recipe = "Grind it."')
    with pytest.raises(
        DataError, match=r"built from other files: Grind it. .*TEXTPIPE_DATA to a folder that has x/a.tsv"
    ):
        catalog.get("own")
    target = catalog.DOWNLOADS / "own/x/a.tsv"
    target.parent.mkdir(parents=True)
    target.write_bytes(DATA)
    assert catalog.get("own") == catalog.DOWNLOADS / "own"


def test_only_requested_files_are_downloaded(tmp_path, home):
    entries = [{"path": name, "url": home.url("a.bin"), "sha256": sha256(DATA)} for name in ("a", "b", "c")]
    write_card(tmp_path, entries)
    folder = catalog.get("own", only=["b"])
    assert [path.name for path in folder.iterdir()] == ["b"]


def test_unknown_datasets_and_invalid_cards_raise_errors_that_name_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="unknown dataset 'bankin77'; did you mean 'banking77'"):
        catalog.load_card("bankin77")
    for text, message in [
        ("title = ", "not a valid dataset card"),
        ('title = "T"\n[[files]]\npath = "a"\n', "not a valid dataset card: .*missing"),
        ('[[files]]\npath = "a"\nsha = "b"\n', "not a valid dataset card: .*'sha'"),
    ]:
        (tmp_path / "data/cards").mkdir(parents=True, exist_ok=True)
        (tmp_path / "data/cards/own.toml").write_text(text)
        with pytest.raises(DataError, match=f"own.toml: {message}"):
            catalog.load_card("own")
    write_card(tmp_path, [{"path": "a"}], kind="private")
    with pytest.raises(DataError, match='expected "public", "derived" or "bundled", found \'private\''):
        catalog.load_card("own")


@pytest.mark.parametrize("name", catalog.dataset_names())
def test_every_card_of_the_project_is_complete(name):
    card = catalog.load_card(name)
    assert card.title
    assert card.description.endswith(".")
    assert card.licence
    assert set(card.splits) <= set(shards.SPLITS)
    if card.format:
        find("data.formats", card.format["kind"]).Config(**card.format)
    for file in card.files:
        if card.kind == "bundled":
            assert file.path.startswith("mail/" if name == "office" else name)
            continue
        assert card.homepage.startswith("https://")
        assert len(file.sha256) == 64
        assert file.bytes > 0
        assert file.url.startswith("https://") == (card.kind == "public")
    assert bool(card.recipe) == (card.kind == "derived")


def test_cards_need_only_the_standard_library():
    code = "import sys; from textpipe.data import catalog; catalog.load_card('multi30k'); print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"pydantic", "numpy", "pyarrow"} & set(done.stdout.split())
