"""textpipe serve, predict and bulk on the command line."""

import contextlib
import json
import os
import re
import signal
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from command_server import server


@pytest.fixture
def serving(trained_copy):
    """(project, process, port)"""
    with server(trained_copy, "--access-log") as (process, port):
        yield trained_copy, process, port


def get(port, path):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as response:
        return response.read().decode()


def test_predict_and_bulk_use_a_served_model_and_sigterm_stops_it(serving):
    project, process, port = serving
    url = f"http://127.0.0.1:{port}/v1/models/mail"
    assert project.succeeds("predict", url, "Could you call me?") == project.succeeds(
        "predict", "saved_models/mail", "Could you call me?"
    )
    (project.folder / "in.txt").write_text("Could you call me?\nThank you.\n")
    assert project.succeeds("bulk", url, "in.txt", "out.jsonl").strip() == "out.jsonl"
    assert len([json.loads(line) for line in (project.folder / "out.jsonl").read_text().splitlines()]) == 2
    assert "already exists" in project.fails("bulk", url, "in.txt", "out.jsonl")
    assert json.loads(get(port, "/readyz")) == {"status": "ok"}
    process.send_signal(signal.SIGTERM)
    rest = process.stderr.read()
    assert process.wait(60) == 0
    assert "Traceback" not in rest and "Could you call me" not in rest
    logged = [json.loads(line) for line in rest.splitlines() if line.startswith("{")]
    assert [line["status"] for line in logged if line.get("verb") == "predict"] == [200, 200]


def counted(port, expected):
    """The predict requests that /metrics counts. A process learns within 20 ms what another has counted, if it is not kept waiting."""
    pattern = re.compile(r'^textpipe_requests_total{.*verb="predict".*} (.*)$', re.MULTILINE)
    until = time.monotonic() + 20
    while True:
        found = pattern.search(get(port, "/metrics"))
        number = float(found[1]) if found else 0
        if number == expected or time.monotonic() > until:
            return number
        time.sleep(0.05)


def test_several_processes_share_ports_and_metrics_and_a_dead_one_is_restarted(trained_copy):
    with server(trained_copy, "--processes", "2") as (process, port):
        children = servers_of(process.pid)
        assert len(children) == 2
        expected = trained_copy.succeeds("predict", "saved_models/mail", "Could you call me?")
        url = f"http://127.0.0.1:{port}/v1/models/mail"
        assert trained_copy.succeeds("predict", url, "Could you call me?") == expected
        assert counted(port, 1) == 1  # a killed process loses what it has not told the others
        os.kill(children[0], signal.SIGKILL)
        assert any("restarting it" in line for line in process.stderr)
        assert trained_copy.succeeds("predict", url, "Could you call me?") == expected
        assert counted(port, 2) == 2
        while len(children := servers_of(process.pid)) < 2:
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        # When the parent is killed, its servers exit.
    with server(trained_copy, "--processes", "2") as (process, port):
        children = servers_of(process.pid)
        process.kill()
        end = time.monotonic() + 60
        while any(map(alive, children)):
            assert time.monotonic() < end
            time.sleep(0.1)


@pytest.fixture
def endless(project):
    """A project with a single model whose calls never return."""
    import tensorflow as tf

    def run(x):
        return {"y": tf.while_loop(lambda _: True, lambda at: at + 1, [x])[0]}

    module = tf.Module()
    module.run = tf.function(run, input_signature=[tf.TensorSpec([None], tf.float32, "x")], autograph=False)
    folder = project.folder / "saved_models" / "endless" / "1"
    tf.saved_model.save(module, str(folder), signatures=module.run.get_concrete_function())
    return project


def failing_predict(port, seconds):
    """The status of a request that fails."""
    body = json.dumps({"instances": [1.0]}).encode()
    url = f"http://127.0.0.1:{port}/v1/models/endless:predict"
    request = urllib.request.Request(url, body, {"X-Request-Timeout": str(seconds)})
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(request, timeout=60)
    error.value.close()
    return error.value.code


@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_server_with_endless_calls_stops_within_its_grace_period(endless, processes):
    with server(endless, "--grace", "1", "--deadline", "0.2", "--workers", "1", "--processes", processes) as (
        process,
        port,
    ):
        while True:  # until each process has an endless call
            assert failing_predict(port, 0.1) == 504
            with contextlib.suppress(urllib.error.HTTPError):
                get(port, "/readyz")
                continue
            break
        process.send_signal(signal.SIGHUP)  # reloads tokens and certificate, and does not stop the server
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        assert "Traceback" not in process.stderr.read()


@pytest.mark.parametrize(("processes", "number"), [("1", signal.SIGTERM), ("2", signal.SIGTERM), ("1", signal.SIGINT)])
def test_a_second_signal_ends_the_server_at_once(endless, processes, number):
    with server(endless, "--grace", "600", "--processes", processes) as (process, port):
        assert failing_predict(port, 0.1) == 504
        children = servers_of(process.pid)
        process.send_signal(signal.SIGTERM)
        assert any(line.startswith("stopping") for line in process.stderr)
        process.send_signal(number)
        assert process.wait(60) == 128 + number
        assert not any(map(alive, children))


def servers_of(parent):
    """The process ids of the servers that a process has started."""
    processes = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (folder / "cmdline").read_bytes().split(b"\0")
            if b"--beside" in words and f"PPid:\t{parent}\n" in (folder / "status").read_text():
                processes.append(int(folder.name))
    return processes


def alive(process):
    try:
        return "State:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except OSError:
        return False


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("nowhere",), "expected a folder of models"),
        ((".", "--versions", "newest"), "latest, latest:N, all or numbers"),
        ((".", "--versions", "mail=newest"), "latest, latest:N, all or numbers"),
        ((".", "--versions", "mail=1", "--versions", "mail=2"), "given twice for mail"),
        ((".", "--label", "mail=3"), "MODEL:LABEL=N"),
        ((".", "--tls-cert", "x.pem"), "given together"),
        ((".", "--log-texts"), "--access-log"),
        ((".", "--rest-port", "-1", "--grpc-port", "-1"), "both APIs are disabled"),
        ((".", "--token-file", "none.txt"), "none.txt"),
        ((".", "--tls-cert", "mail.toml", "--tls-key", "mail.toml"), "expected a certificate in PEM, found none"),
        ((".", "--tls-cert", "none.pem", "--tls-key", "none.pem", "--processes", "2"), "none.pem: cannot be read"),
        ((".", "--limit", "beam_size"), "[MODEL:]OPTION=MAX"),
        ((".", "--limit", "beam_size=2", "--limit", "beam_size=3"), "beam_size is given twice"),
        ((".", "--versions", "9" * 5000), "latest, latest:N, all or numbers"),
        ((".", "--label", f"mail:stable={2**63}"), "MODEL:LABEL=N"),
    ],
)
def test_wrong_options_are_explained(project, arguments, word):
    assert word in project.fails("serve", *arguments)
