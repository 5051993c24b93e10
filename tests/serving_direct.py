"""A request to DirectPredict without a socket, as Connection makes it."""

import asyncio
import time
from types import SimpleNamespace

from textpipe.serve.rest.direct import DirectPredict


class Transport:
    def __init__(self):
        self.written, self.closed = b"", False

    def write(self, data):
        self.written += data

    def close(self):
        self.closed = True


class Uvicorn:
    """The parts of a connection and its request cycle that DirectPredict uses."""

    def __init__(self, method, path, body, headers, *, keep_alive=True):
        path, _, query = path.partition("?")
        scope = {
            "type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": query.encode(),
            "headers": [(name.lower().encode(), value.encode()) for name, value in dict(headers).items()],
        }  # fmt: skip
        self.transport, self.flow = Transport(), SimpleNamespace(write_paused=False)
        self.completed = 0
        self.cycle = SimpleNamespace(
            scope=scope, body=bytearray(body), disconnected=False, keep_alive=keep_alive, default_headers=[(b"date", b"now")],
            transport=self.transport, message_event=asyncio.Event(), response_started=False, response_complete=False,
        )  # fmt: skip

    def on_response_complete(self):
        self.completed += 1


async def ask(application, method, path, body=b"", headers=(), **options):
    """(status, headers, body) of one request, None if it is for the application."""
    direct, connection = DirectPredict(application), Uvicorn(method, path, body, headers, **options)
    cycle = connection.cycle
    if not direct.may_answer(cycle.scope) or not direct.begin(connection, cycle):
        assert not connection.transport.written
        return None
    end = time.monotonic() + 60
    while not cycle.response_complete:
        assert time.monotonic() < end
        await asyncio.sleep(0.001)
    assert connection.completed == 1
    head, _, answer = connection.transport.written.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    return int(status.split()[1]), dict(line.split(": ", 1) for line in lines), answer
