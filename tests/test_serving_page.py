"""The page in a headless Chromium, with a text in its address."""

import html
import re
import shutil
import subprocess
import urllib.parse

import pytest
from serving_server import running

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(
    not BROWSER, reason="needs Chromium, which is not installed (Debian: apt-get install chromium)"
)


@pytest.fixture(scope="module")
def server(tmp_path_factory, classifier, generator):
    root = tmp_path_factory.mktemp("page")
    shutil.copytree(classifier["export"] / "model", root / "mail" / "1")
    shutil.copytree(generator["export"] / "model", root / "phrases" / "1")
    with running(root) as found:
        yield found


def rendered(server, text, model):
    """The page's HTML after its requests."""
    address = f"http://127.0.0.1:{server.rest}/#" + urllib.parse.urlencode({"text": text, "model": model})
    command = [
        BROWSER,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--virtual-time-budget=20000",
        "--dump-dom",
        address,
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


def test_a_classifier_shows_probabilities_and_word_contributions(server):
    page = rendered(server, "could you send the plan 3 <b>", "mail")
    assert re.findall(r'<span>(yes|no)</span><i style="width: ?[0-9.]+%;?"></i><b>[0-9.]+ %</b>', page)
    assert re.search(r'<span title="odds × [0-9.e+-]+"[^>]*>could</span>', page)
    assert "&lt;b&gt;" in page  # texts are escaped
    (curl,) = re.findall(r'<pre id="curl"[^>]*>(.*?)</pre>', page)
    assert (
        html.unescape(curl)
        == f"""curl -d '{{"instances":["could you send the plan 3 <b>"]}}' http://127.0.0.1:{server.rest}/v1/models/mail:predict"""
    )


def test_a_generator_shows_answers_and_attention(server):
    page = rendered(server, "the house 3 is red", "phrases")
    (best,) = server.predict("phrases", instances=["the house 3 is red"])["predictions"]
    assert best["answer"] in html.unescape(page)
    assert len(re.findall(r'<li dir="auto">', page)) == 3
    assert "Where it looked" in page and re.search(r" [0-9]+ ms|>[0-9]+ ms<", page)
