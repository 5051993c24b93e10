"""The REST and gRPC endpoints in one process: opened when the models are loaded, closed when running requests are done."""

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
from textpipe.serve.engine.feedback_log import LIMIT_BYTES, FeedbackLog
from textpipe.serve.engine.metrics import Metrics
from textpipe.serve.engine.model_state import VersionPolicy
from textpipe.serve.engine.repository import Repository
from textpipe.serve.engine.search_limits import OptionLimits
from textpipe.serve.engine.service import Service, shutting_down
from textpipe.serve.grpc import services
from textpipe.serve.rest.app import App
from textpipe.serve.rest.connection import Connection
from textpipe.serve.rest.direct import DirectPredict
from textpipe.serve.rest.http import HttpServer
from textpipe.serve.tls import Certificate

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """Options of `textpipe serve`; see its help."""

    folder: Path
    host: str = "127.0.0.1"
    rest_port: int | None = 8501
    grpc_port: int | None = 8500
    policy: VersionPolicy = VersionPolicy()
    policies: dict[str, VersionPolicy] | None = None
    labels: dict[str, dict[str, int]] | None = None
    auth: TokenAuth = TokenAuth()
    tls_cert: Path | None = None
    tls_key: Path | None = None
    limits: QueueLimits = QueueLimits()
    option_limits: OptionLimits = OptionLimits()
    trust_models: bool = False
    deadline_seconds: float = 60.0
    max_body_bytes: int = 16 << 20
    max_rows: int = 1024
    max_text_bytes: int = 1 << 20
    max_connections: int = 1024
    header_seconds: float = 10.0
    body_seconds: float = 30.0
    grace_seconds: float = 30.0
    poll_seconds: float = 1.0
    drift_seconds: float = 1.0
    access_log: bool = False
    log_texts: bool = False
    feedback_log: Path | None = None
    feedback_limit: int = LIMIT_BYTES
    shared_ports: bool = False  # one of several processes on the same ports, which exits when its standard input closes


TENSOR_BYTES_PER_BODY_BYTE = 4  # JSON can write a number in two bytes
ABORT_MARGIN = 0.1  # of the grace period, 1 second at most: to send errors to unfinished requests


