"""The page of a model that reads pictures, in a browser: files that are dropped on it."""

import shutil
import struct

import chromium
import pytest
import tiny
from serving_server import running
from test_captions import CAPTIONS, PNG, captioned_files

pytestmark = pytest.mark.skipif(
    not chromium.BROWSER, reason="needs Chromium, which is not installed (Debian: apt-get install chromium)"
)
DROP = ("dragEnter", "dragOver", "drop")
SHOWN = "at('answer').className === '' && at('latency').textContent.endsWith(' ms')"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    outputs = tiny.once(tmp_path_factory.getbasetemp(), "captions", CAPTIONS, captioned_files)
    folder = tmp_path_factory.mktemp("pictured")
    shutil.copytree(outputs["export"] / "model", folder / "scenes" / "1")
    with running(folder) as found:
        yield found


@pytest.fixture(scope="module")
def page():
    with chromium.browsing() as found:
        found.screen(900, 1000)
        yield found


@pytest.fixture
def opened(page, server):
    page.problems.clear()
    page.open(f"http://127.0.0.1:{server.rest}/#model=scenes")
    page.until("document.readyState === 'complete' && at('answer').textContent === 'Choose a picture.'")
    return page


def put(folder, name, contents):
    path = folder / name
    path.write_bytes(contents)
    return path


@pytest.mark.parametrize("place", ["#drop", "h1"])
def test_a_dropped_picture_is_shown_and_answered(place, opened, server, tmp_path):
    path = put(tmp_path, "one.png", PNG)
    opened.drag_file(place, path, "dragEnter", "dragOver")
    assert opened.value("at('drop').classList.contains('over')")
    opened.drag_file(place, path, "drop")
    opened.until(SHOWN)
    assert not opened.value("at('drop').classList.contains('over')")
    width, height = struct.unpack(">II", PNG[16:24])
    shown = opened.value("[at('shown').width, at('shown').height]")
    assert shown == [round(240 * side / max(width, height)) for side in (width, height)]
    (answer,) = server.predict("scenes", instances=[{"b64": opened.value("picture.b64")}])["predictions"]
    assert answer["answer"] in opened.value("at('answer').innerText")
    assert "base64 -w0 'one.png'" in opened.value("at('curl').textContent")
    assert not opened.problems


@pytest.mark.parametrize(
    ("name", "contents", "message"),
    [
        ("note.txt", b"no picture", "expected a PNG or JPEG file, found one of another kind"),
        ("cut.png", PNG[: len(PNG) // 2], "expected a complete PNG or JPEG file, found one that ends too early"),
    ],
)
def test_a_file_that_is_no_picture_gives_the_server_s_reason_and_the_next_one_is_answered(
    name, contents, message, opened, tmp_path
):
    opened.drag_file("#drop", put(tmp_path, "one.png", PNG), *DROP)
    opened.until(SHOWN)
    opened.drag_file("#drop", put(tmp_path, name, contents), *DROP)
    opened.until(f"picture.name === '{name}' && at('answer').className === 'fault'")
    assert message in opened.value("at('answer').textContent")
    if name == "note.txt":  # the picture before it is not shown beside the message
        assert opened.value("[at('shown').width, at('shown').height]") == [0, 0]
    opened.drag_file("#drop", put(tmp_path, "one.png", PNG), *DROP)
    opened.until(SHOWN)


def test_a_text_that_is_dragged_is_no_picture(opened):
    data = {"items": [{"mimeType": "text/plain", "data": "hello"}], "dragOperationsMask": 1}
    for event in DROP:
        opened.send("Input.dispatchDragEvent", type=event, x=100, y=20, data=data)
    assert opened.value("at('answer').textContent") == "Choose a picture."
