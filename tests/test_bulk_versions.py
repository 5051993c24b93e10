"""bulk uses one model version throughout, resumes with it, and lists the available ones when it no longer exists."""

import json
import re
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from click.testing import CliRunner

from textpipe.cli import main
from textpipe.errors import ModelError, NetworkError
from textpipe.inference import client

ROWS = 2500


class Served:
    """Versions of one model as TensorFlow Serving offers them; an answer names its version. `drop`: after how many calls it is unloaded."""

    def __init__(self):
        self.versions, self.calls, self.drop = ["1"], 0, None
        served = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.reply(None)

            def do_POST(self):
                self.reply(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

            def reply(self, body):
                code, table = served.answer(self.path, body)
                raw = table if isinstance(table, bytes) else json.dumps(table).encode()
                self.send_response(code)
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1/models/m"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def answer(self, path, body):
        match = re.fullmatch(r"/v1/models/m(?:/versions/([0-9]+))?(/metadata|:predict)?", path)
        version = match[1] or self.versions[-1]
        if match[2] is None:
            states = [{"version": "9", "state": "END"}] + [
                {"version": number, "state": "AVAILABLE"} for number in self.versions
            ]
            return 200, {"model_version_status": states}
        if match[2] == ":predict":
            self.calls += 1
            if self.drop is not None and self.calls > self.drop:
                self.versions, self.drop = ["2"], None
        if version not in self.versions:
            return 404, {"error": f"Servable not found for request: Specific(m, {version})"}
        if match[2] == "/metadata":
            inputs = {"text": {"dtype": "DT_STRING"}}
            signatures = {"signature_def": {"signature_def": {"serving_default": {"inputs": inputs}}}}
            return 200, {"model_spec": {"name": "m", "version": version}, "metadata": signatures}
        return 200, {"outputs": {"answer": [f"{version} {text}" for text in body["inputs"]["text"]]}}


@pytest.fixture
def served():
    server = Served()
    yield server
    server.server.shutdown()
    server.server.server_close()


@pytest.fixture
def textpipe(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.txt").write_text("".join(f"row {number}\n" for number in range(ROWS)))

    def call(*words, **options):
        done = CliRunner().invoke(main, ["-v", *map(str, words)], catch_exceptions=False, **options)
        return done.exit_code, done.stdout, done.stderr

    return call


def answers(path):
    return [json.loads(line)["answer"] for line in path.read_text().splitlines()]


def test_a_version_unloaded_during_the_run_ends_it_and_lists_the_available_ones(served, textpipe, tmp_path):
    served.drop = 20  # in the second chunk
    code, _, err = textpipe("bulk", served.url, "in.txt", "out.jsonl")
    assert (
        code == 2 and "version 1 no longer exists; available: 2; continue with one of them by --model-version N" in err
    )
    code, _, err = textpipe("bulk", served.url, "in.txt", "out.jsonl")
    assert (
        code == 2 and "version 1 no longer exists; available: 2; continue with one of them by --model-version N" in err
    )
    code, _, err = textpipe("bulk", served.url, "in.txt", "out.jsonl", "--model-version", "3")
    assert code == 2 and "version 3 no longer exists; available: 2" in err
    code, out, err = textpipe("bulk", served.url, "in.txt", "out.jsonl", "--model-version", "2")
    assert (code, out) == (0, "out.jsonl\n") and "1,024 rows are already answered" in err
    assert answers(tmp_path / "out.jsonl") == [f"{1 if at < 1024 else 2} row {at}" for at in range(ROWS)]


def test_a_run_resumes_with_the_version_it_started_with(served, textpipe, tmp_path):
    served.drop = 20
    textpipe("bulk", served.url, "in.txt", "out.jsonl")
    served.versions = ["1", "2"]
    code, _, err = textpipe("bulk", f"{served.url}/versions/2", "in.txt", "out.jsonl")
    assert code == 2 and "was started with version 1 of the model; give --model-version 2" in err
    assert textpipe("bulk", served.url, "in.txt", "out.jsonl")[0] == 0
    assert answers(tmp_path / "out.jsonl") == [f"1 row {at}" for at in range(ROWS)]
    assert textpipe("bulk", served.url, "in.txt", "two.jsonl")[0] == 0
    assert {line.split()[0] for line in answers(tmp_path / "two.jsonl")} == {"2"}


def test_a_run_over_a_model_on_disk_resumes_with_its_version(classifier, textpipe, tmp_path):
    for version in ("1", "2"):
        shutil.copytree(classifier["export"] / "model", tmp_path / "m" / version)
    code, _, err = textpipe("bulk", "m/1", "in.txt", "out.jsonl", "--columns", "text=0", "--signature", "none")
    assert code == 2 and "no signature" in err
    about = tmp_path / "out.jsonl.part.json"
    assert json.loads(about.read_text())["version"] == "1"
    shutil.copyfile(about, tmp_path / "kept")
    shutil.rmtree(tmp_path / "m/1")
    code, _, err = textpipe("bulk", "m", "in.txt", "out.jsonl", "--columns", "text=0", "--signature", "none")
    assert code == 2 and "m: version 1 no longer exists; available: 2" in err
    code, _, err = textpipe("bulk", "m/1", "in.txt", "new.jsonl")
    assert code == 2 and "m: version 1 no longer exists; available: 2" in err


def test_standard_input_is_answered_to_standard_output(served, textpipe):
    code, out, _ = textpipe("bulk", served.url, "-", "-", input="one\ntwo\n\n")
    assert code == 0 and [json.loads(line)["answer"] for line in out.splitlines()] == ["1 one", "1 two", "1 "]
    table = 'id,text\n4,"two\nlines"\n5,more\n'
    words = ("--format", "csv", "--keep", "id", "--output-format", "csv")
    code, out, _ = textpipe("bulk", served.url, "-", "-", *words, input=table)
    assert (code, out) == (0, 'id,answer\n4,"1 two\nlines"\n5,1 more\n')


def test_standard_input_is_identified_by_its_contents(served, textpipe, tmp_path):
    served.drop = 20
    lines = (tmp_path / "in.txt").read_text()
    assert textpipe("bulk", served.url, "-", "out.csv", "--keep", "inputs", input=lines)[0] == 2
    served.versions = ["1"]
    code, _, err = textpipe("bulk", served.url, "-", "out.csv", "--keep", "inputs", input=lines + "more\n")
    assert code == 2 and "sha256 changed" in err
    assert textpipe("bulk", served.url, "-", "out.csv", "--keep", "inputs", input=lines)[0] == 0
    assert (tmp_path / "out.csv").read_text().splitlines() == [
        "text,answer",
        *(f"row {at},1 row {at}" for at in range(ROWS)),
    ]


def test_a_missing_server_and_a_server_of_another_kind_are_different_errors(served, textpipe):
    genuine = served.answer
    for broken, kind, words in (
        ((200, b"<html>"), NetworkError, "is incomplete or not JSON"),
        ((200, {"metadata": None}), ModelError, "does not respond like TensorFlow Serving"),
        ((500, {"error": "boom"}), NetworkError, "boom"),
        ((401, {"error": "who?"}), ModelError, "who"),
    ):
        served.answer = lambda path, body, broken=broken: broken
        with pytest.raises(kind, match=words) as failed:
            client.Client(served.url)
        assert isinstance(failed.value, NetworkError) == (kind is NetworkError)
    served.answer = genuine
    code, _, err = textpipe("predict", "http://127.0.0.1:9/v1/models/m", "text")
    assert code == 5 and err.startswith("error: ") and "is the server running at this address?" in err


def test_predict_names_a_line_without_a_text_and_takes_it_literally_with_plain(served, textpipe):
    lines = '{"text": "first"}\nsecond\n{"body": "third"}\n'
    code, out, err = textpipe("predict", served.url, "-", "--json", input=lines)
    assert (code, out) == (2, "") and err.startswith("error: line 3: no key 'text'")
    code, out, _ = textpipe("predict", served.url, "-", "--json", "--plain", input=lines)
    assert [json.loads(line)["answer"] for line in out.splitlines()] == [f"1 {line}" for line in lines.splitlines()]
    assert code == 0


def test_kept_columns_are_checked_before_the_model_is_called(served, textpipe, tmp_path):
    (tmp_path / "mails.tsv").write_text("id\ttext\n1\tone\n")
    code, _, err = textpipe("bulk", served.url, "mails.tsv", "out.csv", "--keep", "idd")
    assert code == 2 and "mails.tsv: no column 'idd'; did you mean 'id'" in err and not served.calls
    assert textpipe("bulk", served.url, "mails.tsv", "out.tsv", "--keep", "id")[0] == 0
    assert (tmp_path / "out.tsv").read_text() == "id\tanswer\n1\t1 one\n"
