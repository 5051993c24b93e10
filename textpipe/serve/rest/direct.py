"""Answers small predict requests without the ASGI application.

A task, its futures and the messages between server and application take two thirds of the time that Python spends on a request
with one text. Here a request is read when its last byte is parsed, queued, and written when its batch ends, with the functions of
the application, so that answers, errors, metrics and the access log are the same. Whatever is rarer goes to the application:
compressed or long bodies, refusals for overload (which are delayed), clients that do not read, missing tokens.
"""

import functools
import time
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from textpipe.serve.access import request_id
from textpipe.serve.engine.batch_request import Request
from textpipe.serve.engine.errors import ServingError
from textpipe.serve.engine.search_limits import deadline_exceeded
from textpipe.serve.engine.service import Call
from textpipe.serve.rest import paths, responses
from textpipe.serve.rest.known_heads import Exchange, KnownHeads
from textpipe.serve.rest.predict_request import PredictReader, checked, signature_name
from textpipe.serve.rest.request_body import INLINE_BYTES
from textpipe.serve.tensors import json_document, to_json

if TYPE_CHECKING:
    from textpipe.serve.rest.app import App

APPLICATION_HEADERS = {b"content-encoding", b"expect"}  # a request with one of these is for the application
PREFIX = paths.PREFIX.encode()
MAX_PATHS = 1024  # whose targets are remembered
RESPONSE = b"%b%bcontent-type: %b\r\ncontent-length: %d\r\nx-request-id: %b\r\n%b\r\n%b"


class DirectPredict:
    """app: the application that answers all other requests."""

    def __init__(self, app: "App"):
        self.app, self.api, self.service = app, app.api, app.api.service
        self.max_bytes = min(INLINE_BYTES, self.api.bodies.max_bytes)
        self.known_heads = KnownHeads()
        self.target = functools.lru_cache(MAX_PATHS)(lambda path: paths.parse("POST", path.decode("latin-1")))
        self.default_headers: list[tuple[bytes, bytes]] = []
        self.default_lines = b""

    def may_answer(self, scope: dict) -> bool:
        """Whether the head is that of a request which this may answer."""
        return (
            scope["method"] == "POST"
            and scope["raw_path"].endswith(b":predict")
            and scope["raw_path"].lower().startswith(PREFIX)
            and not scope["query_string"]
            and APPLICATION_HEADERS.isdisjoint(name for name, _ in scope["headers"])
        )

    def begin(self, connection: Any, cycle: Any) -> bool:
        """Queues a complete request of a connection, or answers it with an error; returns False where the application must answer."""
        scope, body = cycle.scope, cycle.body
        headers = cycle.headers if isinstance(cycle, Exchange) else dict(scope["headers"])
        if (
            len(body) > self.max_bytes
            or connection.flow.write_paused
            or not self.app.auth.allows(headers.get(b"authorization", b""))
        ):
            return False
        fields: dict[str, Any] = {}
        answer = Answer(self, connection, cycle, request_id(headers.get(b"x-request-id")))
        try:
            target = self.target(scope["raw_path"])
            fields["model"], fields["verb"], fields["bytes_in"] = target.name, target.method, len(body)
            self.service.admit()
            deadline = self.api.deadline(headers)
            request = checked(json_document.parse(bytes(body), deadline))
            answer.reader = PredictReader(request, signature_name(request), self.service.request_limits)
            if deadline <= time.monotonic():
                raise deadline_exceeded()
            answer.call = self.service.begin(
                target, answer.reader, deadline=deadline, on_end=answer.end, disconnected=answer.disconnected
            )
        except Exception as error:
            if isinstance(error, ServingError) and error.code == "RESOURCE_EXHAUSTED":
                return False
            scope["log_fields"] = fields
            answer.send_response(responses.describe(error, f"POST {scope['path']}", fields))
            return True
        scope["log_fields"] = fields
        return True

    def head_lines(self, headers: list[tuple[bytes, bytes]]) -> bytes:
        """The server's own header lines, which change once a second."""
        if headers is not self.default_headers:
            self.default_headers = headers
            self.default_lines = b"".join(b"%s: %s\r\n" % pair for pair in headers)
        return self.default_lines


class Answer:
    """The response to one request. name: the id of the request; call, reader: see DirectPredict.begin."""

    __slots__ = ("call", "connection", "cycle", "direct", "name", "reader", "start")
    call: Call
    reader: PredictReader

    def __init__(self, direct: DirectPredict, connection: Any, cycle: Any, name: str):
        self.direct, self.connection, self.cycle, self.name = direct, connection, cycle, name
        self.start = time.monotonic()

    def disconnected(self) -> bool:
        return bool(self.cycle.disconnected)

    def end(self, request: Request) -> None:
        """Writes the answer of a request that has its outcome."""
        call, scope = self.call, self.cycle.scope
        fields = scope["log_fields"]
        with call.hold as version:
            try:
                body = to_json.predict(self.direct.service.end(call), in_rows=self.reader.in_rows).encode()
            except Exception as error:
                self.send_response(responses.describe(error, f"POST {scope['path']}", fields))
                return
            fields["version"], fields["signature"] = version.number, self.reader.name
        self.send(200, body)

    def send_response(self, response: responses.Response) -> None:
        more = b"".join([b"%b: %b\r\n" % pair for pair in response.headers])
        self.send(response.status, response.body, response.content_type, more)

    def send(self, status: int, body: bytes, content_type: bytes = responses.JSON, more: bytes = b"") -> None:
        """Writes the response in one piece, and ends the request as uvicorn does. more: further lines of its head."""
        cycle, connection = self.cycle, self.connection
        if not cycle.disconnected:
            if not cycle.keep_alive:
                more += b"connection: close\r\n"
            default = self.direct.head_lines(cycle.default_headers)
            parts = STATUS_LINE[status], default, content_type, len(body), self.name.encode(), more, body
            connection.transport.write(RESPONSE % parts)
            cycle.response_started = cycle.response_complete = True
            cycle.message_event.set()
            if not cycle.keep_alive:
                cycle.transport.close()
            connection.on_response_complete()
        self.direct.app.record(cycle.scope, self.name, status, len(body), time.monotonic() - self.start)