class Server:
    """`run` serves until SIGTERM or SIGINT. on_event(text): gets the endpoints' addresses and other events.

    exit_process(code): ends the process at once, because a TensorFlow call can be neither interrupted nor awaited; without
    it, `run` returns while such calls still run.
    """

    def __init__(
        self,
        options: Options,
        on_event: Callable[[str], None] = log.info,
        exit_process: Callable[[int], None] | None = None,
    ):
        self.options, self.on_event, self.exit_process = options, on_event, exit_process
        self.log = AccessLog(texts=options.log_texts) if options.access_log else None
        self.feedback_log = FeedbackLog(options.feedback_log, options.feedback_limit) if options.feedback_log else None
        if self.feedback_log:
            self.feedback_log.check()
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
        self.metrics = Metrics(has_model=lambda name: name in self.repository.models)
        self.ports: dict[str, int] = {}

    async def run(self) -> bool:
        """Returns whether everything ended within the grace period; if not, TensorFlow calls still run in threads."""
        options = self.options
        loop, stopping = asyncio.get_running_loop(), asyncio.Event()
        self.stopping = stopping
        if options.shared_ports:
            threading.Thread(target=self.stop_with_parent, args=(loop,), daemon=True).start()
        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):  # not the main thread, as in tests
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, self.stop, number)
            loop.add_signal_handler(signal.SIGHUP, self.reload)
        loaded, stopped = (
            asyncio.ensure_future(asyncio.to_thread(self.repository.start)),
            asyncio.ensure_future(stopping.wait()),
        )
        await asyncio.wait((loaded, stopped), return_when=asyncio.FIRST_COMPLETED)
        if not loaded.done():
            return False
        await loaded
        scheduler = BatchScheduler(options.limits, self.metrics.observe_batch)
        drift_monitor = DriftMonitor(self.metrics, options.drift_seconds)
        self.service = service = Service(
            self.repository, scheduler, deadline_seconds=options.deadline_seconds, max_rows=options.max_rows,
            max_text_bytes=options.max_text_bytes, max_tensor_bytes=TENSOR_BYTES_PER_BODY_BYTE * options.max_body_bytes,
            drift_monitor=drift_monitor,
        )  # fmt: skip
        monitoring = asyncio.create_task(drift_monitor.run(scheduler), name="drift")
        rest = await self.start_rest(service) if options.rest_port is not None else None
        grpc_server = await self.start_grpc(service) if options.grpc_port is not None else None
        endpoints = (f"{endpoint} on {options.host}:{port}" for endpoint, port in self.ports.items())
        self.on_event("ready: " + ", ".join(endpoints))
        await stopped
        service.stopping.set()
        self.on_event("stopping; finishing running requests")
        closing = [asyncio.ensure_future(grpc_server.stop(options.grace_seconds))] if grpc_server else []
        if rest:
            rest[0].drain()
            closing.append(rest[1])
        await self.finish(closing, scheduler)
        monitoring.cancel()
        ended = scheduler.close()
        if not ended:
            self.on_event(f"aborted {len(scheduler.running)} TensorFlow calls that exceeded the grace period")
        return await asyncio.to_thread(self.repository.stop, 1.0) and ended

    async def finish(self, closing: list[asyncio.Future], scheduler: BatchScheduler) -> None:
        """Waits for the endpoints to close, up to the grace period; shortly before its end, unfinished requests fail."""
        grace = self.options.grace_seconds
        margin = min(1.0, ABORT_MARGIN * grace)
        if closing:
            await asyncio.wait(closing, timeout=grace - margin)
        if any(not task.done() for task in closing):
            scheduler.abort(shutting_down())
            await asyncio.wait(closing, timeout=margin)
        for task in closing:
            task.cancel()
        await asyncio.gather(*closing, return_exceptions=True)

    def stop(self, number: int) -> None:
        """Stops on the first signal, and ends the process on the second."""
        if self.exit_process is not None:
            if self.stopping.is_set():
                self.exit_process(128 + number)
            # In case the shutdown itself hangs.
            timer = threading.Timer(self.options.grace_seconds + 1, self.exit_process, (0,))
            timer.daemon = True
            timer.start()
        self.stopping.set()

    def reload(self) -> None:
        """On SIGHUP: reloads certificate and tokens for new requests."""
        for name, loaded in (("certificate", self.certificate), ("tokens", self.options.auth)):
            if loaded is None or (loaded is self.options.auth and loaded.path is None):
                continue
            try:
                loaded.reload()
            except Exception as error:  # ConfigError, and whatever else a half-written file causes
                self.on_event(f"{name} not reloaded, the previous one stays in use: {error}")
            else:
                self.on_event(f"{name} reloaded")

    def stop_with_parent(self, loop: asyncio.AbstractEventLoop) -> None:
        while os.read(sys.stdin.fileno(), 1024):
            pass
        loop.call_soon_threadsafe(self.stopping.set)

    async def start_rest(self, service: Service) -> tuple[HttpServer, "asyncio.Task"]:
        options = self.options
        application = App(
            service,
            options.auth,
            self.metrics,
            self.log,
            max_body_bytes=options.max_body_bytes,
            body_seconds=options.body_seconds,
            feedback_log=self.feedback_log,
        )
        settings: dict[str, Any] = {
            "header_seconds": options.header_seconds,
            "max_connections": options.max_connections,
            "direct": None if options.log_texts else DirectPredict(application),
            "refused": set(),
        }
        certificate = self.certificate
        protocol = type("Connection", (Connection,), settings)
        config = uvicorn.Config(
            application, http=protocol, ws="none", lifespan="off", log_config=None, access_log=False, server_header=False,
            timeout_keep_alive=75,
            ssl_context_factory=(lambda *_: certificate.context) if certificate else None,
        )  # fmt: skip
        listener = listen(options.host, options.rest_port or 0, shared=options.shared_ports)
        self.ports["REST"] = listener.getsockname()[1]
        http = HttpServer(config, options.grace_seconds)
        task = asyncio.create_task(http.serve(sockets=[listener]), name="rest")
        while not http.started:
            await asyncio.sleep(0.01)
        return http, task

    async def start_grpc(self, service: Service) -> Any:
        options = self.options
        server = services.create_server(
            service, self.metrics, options.auth, self.log,
            max_message_bytes=options.max_body_bytes, max_calls=options.max_connections,
            shared_port=options.shared_ports,
        )  # fmt: skip
        address = f"{options.host}:{options.grpc_port or 0}"
        try:
            if self.certificate:
                port = server.add_secure_port(address, self.certificate.for_grpc())
            else:
                port = server.add_insecure_port(address)
        except RuntimeError:
            raise ConfigError(
                f"port {options.grpc_port} on {options.host} is not available; choose another with --grpc-port"
            ) from None
        await server.start()
        self.ports["gRPC"] = port
        return server


def listen(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """A listening socket; raises ConfigError when the address is not available."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=2048, reuse_port=shared)
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise ConfigError(
            f"port {port} on {host} is not available ({reason}); choose another with --rest-port"
        ) from None
