"""An HTTP connection with limits on the size and duration of request headers, and a close that lets the client read the
response.

uvicorn's parser buffers a head until it is complete, and appends to a field with each chunk received. So bytes are counted
before they are parsed: neither memory nor time grows with what a client sends beyond the limits.
"""

import asyncio
from http import HTTPStatus
from typing import Any, ClassVar, cast

import httptools

from textpipe.serve.rest import refusals
from textpipe.serve.rest.connection_timers import TimedConnection
from textpipe.serve.rest.direct import DirectPredict
from textpipe.serve.rest.known_heads import Exchange
from textpipe.serve.rest.refusals import MAX_FIELDS, MAX_HEAD, MAX_URL
from textpipe.serve.rest.request_body import INLINE_BYTES
from textpipe.serve.rest.response_transport import ResponseTransport

PARSE_BYTES = 64 << 10  # parsed at a time
LINGER_SECONDS = 2.0  # in which further input is read and dropped, so that the client can read the response
MAX_DROPPED = 256 << 20
BODY_SECONDS = 0.05  # from a head to its body, in which DirectPredict may still answer
PER_CHUNK, PER_BYTE = 16, 2  # overhead in bytes that chunked encoding may add to a body

IDLE, HEAD, BODY = "idle", "head", "body"


class Connection(TimedConnection):
    """max_connections: further ones are closed with 503; draining: each response closes its connection."""

    max_connections, draining = 1024, False
    direct: DirectPredict | None = None  # answers requests without the ASGI application where it can
    starting = False  # whether the cycle that begins is that of the head just read, not one that was queued
    # The cycle whose response is next; `cycle` is the one read last, which may be queued behind it.
    answering: Any = None
    undecided: tuple[Any, Any] | None = None  # a cycle and its application, while `direct` may still answer
    direct_cycle: Any = None  # that of the last data, if `direct` answers it
    refused: ClassVar[set["Connection"]] = set()  # connections beyond max_connections, until they are closed
    linger_timer: asyncio.TimerHandle | None = None
    undecided_timer: asyncio.TimerHandle | None = None
    phase, ended = IDLE, False
    reading = True  # further requests
    refusal: bytes | None = None  # the response to a request that was refused, until those before it are answered
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
            transport.write(refusals.TOO_MANY_CONNECTIONS)
            self.end(linger=True)
            return
        self.await_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        self.refused.discard(self)
        self.start_application()
        self.cancel_timers(self.linger_timer)
        super().connection_lost(exc)
        self.abandon()

    # Receiving

    def data_received(self, data: bytes) -> None:
        if not self.reading:
            self.num_dropped += len(data)
            if self.num_dropped > MAX_DROPPED:
                self.transport.abort()
            return
        is_next, self.direct_cycle = self.phase is IDLE and not self.awaits_response(), None
        if is_next and self.answer_known(data):
            return
        if self.headers_deadline is None and (self.cycle is None or self.cycle.response_complete):
            self.await_headers()
        if len(data) <= PARSE_BYTES:
            self.feed(data)
            if is_next and self.direct_cycle is not None and self.direct and self.phase is IDLE:
                self.direct.known_heads.remember(data, self.direct_cycle)
            return
        for start in range(0, len(data), PARSE_BYTES):
            if self.reading and not self.closing():
                self.feed(data[start : start + PARSE_BYTES])

    def answer_known(self, data: bytes) -> bool:
        """Answers a request whose head is that of an earlier one, if `direct` can."""
        if self.direct is None or self.draining or self.closing() or not (known := self.direct.known_heads.find(data)):
            return False
        self.headers_received()
        self._unset_keepalive_if_required()  # first, as an error is answered at once
        head, body = known
        previous: Any = self.cycle
        self.cycle = self.answering = exchange = cast(Any, Exchange(head, body, self))
        if not self.direct.begin(self, exchange):
            self.cycle = self.answering = previous
            return False
        return True

    def awaits_response(self) -> bool:
        """Whether a request has been read, at least in part, and not been answered."""
        return self.cycle is not None and not self.cycle.response_complete

    def feed(self, data: bytes) -> None:
        """Parses a slice, and limits the bytes that are neither a complete head nor a body."""
        self.num_received += len(data)
        self.parse(data)
        if self.undecided is not None:  # the body is not complete
            if len(self.cycle.body) > INLINE_BYTES:
                self.start_application()
            elif self.undecided_timer is None:
                self.undecided_timer = self.loop.call_later(BODY_SECONDS, self.start_application)
        if self.phase is HEAD:
            if self.num_received - self.phase_start > MAX_HEAD + PARSE_BYTES:
                self.refuse(refusals.URL_TOO_LONG if len(self.url) > MAX_URL else refusals.HEAD_TOO_LONG)
        elif self.phase is BODY:
            allowed = MAX_HEAD + (1 + PER_BYTE) * self.body_bytes + PER_CHUNK * self.num_chunks
            if self.num_received - self.phase_start > allowed:
                self.refuse(refusals.TRAILERS_TOO_LONG)

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
                if self.closing() or not self.reading:
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
        self._unset_keepalive_if_required()  # set if a request before it, of the same data, was answered at once
        self.phase, self.phase_start = HEAD, max(0, self.num_received - PARSE_BYTES)
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        if not self.reading:
            return
        self.headers_received()
        if len(self.url) > MAX_URL:
            self.refuse(refusals.URL_TOO_LONG)
        elif len(self.headers) > MAX_FIELDS:
            self.refuse(refusals.TOO_MANY_FIELDS)
        elif self.num_received - self.phase_start > MAX_HEAD and self.head_bytes() > MAX_HEAD:
            self.refuse(refusals.HEAD_TOO_LONG)
        elif self.parser.get_method() == b"CONNECT":
            self.refuse(refusals.NO_TUNNEL)
        elif self.parser.should_upgrade():
            self.plain_head = self.without_upgrade()
        else:
            self.phase, self.phase_start, self.body_bytes, self.num_chunks = BODY, self.num_received, 0, 0
            self.starting = True
            super().on_headers_complete()
            self.starting = False
            self.headers = []  # trailers go here and must not become fields of the head
            self.cycle.transport = cast(asyncio.Transport, self.response_transport)
            if self.draining:
                self.cycle.keep_alive = False

    def head_bytes(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def on_chunk_header(self) -> None:
        self.num_chunks += 1

    def on_body(self, body: bytes) -> None:
        if self.reading:
            self.body_bytes += len(body)
            super().on_body(body)

    def on_message_complete(self) -> None:
        if self.reading and self.plain_head is None:
            self.phase = IDLE
            super().on_message_complete()
            if undecided := self.decide():
                if self.direct and self.direct.begin(self, self.cycle):
                    self.direct_cycle = self.cycle
                else:
                    super()._start_asgi_task(*undecided)

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        """Waits for the body, at most BODY_SECONDS, if `direct` may answer the request once it is complete."""
        self.answering = cycle
        if self.starting and self.direct and self.direct.may_answer(cycle.scope):
            self.undecided = cycle, app
        else:
            super()._start_asgi_task(cycle, app)

    def decide(self) -> tuple[Any, Any] | None:
        """Returns the undecided request, and forgets it."""
        undecided, self.undecided = self.undecided, None
        if self.undecided_timer is not None:
            self.undecided_timer.cancel()
            self.undecided_timer = None
        return undecided

    def start_application(self) -> None:
        """Hands the undecided request, if there is one, to the ASGI application."""
        if undecided := self.decide():
            super()._start_asgi_task(*undecided)

    def closing(self) -> bool:
        return self.ended or self.transport.is_closing()

    def send_400_response(self, msg: str) -> None:
        self.refuse(refusals.response(HTTPStatus.BAD_REQUEST, msg))

    def refuse(self, response: bytes) -> None:
        """Answers the request being read with an error, and closes. Its response is cut off if it has begun.

        The requests before it on the connection are answered first (RFC 9112, 9.3.2).
        """
        if self.closing() or not self.reading:
            return
        self.headers_received()
        self.start_application()
        queued = self.phase is BODY and bool(self.pipeline) and self.pipeline[0][0] is self.cycle
        if queued:
            self.pipeline.popleft()
        if queued or (self.phase is not BODY and self.answering is not None and not self.answering.response_complete):
            self.refusal, self.reading = response, False
        elif self.abandon():
            self.transport.close()
        else:
            self.transport.write(response)
            self.end(linger=True)

    def abandon(self) -> bool:
        """Tells the request being answered that nobody waits for its response; returns whether that has begun."""
        cycle = self.answering
        if cycle is None or cycle.response_complete:
            return False
        cycle.disconnected = True
        cycle.message_event.set()
        return bool(cycle.response_started)

    def end(self, *, linger: bool = False) -> None:
        """Closes the connection after what was written to it.

        While the client may still be sending, closing would reset the connection before it has read the response: so only
        the server's side is closed, and further input is dropped for LINGER_SECONDS.
        """
        if self.ended:
            return
        self.ended, self.reading = True, False
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
            return
        if not self.pipeline and self.refusal is None and not self.flow.read_paused:
            self.server_state.total_requests += 1
            self.await_request()
            return
        num_queued = len(self.pipeline)
        super().on_response_complete()
        if self.refusal is not None and not num_queued and not self.closing():
            self.transport.write(self.refusal)
            self.end(linger=True)

    def shutdown(self) -> None:
        """Closes now, or after the current response."""
        if self.cycle is None or self.cycle.response_complete:
            self.end(linger=True)
        else:
            self.cycle.keep_alive = False
