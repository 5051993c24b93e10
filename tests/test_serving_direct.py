"""Small predict requests are answered without the ASGI application; others are not (textpipe/serve/rest/direct.py)."""

import asyncio
import json
import socket

import pytest
import serving_cases
import serving_direct
from serving_server import running, until

from textpipe.serve.access import TokenAuth
from textpipe.serve.engine.batch_queue import BatchScheduler, QueueLimits
from textpipe.serve.engine.metrics import Metrics
from textpipe.serve.engine.repository import Repository
from textpipe.serve.engine.service import Service
from textpipe.serve.rest import direct
from textpipe.serve.rest.app import App

PATH, BODY = "/v1/models/m:predict", b'{"instances": ["u"]}'


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("direct")
    serving_cases.save(root / "m" / "1", {"serving_default": "x_string1"})
    return root


@pytest.fixture(scope="module")
def application(folder):
    repository = Repository(folder)
    repository.refresh()
    return App(Service(repository, BatchScheduler(QueueLimits(workers=1))), TokenAuth(), Metrics())


def ask(application, **changes):
    request = {"method": "POST", "path": PATH, "body": BODY, **changes}
    return asyncio.run(serving_direct.ask(application, **request))


def test_it_answers_and_counts(application):
    status, headers, body = ask(application)
    assert status == 200 and "predictions" in json.loads(body)
    assert headers["content-length"] == str(len(body)) and headers["date"] == "now" and "connection" not in headers
    assert ask(application, keep_alive=False)[1]["connection"] == "close"
    assert ask(application, headers={"X-Request-Id": "mine"})[1]["x-request-id"] == "mine"
    assert 'code="OK",door="rest",model="m",verb="predict"} 3.0' in application.metrics.exposition()[0].decode()


@pytest.mark.parametrize(
    "change",
    [
        {"method": "GET"},
        {"path": "/v1/models/m"},
        {"path": PATH + "?x"},
        {"path": "/v1/models/m:classify"},
        {"path": "/models/m:predict"},
        {"path": "/v2/models/m:predict"},
        {"headers": {"Content-Encoding": "gzip"}},
        {"headers": {"Expect": "100-continue"}},
        {"body": BODY[:-1] + b" " * direct.INLINE_BYTES + b"}"},
    ],
)
def test_what_the_application_answers(application, change):
    assert ask(application, **change) is None


def test_missing_tokens_full_queues_and_shutdowns(folder, application):
    closed = App(application.api.service, TokenAuth(["secret"]), Metrics())
    assert ask(closed) is None
    assert ask(closed, headers={"Authorization": "Bearer secret"})[0] == 200
    service = Service(application.api.service.repository, BatchScheduler(QueueLimits(workers=1)))
    service.scheduler.waiting_rows = service.scheduler.limits.waiting_rows
    assert ask(App(service, TokenAuth(), Metrics())) is None  # refusals are delayed
    service.stopping.set()
    status, headers, _ = ask(App(service, TokenAuth(), Metrics()))
    assert (status, headers["retry-after"]) == (503, "1")


@pytest.fixture
def counted(monkeypatch):
    """How many requests of each kind connections have seen."""
    counts = {"direct": 0, "application": 0}

    def begin(self, connection, cycle, original=direct.DirectPredict.begin):
        counts["direct"] += 1
        return original(self, connection, cycle)

    async def call(self, scope, receive, send, original=App.__call__):
        counts["application"] += 1
        await original(self, scope, receive, send)

    monkeypatch.setattr(direct.DirectPredict, "begin", begin)
    monkeypatch.setattr(App, "__call__", call)
    return counts


HEAD = b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n" % (PATH.encode(), len(BODY))


def receive(client, number):
    """The status lines and bodies of so many responses."""
    data, found = b"", []
    while len(found) < number:
        head, blank, rest = data.partition(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]) if blank else 0
        if blank and len(rest) >= length:
            found.append((head.split(b"\r\n")[0], rest[:length]))
            data = rest[length:]
            continue
        piece = client.recv(1 << 16)
        assert piece, (data, found)
        data += piece
    return found


def test_over_a_socket(folder, counted):
    with running(folder) as server, socket.create_connection(("127.0.0.1", server.rest), timeout=60) as client:
        client.sendall(HEAD + b"\r\n" + BODY)
        (first,) = receive(client, 1)
        assert first[0] == b"HTTP/1.1 200 OK"
        client.sendall(HEAD + b"\r\n")  # the body in another packet
        client.sendall(BODY)
        assert receive(client, 1) == [first] and counted == {"direct": 2, "application": 0}
        client.sendall((HEAD + b"\r\n" + BODY) * 5)  # pipelined ones wait for the first
        assert receive(client, 5) == [first] * 5
        assert counted["direct"] + counted["application"] == 7
        before = counted["application"]
        client.sendall(HEAD + b"\r\n" + BODY[:5])  # a slow body is the application's
        until(lambda: counted["application"] > before)
        client.sendall(BODY[5:])
        assert receive(client, 1) == [first]
        client.sendall(HEAD + b"Connection: close\r\n\r\n" + BODY)
        assert receive(client, 1) == [first] and client.recv(1) == b""


def test_pipelined_requests_of_a_client_that_leaves_are_abandoned(folder, monkeypatch):
    left = []

    async def wait(self, scope, receive, send):
        while (await receive())["type"] != "http.disconnect":
            pass
        left.append(scope)

    monkeypatch.setattr(App, "__call__", wait)
    with running(folder) as server:
        with socket.create_connection(("127.0.0.1", server.rest), timeout=60) as client:
            client.sendall((HEAD + b"\r\n" + BODY) * 3)  # the third one waits for the application to answer the second
            receive(client, 1)
        until(lambda: left, seconds=10)


ASK = HEAD + b"\r\n" + BODY
CHUNKED = b"POST /v1/models/square:predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


REFUSED = {
    "no request": (b"400", b"no request\r\n\r\n"),
    "bytes, more than are parsed at a time": (b"400", b"\x00\xff" * 200_000),
    "a URL of 17 KB, and a request": (b"414", b"GET /" + b"a" * 17_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n" + ASK),
    "a queued request with a damaged body": (b"400", CHUNKED + b"no size\r\n"),
}


def test_requests_before_one_that_is_refused_are_answered_first(folder):
    with running(folder) as server:
        for first in (ASK, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"):
            for kind, (status, refused) in REFUSED.items():
                with socket.create_connection(("127.0.0.1", server.rest), timeout=60) as client:
                    client.sendall(first)
                    (alone,) = receive(client, 1)
                    client.sendall(first * 3 + refused)
                    *answers, (line, body) = receive(client, 4)
                    assert answers == [alone] * 3 and line.split()[1] == status and b'"error"' in body, kind
                    assert client.recv(1) == b""


def test_a_refused_request_waits_for_the_answer_to_the_one_before(folder, monkeypatch):
    waiting = []
    monkeypatch.setattr(direct.DirectPredict, "begin", lambda self, connection, cycle: not waiting.append(cycle))
    with running(folder) as server, socket.create_connection(("127.0.0.1", server.rest), timeout=60) as client:
        client.sendall(ASK + b"no request\r\n\r\n" + ASK)
        until(lambda: waiting)
        client.settimeout(0.2)
        with pytest.raises(TimeoutError):
            client.recv(1)
        assert len(waiting) == 1 and not waiting[0].disconnected
    until(lambda: waiting[0].disconnected)
