"""Several servers side by side on the same ports, for one of Python's processes does one thing at a time.

The parent reserves the ports, starts the servers and hands on what they write; it loads nothing itself. The kernel gives
each new connection to one of them. A server that dies is started anew; when the parent ends, however it ends, they end.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from prometheus_client import multiprocess

from textpipe.errors import ConfigError
from textpipe.serve.engine.metrics import MULTIPROCESS_DIR

READY = "ready: "
RESTART_DELAY = 1.0  # seconds before a server that died is started anew
POLL_SECONDS = 0.2  # seconds between two looks at the processes
EXTRA_GRACE = 3.0  # seconds that a server may take to end beyond its grace


class ServerProcess:
    """A server; `ready` when it said so."""

    def __init__(self, command: Sequence[str], told: Callable[[str], None]):
        self.on_event, self.ready = told, threading.Event()
        # Its standard input closes when this process ends: that is how it knows.
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
    count: int, arguments: Sequence[str], host: str, ports: dict[str, int | None], told: Callable[[str], None],
    grace_seconds: float = 30.0,
) -> int:  # fmt: skip
    """Serves until SIGTERM or SIGINT; the exit code.

    arguments: of `textpipe serve`; ports: {"rest": 8501, "grpc": None}, 0 for any; told(line): hears what
    the servers write. Raises ConfigError for a port that cannot be had. A second signal ends the servers at once,
    SIGHUP is handed on to them.
    """
    family = ServerGroup(told)
    with contextlib.ExitStack() as stack:
        for number, handler in (
            (signal.SIGTERM, family.stop),
            (signal.SIGINT, family.stop),
            (signal.SIGHUP, family.hand_on),
        ):
            before = signal.signal(number, handler)
            stack.callback(signal.signal, number, before)
        taken = {
            door: stack.enter_context(reserve_port(host, port, door))
            for door, port in ports.items()
            if port is not None
        }
        doors = [f"--{door}-port={taken.get(door, -1)}" for door in ports]
        os.environ[MULTIPROCESS_DIR] = stack.enter_context(tempfile.TemporaryDirectory(prefix="textpipe-metrics-"))
        command = [sys.executable, "-m", "textpipe", "serve", *arguments, *doors, "--processes=1", "--beside"]
        return supervise(count, command, family, taken, host, grace_seconds)


class ServerGroup:
    """The servers, and what was signalled: `code` is that of the second signal to end."""

    def __init__(self, told: Callable[[str], None]):
        self.on_event, self.over, self.code = told, threading.Event(), 0
        self.children: list[ServerProcess] = []

    def stop(self, number: int, frame: Any) -> None:
        if self.over.is_set():
            self.code = 128 + number
            for child in self.children:
                child.process.kill()
        self.over.set()

    def hand_on(self, number: int, frame: Any) -> None:
        for child in self.children:
            child.process.send_signal(number)


def supervise(
    count: int, command: Sequence[str], family: ServerGroup, ports: dict[str, int], host: str, grace_seconds: float
) -> int:  # fmt: skip
    told = family.on_event
    children = family.children = [ServerProcess(command, told) for _ in range(count)]
    begun = False
    try:
        while not family.over.wait(POLL_SECONDS):
            if not begun and all(child.ready.is_set() for child in children):
                begun = True
                names = {"rest": "REST", "grpc": "gRPC"}
                doors = ", ".join(f"{names[door]} on {host}:{port}" for door, port in ports.items())
                told(f"{READY}{doors}, {count} processes")
            for place, child in enumerate(children):
                code = child.process.poll()
                if code is None:
                    continue
                if not begun:
                    child.reader.join()
                    return code or 1
                multiprocess.mark_process_dead(child.process.pid)
                told(f"a server ended ({code}); another is started in its place")
                time.sleep(RESTART_DELAY)
                children[place] = ServerProcess(command, told)
    finally:
        for child in children:
            child.process.terminate()
        end = time.monotonic() + grace_seconds + EXTRA_GRACE
        for child in children:
            try:
                child.process.wait(max(0.0, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.process.kill()
                child.process.wait()
            child.reader.join()
    return family.code


@contextlib.contextmanager
def reserve_port(host: str, port: int, door: str) -> Iterator[int]:
    """A port that the servers may share, and nobody else has."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as place:
        try:
            if port:
                socket.create_server((host, port), family=family).close()  # sharing would not say that it is taken
            place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            place.bind((host, port))
        except OSError as error:
            raise ConfigError(
                f"port {port} on {host} cannot be had ({os.strerror(error.errno or 0)}); name another with --{door}-port"
            ) from None
        yield place.getsockname()[1]
