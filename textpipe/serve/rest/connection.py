"""An HTTP connection with limits on the size and duration of request headers, and a close that lets the client read the
response.

uvicorn's parser buffers a head until it is complete, and appends to a field with each chunk received. So bytes are counted
before they are parsed: neither memory nor time grows with what a client sends beyond the limits.
"""

import asyncio
from http import HTTPStatus
from typing import Any, ClassVar, cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from textpipe.serve.tensors import to_json

MAX_HEAD = 64 << 10  # bytes of a request line and its fields, or of the chunk extensions and trailers of a body
MAX_URL = 16 << 10
MAX_FIELDS = 256
PARSE_BYTES = 64 << 10  # parsed at a time
LINGER_SECONDS = 2.0  # in which further input is read and dropped, so that the client can read the response
MAX_DROPPED = 256 << 20
PER_CHUNK, PER_BYTE = 16, 2  # overhead in bytes that chunked encoding may add to a body

IDLE, HEAD, BODY = "idle", "head", "body"


def response(status: HTTPStatus, message: str, *fields: bytes) -> bytes:
    """A complete response that closes the connection."""
    body = to_json.error(message).encode()
    head = [
        b"HTTP/1.1 %d %s" % (status, status.phrase.encode()), b"content-type: application/json",
        b"content-length: %d" % len(body), *fields, b"connection: close", b"", b"",
    ]  # fmt: skip
    return b"\r\n".join(head) + body


TOO_MANY_CONNECTIONS = response(
    HTTPStatus.SERVICE_UNAVAILABLE, "too many connections; try again later", b"retry-after: 1"
)
URL_TOO_LONG = response(HTTPStatus.REQUEST_URI_TOO_LONG, f"the URL is longer than {MAX_URL} bytes")
TOO_MANY_FIELDS = response(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"more than {MAX_FIELDS} header fields")
HEAD_TOO_LONG = response(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"the headers are longer than {MAX_HEAD} bytes")
NO_TUNNEL = response(HTTPStatus.NOT_IMPLEMENTED, "this server does not open tunnels")
TRAILERS_TOO_LONG = response(
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"chunk extensions or trailers are longer than {MAX_HEAD} bytes"
)


class ResponseTransport:
    """The transport that uvicorn writes a response to: its `close` is Connection.end."""

    __slots__ = ("close", "is_closing", "write")

    def __init__(self, connection: "Connection"):
        self.write, self.is_closing, self.close = connection.transport.write, connection.closing, connection.end


