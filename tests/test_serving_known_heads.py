"""Requests whose head was parsed before get the answers of other requests (textpipe/serve/rest/known_heads.py)."""

import errno
import io
import json
import random
import socket
import threading
from types import SimpleNamespace

import pytest
import serving_cases
from serving_server import running, until
from test_serving_direct import receive

from textpipe.serve.access import TokenAuth
from textpipe.serve.engine import batch_queue
from textpipe.serve.rest import connection, direct, known_heads
from textpipe.serve.rest.known_heads import KnownHeads, split

PATH = "/v1/models/m:predict"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("heads")
    serving_cases.save(root / "m" / "1", {"serving_default": "x_string1"})
    return root


@pytest.fixture
def parsed(monkeypatch):
    """The number of requests whose head was parsed."""
    heads = []

    def on_headers_complete(self, original=connection.Connection.on_headers_complete):
        heads.append(self.url)
        original(self)

    monkeypatch.setattr(connection.Connection, "on_headers_complete", on_headers_complete)
    return heads


def request(body=None, *fields, path=PATH, length="Content-Length"):
    body = (
        json.dumps({"instances": ["text"]} if body is None else body).encode() if not isinstance(body, bytes) else body
    )
    lines = [f"POST {path} HTTP/1.1", "Host: x", *fields, f"{length}: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


def cycle(data, **fields):
    """What uvicorn knows of a request."""
    head, _, body = data.partition(b"\r\n\r\n")
    pairs = [line.split(b": ", 1) for line in head.split(b"\r\n")[1:]]
    headers = [(name.lower(), value) for name, value in pairs]
    scope = {"type": "http", "headers": headers, "client": ("1", 2), "log_fields": {}}
    return SimpleNamespace(**{"scope": scope, "body": body, "keep_alive": True} | fields)


def test_only_the_length_may_differ():
    heads, first = KnownHeads(), request({"instances": ["a"]}, "Accept: */*")
    heads.remember(first, cycle(first))
    longer = request({"instances": ["a" * 5000]}, "Accept: */*")
    head, body = heads.find(longer)
    assert json.loads(body) == {"instances": ["a" * 5000]} and head.headers[b"accept"] == b"*/*"
    assert "client" not in head.scope and "log_fields" not in head.scope
    for other in (
        request({"instances": ["a"]}), request({"instances": ["a"]}, "Accept: a"), longer[:-1], longer + b"x",
        request({"instances": ["a"]}, "Accept: */*", length="content-length"), longer.replace(b"POST", b"PUT"),
    ):  # fmt: skip
        assert heads.find(other) is None


@pytest.mark.parametrize(
    "fields",
    [
        ["X-Length: 7"], ["X-Length: 7", "X-length: 7"], ["X-Request-Id: a"], ["Transfer-Encoding: chunked"], ["Upgrade: b"],
        ["X: " + "a" * known_heads.MAX_HEAD_BYTES],
    ],
)  # fmt: skip
def test_heads_that_are_not_remembered(fields):
    heads, data = KnownHeads(), request(None, *fields)
    heads.remember(data, cycle(data))
    assert not heads.heads


def test_heads_of_other_requests_are_not_remembered():
    heads, data = KnownHeads(), request()
    heads.remember(data, cycle(data, keep_alive=False))
    heads.remember(data + data, cycle(data))
    heads.remember(data, cycle(data, body=b"other"))
    assert not heads.heads


def test_random_heads_are_split_as_they_are_joined():
    draw = random.Random(4)
    parts = [
        b"Content-Length: ",
        b"content-length: ",
        b"X-Length: ",
        b"12",
        b"3",
        b"\r\n",
        b"\r\n\r\n",
        b"a: b",
        b"-",
        b" ",
    ]
    keys = {}
    for _ in range(20_000):
        data = b"".join(draw.choices(parts, k=draw.randrange(1, 12)))
        if (found := split(data)) is None:
            continue
        key, end = found
        field = next(field for field in known_heads.LENGTH_FIELDS if field in key)
        at = key.index(field) + len(field)
        digits = data[at : at + len(data[:end]) - len(key)]
        assert key[:at] + digits + key[at:] == data[:end] and int(digits) == len(data) - end
        keys.setdefault(key, set()).add(at)
    assert keys and all(len(places) == 1 for places in keys.values())


def test_the_number_of_heads_is_bounded(monkeypatch):
    monkeypatch.setattr(known_heads, "MAX_HEADS", 3)
    heads = KnownHeads()
    for number in range(10):
        data = request(None, f"A: {number}")
        heads.remember(data, cycle(data))
        assert len(heads.heads) <= 3 and heads.find(data)


def test_answers_are_those_of_parsed_requests(folder, parsed):
    bodies = [
        {"instances": ["a"]},
        {"instances": ["u", "b" * 900]},
        {"instances": []},
        [],
        b"{",
        {"inputs": ["a"]},
        {"instances": [1]},
    ]
    with running(folder) as server:
        expected = []
        for body in bodies:
            with socket.create_connection(("127.0.0.1", server.rest), timeout=60) as client:
                client.sendall(request(body, f"A: {bodies.index(body)}"))
                expected += receive(client, 1)
        assert len(parsed) == len(bodies)
        with socket.create_connection(("127.0.0.1", server.rest), timeout=60) as client:
            client.sendall(request())
            receive(client, 1)
            for body, answer in zip(bodies * 2, expected * 2, strict=True):
                client.sendall(request(body))
                assert receive(client, 1) == [answer]
            assert len(parsed) == len(bodies) + 1  # of the first request alone
            client.sendall(request() * 3)  # pipelined ones are parsed
            assert len(receive(client, 3)) == 3 and len(parsed) == len(bodies) + 4
            client.sendall(request()[:-3])
            until(lambda: len(parsed) == len(bodies) + 5)
            client.sendall(request()[-3:])
            receive(client, 1)
            client.sendall(request(b" " * direct.INLINE_BYTES + b'{"instances": ["a"]}'))  # the application's
            assert receive(client, 1)[0][0] == b"HTTP/1.1 200 OK" and len(parsed) == len(bodies) + 6
            client.sendall(request(None, "Connection: close"))
            assert receive(client, 1) and client.recv(1) == b""
        text = server.ask("GET", "/metrics")[2].decode()
        assert 'textpipe_requests_total{code="INVALID_ARGUMENT",door="rest",model="m",verb="predict"}' in text


def test_a_request_that_came_in_pieces_lends_its_head_to_no_other(folder, parsed):
    tokens, other = TokenAuth(["secret"]), request()
    with (
        running(folder, auth=tokens) as server,
        socket.create_connection(("127.0.0.1", server.rest), timeout=60) as client,
    ):
        first = request(None, "Authorization: Bearer secret")
        client.sendall(first[:-3])
        until(lambda: len(parsed) == 1)
        client.sendall(first[-3:])
        assert receive(client, 1)[0][0] == b"HTTP/1.1 200 OK"
        for _ in range(3):
            client.sendall(other)
            assert receive(client, 1)[0][0] == b"HTTP/1.1 401 Unauthorized"


def test_tokens_and_shutdowns_are_checked_for_each_request(folder, parsed):
    tokens = TokenAuth(["secret"])
    with (
        running(folder, auth=tokens) as server,
        socket.create_connection(("127.0.0.1", server.rest), timeout=60) as client,
    ):
        for _ in range(2):
            client.sendall(request(None, "Authorization: Bearer secret"))
            assert receive(client, 1)[0][0] == b"HTTP/1.1 200 OK"
        assert len(parsed) == 1
        tokens.tokens = [b"other"]
        client.sendall(request(None, "Authorization: Bearer secret"))
        assert receive(client, 1)[0][0] == b"HTTP/1.1 401 Unauthorized"
        tokens.tokens = [b"secret"]
        server.loop.call_soon_threadsafe(server.server.stop, 15)
        until(lambda: server.server.service.stopping.is_set())
        client.sendall(request(None, "Authorization: Bearer secret"))
        assert receive(client, 1)[0][0] == b"HTTP/1.1 503 Service Unavailable" and client.recv(1) == b""


def test_an_idle_connection_is_closed_after_an_error_but_not_one_that_waits(folder, parsed, monkeypatch):
    release, made = threading.Event(), []

    def connection_made(self, transport, original=connection.Connection.connection_made):
        made.append(self)
        original(self, transport)

    def run_batch(batch, original=batch_queue.run_batch):
        release.wait(60)
        return original(batch)

    monkeypatch.setattr(connection.Connection, "connection_made", connection_made)
    monkeypatch.setattr(batch_queue, "is_quick", lambda batch: False)
    monkeypatch.setattr(batch_queue, "run_batch", run_batch)
    with running(folder) as server, socket.create_connection(("127.0.0.1", server.rest), timeout=60) as client:

        def is_idle():
            return made[0].idle_deadline is not None

        for data in (request(), request(b"{"), request(b"{")):  # parsed, then known
            release.set()
            client.sendall(data)
            receive(client, 1)
            until(is_idle)
        assert len(parsed) == 1
        release.clear()
        for data in (request(), request(b"{") + request()):
            client.sendall(data)
            receive(client, data.count(b"POST") - 1)
            until(lambda: server.server.service.scheduler.running)
            assert not is_idle()
            release.set()
            receive(client, 1)
            until(is_idle)
            release.clear()
        release.set()


def test_a_log_that_cannot_be_written_fails_no_request(folder):
    class Full(io.StringIO):
        def flush(self):
            raise OSError(errno.ENOSPC, "No space left on device")

    stream = Full()
    with running(folder, access_log=True) as server:
        server.server.log.stream = stream
        with socket.create_connection(("127.0.0.1", server.rest), timeout=60) as client:
            for body in (None, None, b"{", b"{", None):
                client.sendall(request(body))
                assert receive(client, 1)[0][0] == (b"HTTP/1.1 400 Bad Request" if body else b"HTTP/1.1 200 OK")
        assert server.ask("GET", "/healthz")[0] == 200
        until(lambda: '"path": "/healthz"' in stream.getvalue())  # written after the answer
