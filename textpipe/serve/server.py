"""Both doors in one process: opened when the models are loaded, closed after the requests that are under way."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from textpipe.errors import ConfigError
from textpipe.serve import rpc, warm
from textpipe.serve.access import Gate, Log
from textpipe.serve.app import App
from textpipe.serve.lanes import Limits, Queue
from textpipe.serve.measures import Measures
from textpipe.serve.repository import Policy, Repository
from textpipe.serve.service import Service
from textpipe.serve.watch import Watch

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """What `textpipe serve` can be told; see its help."""

    folder: Path
    host: str = "127.0.0.1"
    rest_port: int | None = 8501
    grpc_port: int | None = 8500
    policy: Policy = Policy()
    policies: dict[str, Policy] | None = None
    labels: dict[str, dict[str, int]] | None = None
    gate: Gate = Gate()
    tls_cert: Path | None = None
    tls_key: Path | None = None
    limits: Limits = Limits()
    deadline_seconds: float = 60.0
    most_bytes: int = 16 << 20
    most_rows: int = 1024
    most_text: int = 1 << 20
    most_connections: int = 1024
    header_seconds: float = 10.0
    body_seconds: float = 30.0
    grace_seconds: float = 30.0
    poll_seconds: float = 1.0
    watch_seconds: float = 1.0
    access_log: bool = False
    log_texts: bool = False
    beside: bool = False  # one of several on the same ports, which ends when its standard input does


IN_MEMORY = 4  # bytes of a tensor for each of a body: JSON writes a number in two
FULL = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class Connection(HttpToolsProtocol):
    """Its headers are complete header_seconds after it was opened, or after a request's first byte. Where there are
    `most` already it is closed with 503: those that are open are served on.
    """

    header_seconds, most = 10.0, 1024
    headers_due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        if len(self.connections) > self.most:
            transport.write(FULL)
            transport.close()
            return
        self.await_headers()

    def await_headers(self) -> None:
        self.headers_due = self.loop.call_later(self.header_seconds, self.give_up)

    def give_up(self) -> None:
        if self.transport and not self.transport.is_closing():
            self.transport.close()

    def data_received(self, data: bytes) -> None:
        if self.headers_due is None and (self.cycle is None or self.cycle.response_complete):
            self.await_headers()
        super().data_received(data)

    def on_headers_complete(self) -> None:
        self.headers_came()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self.headers_came()
        super().connection_lost(exc)

    def headers_came(self) -> None:
        if self.headers_due is not None:
            self.headers_due.cancel()
            self.headers_due = None


class Http(uvicorn.Server):
    """uvicorn without signal handlers of its own."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Server:
    """`run` until SIGTERM or SIGINT; told(text) hears where the doors are."""

    def __init__(self, options: Options, told: Callable[[str], None] = log.info):
        self.options, self.told = options, told
        self.log = Log(texts=options.log_texts) if options.access_log else None
        self.repository = Repository(
            options.folder,
            policy=options.policy,
            policies=options.policies,
            labels=options.labels,
            check=warm.check,
            poll_seconds=options.poll_seconds,
        )
        self.measures = Measures(known=lambda name: name in self.repository.shelves)
        self.ports: dict[str, int] = {}

    async def run(self) -> None:
        options = self.options
        loop, over = asyncio.get_running_loop(), asyncio.Event()
        self.over = over
        if options.beside:
            threading.Thread(target=self.end_with_parent, args=(loop,), daemon=True).start()
        await asyncio.to_thread(self.repository.start)
        queue = Queue(options.limits, self.measures.batch)
        watch = Watch(self.measures, options.watch_seconds)
        self.service = service = Service(
            self.repository, queue, deadline_seconds=options.deadline_seconds, most_rows=options.most_rows,
            most_text=options.most_text, most_bytes=IN_MEMORY * options.most_bytes, watch=watch,
        )  # fmt: skip
        watching = asyncio.create_task(watch.run(queue), name="watch")
        for number in (signal.SIGTERM, signal.SIGINT):
            with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):  # not the main thread: a test's
                loop.add_signal_handler(number, over.set)
        http = await self.open_rest(service) if options.rest_port is not None else None
        remote = await self.open_grpc(service) if options.grpc_port is not None else None
        self.told("ready: " + ", ".join(f"{door} on {options.host}:{port}" for door, port in self.ports.items()))
        await over.wait()
        service.draining = True
        self.told("stopping; requests under way are finished")
        closing = [remote.stop(options.grace_seconds)] if remote else []
        if http:
            http[0].should_exit = True
            closing.append(http[1])
        await asyncio.gather(*closing)
        watching.cancel()
        queue.close()
        await asyncio.to_thread(self.repository.stop)

    def end_with_parent(self, loop: asyncio.AbstractEventLoop) -> None:
        while os.read(sys.stdin.fileno(), 1024):
            pass
        loop.call_soon_threadsafe(self.over.set)

    async def open_rest(self, service: Service) -> tuple[Http, "asyncio.Task"]:
        options = self.options
        application = App(
            service,
            options.gate,
            self.measures,
            self.log,
            most_bytes=options.most_bytes,
            body_seconds=options.body_seconds,
        )
        settings = {"header_seconds": options.header_seconds, "most": options.most_connections}
        protocol = type("Connection", (Connection,), settings)
        config = uvicorn.Config(
            application, http=protocol, ws="none", lifespan="off", log_config=None, access_log=False, server_header=False,
            timeout_keep_alive=75, timeout_graceful_shutdown=int(options.grace_seconds),
            ssl_certfile=options.tls_cert, ssl_keyfile=options.tls_key,
        )  # fmt: skip
        place = listening(options.host, options.rest_port or 0, shared=options.beside)
        self.ports["REST"] = place.getsockname()[1]
        http = Http(config)
        task = asyncio.create_task(http.serve(sockets=[place]), name="rest")
        while not http.started:
            await asyncio.sleep(0.01)
        return http, task

    async def open_grpc(self, service: Service) -> Any:
        options = self.options
        made = rpc.server(
            service, self.measures, options.gate, self.log,
            most_bytes=options.most_bytes, most_calls=options.most_connections,
            shared=options.beside,
        )  # fmt: skip
        address = f"{options.host}:{options.grpc_port or 0}"
        try:
            if options.tls_cert and options.tls_key:
                pair = (options.tls_key.read_bytes(), options.tls_cert.read_bytes())
                port = made.add_secure_port(address, grpc.ssl_server_credentials([pair]))
            else:
                port = made.add_insecure_port(address)
        except RuntimeError:
            raise ConfigError(
                f"port {options.grpc_port} on {options.host} cannot be had; name another with --grpc-port"
            ) from None
        await made.start()
        self.ports["gRPC"] = port
        return made


def listening(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """A socket that callers can reach; raises ConfigError when the address cannot be had."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=2048, reuse_port=shared)
    except OSError as error:
        raise ConfigError(
            f"port {port} on {host} cannot be had ({os.strerror(error.errno or 0)}); name another with --rest-port"
        ) from None
