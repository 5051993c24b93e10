"""uvicorn with a graceful shutdown: no connection is reset, and requests during the shutdown get 503."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator, Sequence
from typing import cast

import uvicorn

from textpipe.serve.rest.connection import LINGER_SECONDS, Connection

IDLE_SECONDS = 1.0  # in which the next response closes a kept-alive connection; afterwards idle ones are closed
ACCEPTED_SECONDS = 0.5  # to receive the request of a connection that was opened just before the end
POLL_SECONDS = 0.02


class HttpServer(uvicorn.Server):
    """uvicorn without its signal handlers. grace_seconds: how long a shutdown waits for running requests."""

    def __init__(self, config: uvicorn.Config, grace_seconds: float):
        super().__init__(config)
        self.grace_seconds = grace_seconds

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def drain(self) -> None:
        """From now on each response closes its connection; `serve` returns when all are sent."""
        protocol = self.config.http_protocol_class
        assert isinstance(protocol, type) and issubclass(protocol, Connection)
        protocol.draining = True
        for connection in self.connections:
            if connection.cycle is not None:  # if its headers are already sent, shutdown() closes it
                connection.cycle.keep_alive = False
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accepts connections until all running requests are answered, so that none is refused without a response;
        connections that the kernel has accepted by then are answered too."""
        loop, state = asyncio.get_running_loop(), self.server_state
        start = loop.time()
        end = start + self.grace_seconds
        if state.tasks:
            await asyncio.wait(set(state.tasks), timeout=self.grace_seconds)
        running = [connection.cycle for connection in self.connections if connection.awaits_response()]
        while any(not (cycle.response_complete or cycle.disconnected) for cycle in running) and loop.time() < end:
            await asyncio.sleep(POLL_SECONDS)
        await self.wait_closed(min(end, start + IDLE_SECONDS))
        late = list(accept_pending(sockets or ()))
        for server in self.servers:
            server.close()
        for listener in sockets or ():
            listener.close()
        for connection in late:
            with contextlib.suppress(OSError):  # the client has disconnected
                await loop.connect_accepted_socket(self.protocol, connection, ssl=self.config.ssl)
        await self.wait_closed(min(end, loop.time() + ACCEPTED_SECONDS))
        for protocol in self.connections:
            protocol.shutdown()
        await self.wait_closed(min(end, loop.time() + LINGER_SECONDS))
        for task in list(state.tasks):
            task.cancel()
        for protocol in self.connections:
            protocol.transport.abort()

    @property
    def connections(self) -> list[Connection]:
        """The open connections."""
        return cast("list[Connection]", list(self.server_state.connections))

    async def wait_closed(self, deadline: float) -> None:
        """Waits until all connections are closed, or until the deadline by the loop's clock."""
        loop = asyncio.get_running_loop()
        while self.server_state.connections and loop.time() < deadline:
            await asyncio.sleep(POLL_SECONDS)

    def protocol(self) -> asyncio.Protocol:
        protocol = self.config.http_protocol_class
        return protocol(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)  # type: ignore


def accept_pending(listeners: Sequence[socket.socket]) -> Iterator[socket.socket]:
    """Connections that the kernel has accepted but this process has not."""
    for listener in listeners:
        listener.setblocking(False)
        with contextlib.suppress(OSError):  # none is left
            while True:
                connection, _ = listener.accept()
                connection.setblocking(False)
                yield connection
