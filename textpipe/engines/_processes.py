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
        path = [folder or os.getcwd() for folder in sys.path]
        parent_socket, child_socket = socket.socketpair()
        # -P: a module of the working folder, such as random.py, hides no other. A session of its own: Ctrl-C reaches this process
        # alone, which ends its workers.
        words = [sys.executable, "-P", "-m", "textpipe.engines._worker", str(child_socket.fileno()), *imports]
        with child_socket:
            try:
                self.process = subprocess.Popen(
                    words,
                    env={**os.environ, **environment, "PYTHONPATH": os.pathsep.join(path)},
                    pass_fds=[child_socket.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=stderr_descriptor(),
                    start_new_session=True,
                )
            except BaseException:
                parent_socket.close()
                raise
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


def stderr_descriptor() -> int:
    """The descriptor of sys.stderr; that of the null device if it has none, as in a notebook, a test or a process without a terminal."""
    try:
        return sys.stderr.fileno()
    except (AttributeError, OSError, ValueError):
        return subprocess.DEVNULL


def describe(code: int) -> str:
    """-9 -> "signal SIGKILL"; 1 -> "exit code 1"."""
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
