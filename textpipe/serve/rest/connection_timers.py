"""Deadlines of an HTTP connection: for the headers of a request, and for the next request. A timer serves all requests of a
connection, and is set again when it ends too early: setting one for each request takes longer than reading the clock.
"""

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class TimedConnection(HttpToolsProtocol):
    """header_seconds: from opening the connection, or from a request's first byte, until its headers are complete."""

    header_seconds = 10.0
    # By the loop's clock: while headers are expected, and while no request is.
    headers_deadline: float | None = None
    idle_deadline: float | None = None
    headers_timer: asyncio.TimerHandle | None = None
    idle_timer: asyncio.TimerHandle | None = None

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

    def headers_received(self) -> None:
        self.headers_deadline = None

    def await_request(self) -> None:
        """Sets when an idle connection is closed; one timer serves all requests of a connection."""
        self.idle_deadline = self.loop.time() + self.timeout_keep_alive
        if self.idle_timer is None:
            self.idle_timer = self.loop.call_at(self.idle_deadline, self.check_idle)

    def check_idle(self) -> None:
        self.idle_timer = None
        if self.idle_deadline is None:
            return
        if self.loop.time() < self.idle_deadline:
            self.idle_timer = self.loop.call_at(self.idle_deadline, self.check_idle)
        else:
            self.timeout_keep_alive_handler()

    def _unset_keepalive_if_required(self) -> None:
        self.idle_deadline = None
        super()._unset_keepalive_if_required()

    def cancel_timers(self, *others: asyncio.TimerHandle | None) -> None:
        for timer in (self.headers_timer, self.idle_timer, *others):
            if timer is not None:
                timer.cancel()
