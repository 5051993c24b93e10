"""textpipe serve, predict and bulk as a person runs them."""

import json
import signal
import subprocess
import urllib.request

import pytest


@pytest.fixture
def serving(trained_copy):
    """(project, process, port) of a server of the project's models."""
    command = trained_copy.command("serve", "saved_models", "--rest-port", "0", "--grpc-port", "0", "--access-log")
    process = subprocess.Popen(command, cwd=trained_copy.folder, stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        if line.startswith("ready: "):
            yield trained_copy, process, int(line.split("REST on 127.0.0.1:")[1].split(",")[0])
            break
    else:
        raise AssertionError("it did not begin")
    process.kill()
    process.wait()
    process.stderr.close()


def test_a_served_model_answers_the_command_line_and_stops_when_told(serving):
    project, process, port = serving
    url = f"http://127.0.0.1:{port}/v1/models/mail"
    assert project.succeeds("predict", url, "Could you call me?") == project.succeeds(
        "predict", "saved_models/mail", "Could you call me?"
    )
    (project.folder / "in.txt").write_text("Could you call me?\nThank you.\n")
    assert project.succeeds("bulk", url, "in.txt", "out.jsonl").strip() == "out.jsonl"
    assert len([json.loads(line) for line in (project.folder / "out.jsonl").read_text().splitlines()]) == 2
    assert "is there already" in project.fails("bulk", url, "in.txt", "out.jsonl")
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=30) as answer:
        assert json.load(answer) == {"status": "ok"}
    process.send_signal(signal.SIGTERM)
    rest = process.stderr.read()
    assert process.wait(60) == 0
    assert "Traceback" not in rest and "Could you call me" not in rest
    logged = [json.loads(line) for line in rest.splitlines() if line.startswith("{")]
    assert [line["status"] for line in logged if line.get("verb") == "predict"] == [200, 200]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("nowhere",), "expected a folder of models"),
        ((".", "--versions", "newest"), "latest, latest:N, all or numbers"),
        ((".", "--label", "mail=3"), "MODEL:LABEL=N"),
        ((".", "--tls-cert", "x.pem"), "belong together"),
        ((".", "--log-texts"), "--access-log"),
        ((".", "--rest-port", "-1", "--grpc-port", "-1"), "no door"),
        ((".", "--token-file", "none.txt"), "none.txt"),
    ],
)
def test_what_cannot_be_served_is_said(project, arguments, word):
    assert word in project.fails("serve", *arguments)
