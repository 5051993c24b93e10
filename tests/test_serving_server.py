"""A running server: version changes, misbehaving clients, authentication, logs and metrics."""

import asyncio
import concurrent.futures
import contextlib
import itertools
import json
import os
import shutil
import socket
import subprocess
import threading

import grpc
import pytest
import tensorflow as tf
import tiny
import volume
from serving_server import Running, running, states, until
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from textpipe.commands.serve import read_policies
from textpipe.errors import ModelError
from textpipe.inference.client import Client
from textpipe.savedmodel import manifest, warmup
from textpipe.savedmodel.loader import Model
from textpipe.serve.access import TokenAuth
from textpipe.serve.engine.batch_queue import QueueLimits
from textpipe.serve.server import Options


def add(folder, amount):
    """A model that adds a number to x."""
    module = tf.Module()
    module.run = tf.function(
        lambda x: {"y": x + float(amount)}, input_signature=[tf.TensorSpec([None], tf.float32, "x")], autograph=False
    )
    tf.saved_model.save(module, str(folder), signatures={"serving_default": module.run.get_concrete_function()})


@pytest.fixture(scope="module")
def mail(classifier):
    return classifier["export"] / "model"


@pytest.fixture(scope="module")
def phrases(generator):
    return generator["export"] / "model"


@pytest.fixture(scope="module")
def server(tmp_path_factory, mail, phrases):
    root = tmp_path_factory.mktemp("served")
    shutil.copytree(mail, root / "mail" / "1")
    shutil.copytree(phrases, root / "phrases" / "1")
    with running(root) as found:
        yield found


# Answers


def test_answers_equal_those_of_the_exported_model(server, mail, phrases):
    for name, folder, texts in (
        ("mail", mail, ["could you send the plan 3", "thank you", ""]),
        ("phrases", phrases, ["the house 3 is red", "x"]),
    ):
        expected = Model.load(folder).predict(texts)
        found = server.predict(name, instances=texts)["predictions"]
        assert [row["answer"] for row in found] == [row["answer"] for row in expected]
        assert [row["score"] for row in found] == pytest.approx([row["score"] for row in expected], abs=1e-6)


def test_batched_rows_get_the_same_answers_as_single_rows(server):
    texts = [
        f"{opening} the report {number}"
        for number in range(20)
        for opening in ("could you send", "thank you for", "x " * number)
    ]
    alone = [server.predict("mail", instances=[text])["predictions"][0] for text in texts]
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        together = list(pool.map(lambda text: server.predict("mail", instances=[text])["predictions"][0], texts))
    assert [row["answer"] for row in together] == [row["answer"] for row in alone]
    assert [row["score"] for row in together] == pytest.approx([row["score"] for row in alone], abs=1e-6)
    _, _, figures = server.ask("GET", "/metrics")
    calls = next(
        float(line.split()[-1])
        for line in figures.decode().splitlines()
        if line.startswith('textpipe_batch_rows_count{model="mail"}')
    )
    rows = next(
        float(line.split()[-1])
        for line in figures.decode().splitlines()
        if line.startswith('textpipe_batch_rows_sum{model="mail"}')
    )
    assert rows > calls  # some were batched


def test_a_client_has_the_interface_of_a_model(server, phrases):
    client, model = Client(f"http://127.0.0.1:{server.rest}/v1/models/phrases"), Model.load(phrases)
    texts = ["the house 3 is red", "the dog 55 is old"]
    for options in (
        {},
        {"signature": "nbest"},
        {"options": {"beam_size": 1}},
        {"options": {"beam_size": "2", "prefix": "das"}},
    ):
        expected, found = model.predict(texts, **options), client.predict(texts, **options)
        assert [list(row) for row in found] == [list(row) for row in expected]
        assert [row.get("answer", row.get("texts")) for row in found] == [
            row.get("answer", row.get("texts")) for row in expected
        ]
    for options, word in (
        ({"signature": "no"}, "no signature"),
        ({"options": {"beam": 1}}, "beam_size"),
        ({"options": {"beam_size": "x"}}, "whole number"),
        ({"options": {"beam_size": 2.7}}, "whole number"),
    ):
        with pytest.raises(ModelError, match=word):
            client.predict(texts, **options)
    with pytest.raises(ModelError, match="Servable not found"):
        Client(f"http://127.0.0.1:{server.rest}/v1/models/none")


