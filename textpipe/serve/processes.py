"""Runs several server processes on the same ports, because one Python process runs on one core at a time.

The parent reserves the ports, starts the servers and forwards their output; it loads no models. The kernel assigns each new
connection to one of them. A server that dies is restarted; when the parent ends, for whatever reason, its servers end too.
"""

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from prometheus_client import multiprocess

from textpipe.errors import ConfigError
from textpipe.runtime.module_command import module_command
from textpipe.serve.engine.metrics import MULTIPROCESS_DIR

READY = "ready: "
RESTART_DELAY = 1.0  # seconds before a dead server is restarted
POLL_SECONDS = 0.2
EXTRA_GRACE = 3.0  # seconds that a server may take to exit after its grace period


class ServerProcess:
    """A server; `ready` is set once it reports so. on_event(line) gets its other output."""

    def __init__(self, command: Sequence[str], on_event: Callable[[str], None]):
        self.on_event, self.ready = on_event, threading.Event()
        # Its standard input closes when this process ends, which tells it to exit.
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace", start_new_session=True
        )
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if line.startswith(READY):
                self.ready.set()
            else:
                self.on_event(line.rstrip("\n"))


def run(
    count: int, arguments: Sequence[str], host: str, ports: dict[str, int | None], on_event: Callable[[str], None],
    grace_seconds: float = 30.0,
) -> int:  # fmt: skip
    """Serves until SIGTERM or SIGINT; returns the exit code.

    arguments: of `textpipe serve`; ports: {"rest": 8501, "grpc": None}, 0 for any; on_event(line): gets the servers'
    output. A second signal kills the servers; SIGHUP is forwarded to them. Raises ConfigError when a port is not available.
    """
    group = ServerGroup(on_event)
    with contextlib.ExitStack() as stack:
        for number, handler in (
            (signal.SIGTERM, group.stop),
            (signal.SIGINT, group.stop),
            (signal.SIGHUP, group.forward),
        ):
            previous = signal.signal(number, handler)
            stack.callback(signal.signal, number, previous)
        reserved = {
            endpoint: stack.enter_context(reserve_port(host, port, endpoint))
            for endpoint, port in ports.items()
            if port is not None
        }
        options = [f"--{endpoint}-port={reserved.get(endpoint, -1)}" for endpoint in ports]
        os.environ[MULTIPROCESS_DIR] = stack.enter_context(tempfile.TemporaryDirectory(prefix="textpipe-metrics-"))
        command = [*module_command("textpipe"), "serve", *arguments, *options, "--processes=1", "--beside"]
        return supervise(count, command, group, reserved, host, grace_seconds)


class ServerGroup:
    """The servers and their shutdown: `exit_code` is set by a second signal."""

    def __init__(self, on_event: Callable[[str], None]):
        self.on_event, self.stopping, self.exit_code = on_event, threading.Event(), 0
        self.servers: list[ServerProcess] = []

    def stop(self, number: int, frame: Any) -> None:
        if self.stopping.is_set():
            self.exit_code = 128 + number
            for server in self.servers:
                server.process.kill()
        self.stopping.set()

    def forward(self, number: int, frame: Any) -> None:
        for server in self.servers:
            server.process.send_signal(number)


def supervise(
    count: int, command: Sequence[str], group: ServerGroup, ports: dict[str, int], host: str, grace_seconds: float
) -> int:  # fmt: skip
    on_event = group.on_event
    servers = group.servers = [ServerProcess(command, on_event) for _ in range(count)]
    ready = False
    try:
        while not group.stopping.wait(POLL_SECONDS):
            if not ready and all(server.ready.is_set() for server in servers):
                ready = True
                names = {"rest": "REST", "grpc": "gRPC"}
                endpoints = ", ".join(f"{names[endpoint]} on {host}:{port}" for endpoint, port in ports.items())
                on_event(f"{READY}{endpoints}, {count} processes")
            for index, server in enumerate(servers):
                code = server.process.poll()
                if code is None:
                    continue
                if not ready:
                    server.reader.join()
                    return code or 1
                multiprocess.mark_process_dead(server.process.pid)
                on_event(f"a server exited with code {code}; restarting it")
                time.sleep(RESTART_DELAY)
                servers[index] = ServerProcess(command, on_event)
    finally:
        for server in servers:
            server.process.terminate()
        end = time.monotonic() + grace_seconds + EXTRA_GRACE
        for server in servers:
            try:
                server.process.wait(max(0.0, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                server.process.kill()
                server.process.wait()
            server.reader.join()
    return group.exit_code


@contextlib.contextmanager
def reserve_port(host: str, port: int, endpoint: str) -> Iterator[int]:
    """A port that the servers can share and no other process uses."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as reserved:
        try:
            if port:
                socket.create_server((host, port), family=family).close()  # SO_REUSEPORT would hide that it is in use
            reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            reserved.bind((host, port))
        except OSError as error:
            reason = os.strerror(error.errno or 0)
            raise ConfigError(
                f"port {port} on {host} is not available ({reason}); choose another with --{endpoint}-port"
            ) from None
        yield reserved.getsockname()[1]
