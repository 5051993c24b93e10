"""Processes on this machine: workers of the scheduler, and commands."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from multiprocessing import connection

from textpipe.engines._scheduler import Died


class ProcessWorker:
    """A worker process and this end of its socket."""

    def __init__(self, environment: Mapping[str, str], imports: Sequence[str] = ()):
        parent_socket, child_socket = socket.socketpair()
        with child_socket:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "textpipe.engines._worker", str(child_socket.fileno()), *imports],
                env={**os.environ, **environment, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                pass_fds=[child_socket.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=sys.stderr.fileno() if hasattr(sys.stderr, "fileno") else None,
            )
        self.connection = connection.Connection(parent_socket.detach())
        self.job = b""  # that the worker has

    def send(self, method: str, *arguments: object) -> None:
        """Ask for an answer; a worker that has died is noticed by `receive`."""
        with contextlib.suppress(OSError):
            self.connection.send((method, arguments))

    def receive(self) -> bytes | Died:
        """The answer, or how the process ended."""
        try:
            return self.connection.recv_bytes()
        except (EOFError, OSError):
            return Died(describe(self.process.wait()))

    def kill(self) -> None:
        """End the process."""
        self.connection.close()
        self.process.kill()
        self.process.wait()


class ProcessLauncher:
    """Starts workers on this machine, with `environment` beside that of this process. imports: modules that they load while they start."""

    def __init__(self, environment: Mapping[str, str], imports: Sequence[str] = ()):
        self.environment, self.imports = environment, imports

    def launch(self) -> ProcessWorker:
        """A worker that is starting."""
        worker = ProcessWorker(self.environment, self.imports)
        worker.send("prepare", os.getcwd(), sys.path, {})
        return worker

    def submit(self, worker: ProcessWorker, job: bytes, item: bytes) -> None:
        """Run an item; a job may be as large as its data, so it is sent once."""
        worker.send("run", None if job == worker.job else job, item)
        worker.job = job

    def wait(self, workers: list[ProcessWorker]) -> list[tuple[ProcessWorker, bytes | Died]]:
        """The answers of the workers that have one, at least one."""
        ready = connection.wait([worker.connection for worker in workers])
        return [(worker, worker.receive()) for worker in workers if worker.connection in ready]

    def kill(self, worker: ProcessWorker) -> None:
        """End a worker."""
        worker.kill()


def describe(code: int) -> str:
    """-9 -> "signal SIGKILL"; 1 -> "exit code 1"."""
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