def test_load_model_gives_the_same_from_disk_and_from_a_server(server, mail, phrases):
    import textpipe

    rows = {
        "mail": [{"text": "could you send the plan 4", "label": "yes"}, {"text": "thank you", "label": "no"}],
        "phrases": [
            {"source": "the house 3 is red", "target": "das Haus 3 ist rot"},
            {"source": "the dog", "target": "das"},
        ],
    }
    for name, path in (("mail", mail), ("phrases", phrases)):
        remote, local = (
            textpipe.load_model(place) for place in (f"http://127.0.0.1:{server.rest}/v1/models/{name}", path)
        )
        assert remote.fields == local.fields and remote.name == name and remote.version == "1"
        assert {key: remote.signatures[key] for key in ("serving_default", "score")} == {
            key: local.signatures[key] for key in ("serving_default", "score")
        }
        (field,) = local.fields
        texts = [row[field] for row in rows[name]]
        assert [row["answer"] for row in remote.predict(texts)] == [row["answer"] for row in local.predict(texts)]
        for actual, expected in zip(remote.score(rows[name]), local.score(rows[name]), strict=True):
            assert actual.keys() == expected.keys() and actual["log_prob"] == pytest.approx(
                expected["log_prob"], abs=1e-4
            )


def test_a_stream_grows_to_the_greedy_answer(server, phrases):
    client, model = Client(f"http://127.0.0.1:{server.rest}/v1/models/phrases"), Model.load(phrases)
    for text in ("the house 3 is red", "the cat 9 is new", ""):
        events = list(client.stream(text))
        assert [event["tokens"] for event in events] == list(range(1, len(events) + 1))
        assert [event["done"] for event in events] == [False] * (len(events) - 1) + [True]
        (greedy,) = model.predict([text], options={"beam_size": 1})
        assert events[-1]["text"] == greedy["answer"]


@pytest.mark.parametrize(
    ("model", "body", "status"),
    [
        ("mail", {"inputs": ["x"]}, 400),
        ("phrases", {"inputs": ["x", "y"]}, 400),
        ("phrases", {"inputs": []}, 400),
        ("phrases", {}, 400),
        ("none", {"inputs": ["x"]}, 404),
    ],
)
def test_a_bad_stream_request_gets_an_error_status(server, model, body, status):
    assert server.ask("POST", f"/v1/models/{model}:stream", body)[0] == status


def test_options_have_their_defaults(server):
    whole = server.predict("phrases", signature_name="nbest", inputs=["the house 3 is red"])["outputs"]
    default = server.predict("phrases", signature_name="options", inputs={"source": ["the house 3 is red"]})["outputs"]
    assert default["texts"] == whole["texts"]
    fewer = server.predict(
        "phrases", signature_name="options", inputs={"source": ["the house 3 is red"], "beam_size": 1}
    )["outputs"]
    assert len([score for score in fewer["scores"][0] if score > -1e8]) == 1


def test_models_health_and_openapi_are_described(server):
    found = {model["name"]: model for model in json.loads(server.ask("GET", "/models")[2])["models"]}
    assert found["mail"]["labels"] == ["no", "yes"] and found["mail"]["inputs"] == ["text"]
    assert found["phrases"]["options"]["beam_size"] == 3
    assert server.ask("GET", "/readyz")[0] == server.ask("GET", "/healthz")[0] == 200
    assert "/v1/models/{name}:predict" in json.loads(server.ask("GET", "/openapi.json")[2])["paths"]


def test_the_page_is_for_browsers_and_loads_no_external_resources(server):
    status, headers, body = server.ask("GET", "/", headers={"Accept": "text/html,*/*"})
    page = body.decode()
    assert status == 200 and headers["content-type"].startswith("text/html")
    assert "src=" not in page and "href=" not in page and "http://" not in page and "https://" not in page
    assert "default-src 'none'" in headers["content-security-policy"]
    assert server.ask("GET", "/")[0] == 404  # as in TensorFlow Serving


