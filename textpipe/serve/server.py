"""Both doors in one process: opened when the models are loaded, closed after the requests that are under way."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn

from textpipe.errors import ConfigError
from textpipe.serve.access import AccessLog, TokenAuth
from textpipe.serve.engine import warmup
from textpipe.serve.engine.batch_queue import BatchScheduler, QueueLimits
from textpipe.serve.engine.drift import DriftMonitor
from textpipe.serve.engine.errors import ServingError
from textpipe.serve.engine.metrics import Metrics
from textpipe.serve.engine.repository import Policy, Repository
from textpipe.serve.engine.search_limits import OptionLimits
from textpipe.serve.engine.service import Service
from textpipe.serve.grpc import services
from textpipe.serve.rest.app import App
from textpipe.serve.rest.connection import Connection
from textpipe.serve.rest.http import HttpServer
from textpipe.serve.tls import Certificate

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
    auth: TokenAuth = TokenAuth()
    tls_cert: Path | None = None
    tls_key: Path | None = None
    limits: QueueLimits = QueueLimits()
    option_limits: OptionLimits = OptionLimits()
    trust_models: bool = False
    deadline_seconds: float = 60.0
    most_bytes: int = 16 << 20
    max_rows: int = 1024
    max_text_bytes: int = 1 << 20
    max_connections: int = 1024
    header_seconds: float = 10.0
    body_seconds: float = 30.0
    grace_seconds: float = 30.0
    poll_seconds: float = 1.0
    watch_seconds: float = 1.0
    access_log: bool = False
    log_texts: bool = False
    shared_ports: bool = False  # one of several on the same ports, which ends when its standard input does


TENSOR_BYTES_PER_BODY_BYTE = 4  # bytes of a tensor for each of a body: JSON writes a number in two
ABORT_MARGIN = 0.1  # of the grace, a second at most: for telling those who are broken off


class Server:
    """`run` until SIGTERM or SIGINT; told(text) hears where the doors are.

    leave(code): ends the process at once, for a call of TensorFlow can be neither interrupted nor waited for; without it
    nobody but the caller of `run` ends anything.
    """

    def __init__(
        self, options: Options, told: Callable[[str], None] = log.info, leave: Callable[[int], None] | None = None
    ):
        self.options, self.on_event, self.leave = options, told, leave
        self.log = AccessLog(texts=options.log_texts) if options.access_log else None
        certificate, key = options.tls_cert, options.tls_key
        self.certificate = Certificate(certificate, key) if certificate and key else None
        self.repository = Repository(
            options.folder,
            policy=options.policy,
            policies=options.policies,
            labels=options.labels,
            check=warmup.check,
            poll_seconds=options.poll_seconds,
            limits=options.option_limits,
            trust=options.trust_models,
        )
        self.metrics = Metrics(known=lambda name: name in self.repository.models)
        self.ports: dict[str, int] = {}

    async def run(self) -> bool:
        """Whether all ended in time; else calls of TensorFlow are still at work, in threads of this process."""
        options = self.options
        loop, over = asyncio.get_running_loop(), asyncio.Event()
        self.over = over
        if options.shared_ports:
            threading.Thread(target=self.end_with_parent, args=(loop,), daemon=True).start()
        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):  # not the main thread: a test's
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, self.stop, number)
            loop.add_signal_handler(signal.SIGHUP, self.reload)
        begun, told = (
            asyncio.ensure_future(asyncio.to_thread(self.repository.start)),
            asyncio.ensure_future(over.wait()),
        )
        await asyncio.wait((begun, told), return_when=asyncio.FIRST_COMPLETED)
        if not begun.done():
            return False
        await begun
        queue = BatchScheduler(options.limits, self.metrics.batch)
        drift_monitor = DriftMonitor(self.metrics, options.watch_seconds)
        self.service = service = Service(
            self.repository, queue, deadline_seconds=options.deadline_seconds, max_rows=options.max_rows,
            max_text_bytes=options.max_text_bytes, most_bytes=TENSOR_BYTES_PER_BODY_BYTE * options.most_bytes, drift_monitor=drift_monitor,
        )  # fmt: skip
        watching = asyncio.create_task(drift_monitor.run(queue), name="watch")
        http = await self.open_rest(service) if options.rest_port is not None else None
        remote = await self.open_grpc(service) if options.grpc_port is not None else None
        self.on_event("ready: " + ", ".join(f"{door} on {options.host}:{port}" for door, port in self.ports.items()))
        await told
        service.draining = True
        self.on_event("stopping; requests under way are finished")
        closing = [asyncio.ensure_future(remote.stop(options.grace_seconds))] if remote else []
        if http:
            http[0].drain()
            closing.append(http[1])
        await self.finish(closing, queue)
        watching.cancel()
        ended = queue.close()
        if not ended:
            self.on_event(
                f"calls of TensorFlow that were at work for longer than the grace: {len(queue.running)}; broken off"
            )
        return await asyncio.to_thread(self.repository.stop, 1.0) and ended

    async def finish(self, closing: list[asyncio.Future], queue: BatchScheduler) -> None:
        """Waits for the doors to close, for the grace at most; shortly before its end, who still waits is told so."""
        grace = self.options.grace_seconds
        margin = min(1.0, ABORT_MARGIN * grace)
        if closing:
            await asyncio.wait(closing, timeout=grace - margin)
        if any(not one.done() for one in closing):
            queue.abort(ServingError("UNAVAILABLE", "the server is shutting down", retry_after=1))
            await asyncio.wait(closing, timeout=margin)
        for one in closing:
            one.cancel()
        await asyncio.gather(*closing, return_exceptions=True)

    def stop(self, number: int) -> None:
        """At a signal to end; at the second, at once."""
        if self.leave is not None:
            if self.over.is_set():
                self.leave(128 + number)
            late = threading.Timer(self.options.grace_seconds + 1, self.leave, (0,))  # should ending itself not end
            late.daemon = True
            late.start()
        self.over.set()

    def reload(self) -> None:
        """At SIGHUP: certificate and tokens are read again, for what is asked from now on."""
        for name, held in (("certificate", self.certificate), ("tokens", self.options.auth)):
            if held is None or (held is self.options.auth and held.path is None):
                continue
            try:
                held.reload()
            except Exception as error:  # ConfigError, and whatever else a half-written file leads to
                self.on_event(f"{name} not read again, those from before stay: {error}")
            else:
                self.on_event(f"{name} read again")

    def end_with_parent(self, loop: asyncio.AbstractEventLoop) -> None:
        while os.read(sys.stdin.fileno(), 1024):
            pass
        loop.call_soon_threadsafe(self.over.set)

    async def open_rest(self, service: Service) -> tuple[HttpServer, "asyncio.Task"]:
        options = self.options
        application = App(
            service,
            options.auth,
            self.metrics,
            self.log,
            most_bytes=options.most_bytes,
            body_seconds=options.body_seconds,
        )
        settings = {"header_seconds": options.header_seconds, "most": options.max_connections, "refused": set()}
        certificate = self.certificate
        protocol = type("Connection", (Connection,), settings)
        config = uvicorn.Config(
            application, http=protocol, ws="none", lifespan="off", log_config=None, access_log=False, server_header=False,
            timeout_keep_alive=75,
            ssl_context_factory=(lambda *_: certificate.context) if certificate else None,
        )  # fmt: skip
        place = listen(options.host, options.rest_port or 0, shared=options.shared_ports)
        self.ports["REST"] = place.getsockname()[1]
        http = HttpServer(config, options.grace_seconds)
        task = asyncio.create_task(http.serve(sockets=[place]), name="rest")
        while not http.started:
            await asyncio.sleep(0.01)
        return http, task

    async def open_grpc(self, service: Service) -> Any:
        options = self.options
        made = services.create_server(
            service, self.metrics, options.auth, self.log,
            most_bytes=options.most_bytes, most_calls=options.max_connections,
            shared=options.shared_ports,
        )  # fmt: skip
        address = f"{options.host}:{options.grpc_port or 0}"
        try:
            if self.certificate:
                port = made.add_secure_port(address, self.certificate.for_grpc())
            else:
                port = made.add_insecure_port(address)
        except RuntimeError:
            raise ConfigError(
                f"port {options.grpc_port} on {options.host} cannot be had; name another with --grpc-port"
            ) from None
        await made.start()
        self.ports["gRPC"] = port
        return made


def listen(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """A socket that callers can reach; raises ConfigError when the address cannot be had."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=2048, reuse_port=shared)
    except OSError as error:
        raise ConfigError(
            f"port {port} on {host} cannot be had ({os.strerror(error.errno or 0)}); name another with --rest-port"
        ) from None