class Connection(HttpToolsProtocol):
    """header_seconds: from opening the connection, or from a request's first byte, until its headers are complete;
    max_connections: further ones are closed with 503; draining: each response closes its connection.
    """

    header_seconds, max_connections, draining = 10.0, 1024, False
    refused: ClassVar[set["Connection"]] = set()  # connections beyond max_connections, until they are closed
    headers_deadline: float | None = None  # by the loop's clock, while headers are expected
    headers_timer: asyncio.TimerHandle | None = None
    linger_timer: asyncio.TimerHandle | None = None
    phase, ended = IDLE, False
    # Bytes received, and those before the current head (rounded down to a slice) or body (rounded up to one).
    num_received = phase_start = 0
    body_bytes = num_chunks = num_dropped = 0
    plain_head: bytes | None = None  # of a request for an upgrade: its head without the Upgrade fields

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.response_transport = ResponseTransport(self)
        if len(self.connections) > self.max_connections:
            self.connections.discard(self)
            if len(self.refused) >= self.max_connections:
                transport.close()
                return
            self.refused.add(self)
            transport.write(TOO_MANY_CONNECTIONS)
            self.end(linger=True)
            return
        self.await_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        self.refused.discard(self)
        for timer in (self.headers_timer, self.linger_timer):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    # Receiving

    def await_headers(self) -> None:
        self.headers_deadline = self.loop.time() + self.header_seconds
        if self.headers_timer is None:
            self.headers_timer = self.loop.call_at(self.headers_deadline, self.check_headers)

    def check_headers(self) -> None:
        """Closes the connection if its headers are late. One timer serves all requests of a connection."""
        self.headers_timer = None
        if self.headers_deadline is None:
            return
        if self.loop.time() < self.headers_deadline:
            self.headers_timer = self.loop.call_at(self.headers_deadline, self.check_headers)
        elif self.transport and not self.transport.is_closing():
            self.transport.close()

    def data_received(self, data: bytes) -> None:
        if self.ended:
            self.num_dropped += len(data)
            if self.num_dropped > MAX_DROPPED:
                self.transport.abort()
            return
        if self.headers_deadline is None and (self.cycle is None or self.cycle.response_complete):
            self.await_headers()
        if len(data) <= PARSE_BYTES:
            self.feed(data)
            return
        for start in range(0, len(data), PARSE_BYTES):
            if not self.closing():
                self.feed(data[start : start + PARSE_BYTES])

    def feed(self, data: bytes) -> None:
        """Parses a slice, and limits the bytes that are neither a complete head nor a body."""
        self.num_received += len(data)
        self.parse(data)
        if self.phase is HEAD:
            if self.num_received - self.phase_start > MAX_HEAD + PARSE_BYTES:
                self.refuse(URL_TOO_LONG if len(self.url) > MAX_URL else HEAD_TOO_LONG)
        elif self.phase is BODY:
            allowed = MAX_HEAD + (1 + PER_BYTE) * self.body_bytes + PER_CHUNK * self.num_chunks
            if self.num_received - self.phase_start > allowed:
                self.refuse(TRAILERS_TOO_LONG)

    def parse(self, data: bytes) -> None:
        """Feeds the parser. It ends a request at its head if that asks for an upgrade, even if a body follows: that head is
        parsed again without its Upgrade fields, which a server may ignore (RFC 9110, 7.8).
        """
        self._unset_keepalive_if_required()
        while True:
            try:
                self.parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as end:
                head, self.plain_head = self.plain_head, None
                if self.closing():
                    return
                data = (head or b"") + data[end.args[0] :]
                self.parser = httptools.HttpRequestParser(self)
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn sets it
            except httptools.HttpParserError:
                self.send_400_response("Invalid HTTP request received.")
                return

    def without_upgrade(self) -> bytes:
        """The parsed head, without its Upgrade fields."""
        line = b"%s %s HTTP/%s" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
        fields = [b"%s: %s" % (name, value) for name, value in self.headers if name != b"upgrade"]
        return b"\r\n".join([line, *fields, b"", b""])

    def on_message_begin(self) -> None:
        self.phase, self.phase_start = HEAD, max(0, self.num_received - PARSE_BYTES)
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        if self.ended:
            return
        self.headers_received()
        if len(self.url) > MAX_URL:
            self.refuse(URL_TOO_LONG)
        elif len(self.headers) > MAX_FIELDS:
            self.refuse(TOO_MANY_FIELDS)
        elif self.num_received - self.phase_start > MAX_HEAD and self.head_bytes() > MAX_HEAD:
            self.refuse(HEAD_TOO_LONG)
        elif self.parser.get_method() == b"CONNECT":
            self.refuse(NO_TUNNEL)
        elif self.parser.should_upgrade():
            self.plain_head = self.without_upgrade()
        else:
            self.phase, self.phase_start, self.body_bytes, self.num_chunks = BODY, self.num_received, 0, 0
            super().on_headers_complete()
            self.headers = []  # trailers go here and must not become fields of the head
            self.cycle.transport = cast(asyncio.Transport, self.response_transport)
            if self.draining:
                self.cycle.keep_alive = False

    def head_bytes(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def on_chunk_header(self) -> None:
        self.num_chunks += 1

    def on_body(self, body: bytes) -> None:
        if not self.ended:
            self.body_bytes += len(body)
            super().on_body(body)

    def on_message_complete(self) -> None:
        if not self.ended and self.plain_head is None:
            self.phase = IDLE
            super().on_message_complete()

    def headers_received(self) -> None:
        self.headers_deadline = None

    # Closing

    def closing(self) -> bool:
        return self.ended or self.transport.is_closing()

    def send_400_response(self, msg: str) -> None:
        self.refuse(response(HTTPStatus.BAD_REQUEST, msg))

    def refuse(self, response: bytes) -> None:
        """Answers the request being read with an error, and closes. A response that has begun is cut off."""
        if self.closing():
            return
        self.headers_received()
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            if self.cycle.response_started:
                self.transport.close()
                return
        self.transport.write(response)
        self.end(linger=True)

    def end(self, *, linger: bool = False) -> None:
        """Closes the connection after what was written to it.

        While the client may still be sending, closing would reset the connection before it has read the response: so only
        the server's side is closed, and further input is dropped for LINGER_SECONDS.
        """
        if self.ended:
            return
        self.ended = True
        self.headers_received()
        self.pipeline.clear()
        if not linger and self.phase is IDLE:
            self.transport.close()
            return
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.flow.resume_reading()
        self.linger_timer = self.loop.call_later(LINGER_SECONDS, self.transport.close)

    def on_response_complete(self) -> None:
        if self.ended:
            self.server_state.total_requests += 1
        else:
            super().on_response_complete()

    def shutdown(self) -> None:
        """Closes now, or after the current response."""
        if self.cycle is None or self.cycle.response_complete:
            self.end(linger=True)
        else:
            self.cycle.keep_alive = False