def test_a_request_keeps_its_id(server):
    assert server.ask("GET", "/healthz", headers={"X-Request-Id": "abc-1"})[1]["x-request-id"] == "abc-1"
    ids = [server.ask("GET", "/healthz", headers={"X-Request-Id": "no good\t"})[1]["x-request-id"] for _ in range(2)]
    assert ids[0] != ids[1] and "no" not in ids[0]


def figures(server):
    lines = server.ask("GET", "/metrics")[2].decode().splitlines()
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))}


def test_texts_unlike_the_training_texts_show_as_drift(tmp_path, mail):
    for name in ("like", "unlike"):
        shutil.copytree(mail, tmp_path / name / "1")
    texts = tiny.classifier_rows(tmp_path / "rows.tsv").read_text().splitlines()[1:301]
    with running(tmp_path) as server:
        for start in range(0, 300, 50):
            server.predict("like", instances=[text.split("\t")[0] for text in texts[start : start + 50]])
            until(lambda: figures(server).get('textpipe_sampled_texts_total{model="like"}', 0) >= start + 50)
            server.predict("unlike", instances=["word " * (1 + number) for number in range(50)])
            until(lambda: figures(server).get('textpipe_sampled_texts_total{model="unlike"}', 0) >= start + 50)
        found = figures(server)
        assert found['textpipe_length_drift{model="like"}'] < 0.25 < 1 < found['textpipe_length_drift{model="unlike"}']


# Versions


@pytest.mark.volume
def test_version_changes_under_load_fail_no_request(tmp_path):
    swaps = volume.rounds(20, 100)
    for number in range(1, swaps + 2):
        add(tmp_path / "made" / str(number), number)
    root = tmp_path / "models"
    (root / "plus").mkdir(parents=True)
    os.rename(tmp_path / "made" / "1", root / "plus" / "1")
    versions, finished = [], threading.Event()

    def ask(server):
        while not finished.is_set():
            answer = server.predict("plus", instances=[0.0, 1000.0, 2000.0])["predictions"]
            assert answer[1] - answer[0] == answer[2] - answer[1] == 1000
            versions.append(int(answer[0]))
        return True

    with running(root) as server, concurrent.futures.ThreadPoolExecutor(4) as pool:
        clients = [pool.submit(ask, server) for _ in range(4)]
        for number in range(2, swaps + 2):
            os.rename(tmp_path / "made" / str(number), root / "plus" / str(number))
            until(lambda: states(server, "plus").get(number, ("",))[0] == "AVAILABLE")
        until(lambda: [state for state, _ in states(server, "plus").values()].count("AVAILABLE") == 1)
        finished.set()
        assert all(task.result() for task in clients)
        assert server.predict("plus", instances=[0.0])["predictions"] == [swaps + 1.0]
    assert set(versions) <= set(range(1, swaps + 2)) and len(set(versions)) > swaps // 2


