"""uvicorn, stopped so that no client meets a reset connection: what is asked meanwhile is answered with 503."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator, Sequence
from typing import cast

import uvicorn

from textpipe.serve.rest.connection import LINGER_SECONDS, Connection

IDLE_SECONDS = 1.0  # in which kept-alive connections are told with their next answer; afterwards they are closed
ACCEPTED_SECONDS = 0.5  # for the request of a connection that was opened just before the end
POLL_SECONDS = 0.02


class HttpServer(uvicorn.Server):
    """uvicorn without signal handlers of its own. `under_way` are answers to be waited for, grace_seconds at most."""

    def __init__(self, config: uvicorn.Config, grace_seconds: float):
        super().__init__(config)
        self.grace_seconds = grace_seconds

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def drain(self) -> None:
        """From now on each answer is the last of its connection; `serve` ends when all are given."""
        protocol = self.config.http_protocol_class
        assert isinstance(protocol, type) and issubclass(protocol, Connection)
        protocol.draining = True
        for connection in self.connections:
            if connection.cycle is not None:  # one whose answer has begun with other words is closed in its turn
                connection.cycle.keep_alive = False
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Connections are taken until all that was under way is answered, so that none is refused in silence; what the
        kernel has accepted by then is answered too."""
        loop, state = asyncio.get_running_loop(), self.server_state
        began = loop.time()
        end = began + self.grace_seconds
        if state.tasks:
            await asyncio.wait(set(state.tasks), timeout=self.grace_seconds)
        await self.closed(min(end, began + IDLE_SECONDS))
        late = list(accept_pending(sockets or ()))
        for server in self.servers:
            server.close()
        for place in sockets or ():
            place.close()
        for one in late:
            with contextlib.suppress(OSError):  # whose client has left meanwhile
                await loop.connect_accepted_socket(self.protocol, one, ssl=self.config.ssl)
        await self.closed(min(end, loop.time() + ACCEPTED_SECONDS))
        for connection in self.connections:
            connection.shutdown()
        await self.closed(min(end, loop.time() + LINGER_SECONDS))
        for task in list(state.tasks):
            task.cancel()
        for connection in self.connections:
            connection.transport.abort()

    @property
    def connections(self) -> list[Connection]:
        """Those that are open."""
        return cast("list[Connection]", list(self.server_state.connections))

    async def closed(self, until: float) -> None:
        """Waits for all connections to be closed, until a time of the loop's."""
        loop = asyncio.get_running_loop()
        while self.server_state.connections and loop.time() < until:
            await asyncio.sleep(POLL_SECONDS)

    def protocol(self) -> asyncio.Protocol:
        made = self.config.http_protocol_class
        return made(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)  # type: ignore


def accept_pending(places: Sequence[socket.socket]) -> Iterator[socket.socket]:
    """Connections that the kernel has accepted and nobody has taken."""
    for place in places:
        place.setblocking(False)
        with contextlib.suppress(OSError):  # none is left
            while True:
                connection, _ = place.accept()
                connection.setblocking(False)
                yield connection