def damage(kind, model, path):
    """Makes a damaged copy of a model."""
    shutil.copytree(model, path)
    graph = path / "saved_model.pb"
    if kind == "missing variables":
        shutil.rmtree(path / "variables")
    elif kind == "truncated graph":
        graph.write_bytes(graph.read_bytes()[: graph.stat().st_size // 2])
    elif kind == "unknown op":
        graph.write_bytes(
            graph.read_bytes().replace(b"SparseTensor", b"SparseTensuh").replace(b"StringSplit", b"StringSplot")
        )
        manifest.write(path)
    elif kind == "failing warm-up":
        log = warmup.prediction_log("m", "nothing", {"text": [b"x"]})
        warmup.write(path, [log])
        manifest.write(path)
    elif kind == "wrong answers":
        rows = [json.loads(line) for line in (path / "assets.extra/golden.jsonl").read_text().splitlines()]
        lines = [json.dumps({**row, "texts": row["texts"][::-1], "scores": row["scores"][::-1]}) + "\n" for row in rows]
        (path / "assets.extra/golden.jsonl").write_text("".join(lines))
        manifest.write(path)
    elif kind == "wrong manifest":
        (path / "textpipe.json").write_text((path / "textpipe.json").read_text() + " ")
    elif kind == "half copied":
        (path / "manifest.json").unlink()


DAMAGES = {
    "missing variables": "variables",
    "truncated graph": "saved_model.pb",
    "unknown op": "cannot be loaded",
    "failing warm-up": "warm-up request 0",
    "wrong answers": "golden row",
    "wrong manifest": "textpipe.json",
    "half copied": "manifest.json",
}


def test_a_damaged_version_never_serves_and_its_status_says_why(tmp_path, mail):
    root = tmp_path / "models"
    shutil.copytree(mail, root / "mail" / "1")
    with running(root) as server:
        expected = server.predict("mail", instances=["could you send the plan 3"])
        for number, (kind, word) in enumerate(DAMAGES.items(), 2):
            damage(kind, mail, tmp_path / "made" / str(number))
            os.rename(tmp_path / "made" / str(number), root / "mail" / str(number))
            _state, message = until(
                lambda: (state := states(server, "mail").get(number)) and state[0] == "END" and state
            )
            assert word in message, (kind, message)
            assert states(server, "mail")[1][0] == "AVAILABLE"
            assert server.predict("mail", instances=["could you send the plan 3"]) == expected
        # Once the copy is complete, it serves.
        last = root / "mail" / str(number)
        shutil.copyfile(mail / "manifest.json", last / "manifest.json")
        until(lambda: states(server, "mail")[number][0] == "AVAILABLE")
        until(lambda: states(server, "mail")[1][0] == "END")


def test_a_labelled_version_stays_loaded_next_to_the_latest(tmp_path):
    for number in (1, 2, 3):
        add(tmp_path / "plus" / str(number), number)
    with running(tmp_path, labels={"plus": {"stable": 1}}) as server:
        assert server.predict("plus", instances=[0.0])["predictions"] == [3.0]
        assert server.predict("plus/labels/stable", instances=[0.0])["predictions"] == [1.0]
        assert sorted(states(server, "plus")) == [1, 3]
        for path, number in (("plus", 3), ("plus/labels/stable", 1), ("plus/versions/1", 1)):
            client = Client(f"http://127.0.0.1:{server.rest}/v1/models/{path}").pin_version()
            assert client.url.endswith(f"/plus/versions/{number}")
        (tmp_path / "made").mkdir()
        (tmp_path / "made" / "saved_model.pb").write_bytes(b"\xff" * 100)
        os.rename(tmp_path / "made", tmp_path / "plus" / "4")
        until(lambda: states(server, "plus").get(4, ("",))[0] == "END")
        assert server.predict("plus", instances=[0.0])["predictions"] == [3.0]


def test_each_model_serves_the_versions_of_its_policy(tmp_path):
    for model, number in itertools.product(("plus", "more", "most"), (1, 2, 3)):
        add(tmp_path / model / str(number), number)
    policies = read_policies(("latest:2", "more=all", "most=1,3,7"))
    with running(tmp_path, policy=policies.pop(""), policies=policies) as server:
        assert {model: sorted(states(server, model)) for model in ("plus", "more", "most")} == {
            "plus": [2, 3], "more": [1, 2, 3], "most": [1, 3],
        }  # fmt: skip
        assert server.predict("most/versions/1", instances=[0.0])["predictions"] == [1.0]
        add(tmp_path / "made", 4)
        for model in ("plus", "most"):
            shutil.copytree(tmp_path / "made", tmp_path / f"{model}4")
            os.rename(tmp_path / f"{model}4", tmp_path / model / "4")
        until(lambda: states(server, "plus").get(2, ("",))[0] == "END")
        assert states(server, "plus")[4][0] == "AVAILABLE" and 4 not in states(server, "most")


def test_links_that_point_outside_and_odd_names_are_not_served(tmp_path):
    add(tmp_path / "elsewhere" / "1", 1)
    add(tmp_path / "models" / "plus" / "1", 1)
    (tmp_path / "models" / "out").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "models" / "plus" / "2").symlink_to(tmp_path / "elsewhere" / "1")
    (tmp_path / "models" / "plus" / "latest").mkdir()
    (tmp_path / "models" / ".hidden" / "1").mkdir(parents=True)
    with running(tmp_path / "models") as server:
        assert list(states(server, "plus")) == [1]
        for path in ("out", ".hidden", "..", "%2e%2e", "..%2felsewhere", "plus%2f1", "%2fetc"):
            assert server.ask("GET", f"/v1/models/{path}")[0] in (400, 404), path
        assert server.ask("GET", "/v1/models/../../etc/passwd")[0] == 400


# Limits


def heavy(folder, rounds):
    """A model that multiplies matrices for a while, whatever its input."""

    def run(x):
        square = tf.fill([256, 256], 1.0 / 256)
        square = tf.while_loop(lambda at, _: at < rounds, lambda at, a: (at + 1, tf.matmul(a, a)), (0, square))[1]
        return {"y": x + square[0, 0] * 0}

    module = tf.Module()
    module.run = tf.function(run, input_signature=[tf.TensorSpec([None], tf.float32, "x")], autograph=False)
    tf.saved_model.save(module, str(folder), signatures={"serving_default": module.run.get_concrete_function()})


def test_a_full_queue_refuses_requests_and_drains(tmp_path):
    heavy(tmp_path / "heavy" / "1", 150)
    with running(tmp_path, limits=QueueLimits(workers=1, batch_rows=4, waiting_rows=6)) as server:
        with concurrent.futures.ThreadPoolExecutor(40) as pool:
            answers = list(
                pool.map(lambda _: server.ask("POST", "/v1/models/heavy:predict", {"instances": [1.0]}), range(80))
            )
        kinds = [status for status, _, _ in answers]
        assert set(kinds) == {200, 429} and kinds.count(200) > 6
        assert all(headers["retry-after"] == "1" for status, headers, _ in answers if status == 429)
        queue = server.server.service.scheduler
        assert (queue.waiting_rows, queue.queues, queue.free_workers) == (0, {}, 1)
        assert server.predict("heavy", instances=[1.0])["predictions"] == [1.0]


def test_a_request_past_its_deadline_fails_and_others_succeed(tmp_path):
    heavy(tmp_path / "heavy" / "1", 400)
    with running(tmp_path, limits=QueueLimits(workers=1)) as server:
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            first = pool.submit(server.predict, "heavy", instances=[1.0])
            status, _, body = server.ask(
                "POST", "/v1/models/heavy:predict", {"instances": [2.0]}, {"X-Request-Timeout": "0.001"}
            )
            assert status == 504 and b"deadline" in body
            assert first.result()["predictions"] == [1.0]
        assert (
            server.ask("POST", "/v1/models/heavy:predict", {"instances": [2.0]}, {"X-Request-Timeout": "soon"})[0]
            == 400
        )
        assert server.server.service.scheduler.waiting_rows == 0


def test_requests_beyond_the_limits_are_refused(tmp_path, mail):
    shutil.copytree(mail, tmp_path / "mail" / "1")
    with running(tmp_path, max_body_bytes=5000, max_rows=3, max_text_bytes=100) as server:
        ask = lambda body, headers=(): server.ask("POST", "/v1/models/mail:predict", body, headers)
        assert ask({"instances": ["x" * 100] * 3})[0] == 200
        assert b"4 rows" in ask({"instances": ["x"] * 4})[2]
        assert b"101 bytes" in ask({"instances": ["x" * 101]})[2]
        assert b"longer than" in ask({"instances": ["x" * 6000]})[2]
        import gzip

        packed = gzip.compress(b" " * 1_000_000)
        assert len(packed) < 5000
        assert b"longer than" in ask(packed, {"Content-Encoding": "gzip"})[2]
        assert ask(b"not packed", {"Content-Encoding": "gzip"})[0] == 400


def test_slow_idle_and_disconnected_clients_are_dropped(tmp_path):
    heavy(tmp_path / "heavy" / "1", 300)
    bounds = {"header_seconds": 0.3, "body_seconds": 0.3, "limits": QueueLimits(workers=1)}
    with running(tmp_path, **bounds) as server, contextlib.ExitStack() as sockets:
        silent, slow, half = (
            sockets.enter_context(socket.create_connection(("127.0.0.1", server.rest))) for _ in "abc"
        )
        slow.sendall(b"POST /v1/models/heavy:pre")
        half.sendall(b"POST /v1/models/heavy:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        for connection in (silent, slow):
            connection.settimeout(10)
            assert connection.recv(100) == b""  # closed by the server
        half.settimeout(10)
        assert b" 504 " in half.recv(1000)
        # Ten clients send a request and disconnect: their requests are dropped.
        for _ in range(10):
            with socket.create_connection(("127.0.0.1", server.rest)) as client:
                body = b'{"instances": [1.0]}'
                client.sendall(
                    b"POST /v1/models/heavy:predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s"
                    % (len(body), body)
                )
        queue = server.server.service.scheduler
        until(lambda: queue.waiting_rows == 0 and queue.free_workers == 1)
        assert server.predict("heavy", instances=[1.0])["predictions"] == [1.0]
        version = server.server.repository.models["heavy"].versions[1].loaded
        until(lambda: version.num_held == 0)


def test_connections_beyond_the_limit_are_refused_and_the_others_continue(tmp_path):
    heavy(tmp_path / "heavy" / "1", 1)
    request = b'POST /v1/models/heavy:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n{"instances": [1.0]}'
    with running(tmp_path, max_connections=2) as server, contextlib.ExitStack() as sockets:

        def connect():
            connection = sockets.enter_context(socket.create_connection(("127.0.0.1", server.rest)))
            connection.settimeout(10)
            return connection

        def answered(connection):
            connection.sendall(request)
            response = b""
            while not response.endswith(b"}") and (chunk := connection.recv(1000)):
                response += chunk
            return response.startswith(b"HTTP/1.1 200")

        first, second = connect(), connect()
        assert answered(first) and answered(second)
        refused = connect().recv(1000)
        assert refused.startswith(b"HTTP/1.1 503 ") and b"retry-after: 1" in refused
        assert answered(first) and answered(second)
        first.close()

        def has_room():
            try:
                return answered(connect())
            except OSError:
                return False

        until(has_room)


def test_a_stream_ends_when_its_client_disconnects(tmp_path, monkeypatch):
    heavy(tmp_path / "heavy" / "1", 1)
    with running(tmp_path) as server:
        ended = threading.Event()

        async def endless(*arguments):
            try:
                for tokens in itertools.count(1):
                    yield {"text": "on and on", "tokens": tokens, "done": False}
                    await asyncio.sleep(0.01)
            finally:
                ended.set()

        monkeypatch.setattr(server.server.service, "stream", endless)
        with socket.create_connection(("127.0.0.1", server.rest)) as client:
            client.settimeout(10)
            client.sendall(
                b'POST /v1/models/heavy:stream HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n{"instances": ["a"]}'
            )
            assert b"text/event-stream" in client.recv(1000)
            assert not ended.is_set()
        assert ended.wait(10)


def test_cancelled_grpc_calls_leave_the_queue(tmp_path):
    heavy(tmp_path / "heavy" / "1", 300)
    with running(tmp_path, limits=QueueLimits(workers=1)) as server, grpc.insecure_channel(server.grpc) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        request = predict_pb2.PredictRequest()
        request.model_spec.name = "heavy"
        request.inputs["x"].CopyFrom(tf.make_tensor_proto([1.0]))
        calls = [stub.Predict.future(request) for _ in range(8)]
        for call in calls:
            call.cancel()
        queue = server.server.service.scheduler
        until(lambda: queue.waiting_rows == 0 and queue.free_workers == 1)
        assert tf.make_ndarray(stub.Predict(request, timeout=60).outputs["y"]).tolist() == [1.0]


# Authentication, logs, shutdown


def test_requests_without_a_token_learn_nothing(tmp_path, mail):
    root = tmp_path / "models"
    shutil.copytree(mail, root / "mail" / "1")
    (tmp_path / "tokens").write_text("first\n\nsecond\n")
    with running(root, auth=TokenAuth.read(tmp_path / "tokens")) as server:
        requests = [
            ("GET", "/v1/models/mail"),
            ("GET", "/v1/models/none"),
            ("POST", "/v1/models/mail:predict"),
            ("GET", "/models"),
            ("GET", "/metrics"),
            ("GET", "/nothing"),
            ("OPTIONS", "/v1/models/mail"),
        ]
        for wrong in (
            {},
            {"Authorization": "Bearer third"},
            {"Authorization": "Basic first"},
            {"Authorization": "first"},
        ):
            answers = {server.ask(*request, headers=wrong)[::2] for request in requests}
            assert len(answers) == 1 and next(iter(answers))[0] == 401
        for token in ("first", "second"):
            assert server.ask("GET", "/v1/models/mail", headers={"Authorization": f"Bearer {token}"})[0] == 200
        assert server.ask("GET", "/healthz")[0] == 200
        client = Client(f"http://127.0.0.1:{server.rest}/v1/models/mail", token="first")
        assert client.predict(["thank you"])[0]["answer"] in ("no", "yes")
        with grpc.insecure_channel(server.grpc) as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            request = predict_pb2.PredictRequest()
            request.model_spec.name = "mail"
            request.inputs["text"].CopyFrom(tf.make_tensor_proto(["thank you"]))
            for metadata in ((), (("authorization", "Bearer third"),)):
                with pytest.raises(grpc.RpcError) as error:
                    stub.Predict(request, timeout=30, metadata=metadata)
                assert error.value.code() == grpc.StatusCode.UNAUTHENTICATED
            assert stub.Predict(request, timeout=30, metadata=(("authorization", "Bearer first"),)).outputs["answer"]


@pytest.mark.skipif(not shutil.which("openssl"), reason="makes a certificate with openssl, which is not here")
def test_both_endpoints_support_tls(tmp_path):
    import http.client
    import ssl

    add(tmp_path / "models" / "plus" / "1", 1)
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost"], check=True, capture_output=True,
    )  # fmt: skip
    with running(tmp_path / "models", tls_cert=cert, tls_key=key) as server:
        connection = http.client.HTTPSConnection(
            "localhost", server.rest, context=ssl.create_default_context(cafile=str(cert)), timeout=30
        )
        connection.request("POST", "/v1/models/plus:predict", '{"instances": [1.0]}')
        assert json.load(connection.getresponse())["predictions"] == [2.0]
        connection.close()
        credentials = grpc.ssl_channel_credentials(cert.read_bytes())
        with grpc.secure_channel(server.grpc.replace("127.0.0.1", "localhost"), credentials) as channel:
            request = predict_pb2.PredictRequest()
            request.model_spec.name = "plus"
            request.inputs["x"].CopyFrom(tf.make_tensor_proto([1.0]))
            answer = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(request, timeout=30)
            assert tf.make_ndarray(answer.outputs["y"]).tolist() == [2.0]


def test_the_log_has_texts_only_with_log_texts(tmp_path, capfd):
    add(tmp_path / "plus" / "1", 1)
    for texts in (False, True):
        with running(tmp_path, access_log=True, log_texts=texts) as server:
            server.ask("POST", "/v1/models/plus:predict", {"instances": [7771.5]}, {"X-Request-Id": "who"})
        lines = [json.loads(line) for line in capfd.readouterr().err.splitlines() if line.startswith("{")]
        (line,) = [line for line in lines if line.get("id") == "who"]
        assert (line["model"], line["verb"], line["version"], line["status"]) == ("plus", "predict", 1, 200)
        assert ("7771.5" in json.dumps(line)) is texts


def test_a_port_in_use_is_reported(tmp_path):
    add(tmp_path / "plus" / "1", 1)
    with running(tmp_path) as server:
        for ports in (
            {"rest_port": server.rest, "grpc_port": None},
            {"rest_port": None, "grpc_port": server.server.ports["gRPC"]},
        ):
            with pytest.raises(Exception, match="not available.*; choose another"):
                Running(Options(folder=tmp_path, **ports))


def test_running_requests_are_finished_before_the_server_stops(tmp_path):
    heavy(tmp_path / "heavy" / "1", 400)
    with running(tmp_path, limits=QueueLimits(workers=1)) as server, concurrent.futures.ThreadPoolExecutor(3) as pool:
        answers = [pool.submit(server.predict, "heavy", instances=[float(number)]) for number in range(3)]
        until(lambda: server.server.service.scheduler.waiting_rows == 2)
        server.loop.call_soon_threadsafe(server.server.stopping.set)
        assert [answer.result()["predictions"] for answer in answers] == [[0.0], [1.0], [2.0]]
