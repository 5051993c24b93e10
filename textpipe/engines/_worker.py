"""What a worker process runs: items of a job, one after another.

A job is a pickled `make` of runtime/engine.py. The worker keeps what the last job built, so that a graph is traced and a model is
loaded once for all items of a job.

    python -m textpipe.engines._worker FD MODULE...     a worker of the engine `processes`, at the other end of a socket; imports the modules first
"""

import importlib
import logging
import os
import pickle
import select
import sys
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from typing import Any

from textpipe.errors import DataError, ResourceError, TextpipeError
from textpipe.runtime import environment


class Worker:
    """Runs items; every answer is bytes for `unpack`."""

    def __init__(self) -> None:
        self.job = b""
        self.function: Callable[[Any], Any] | None = None

    def prepare(self, folder: str, path: Sequence[str], environment: Mapping[str, str]) -> bytes:
        """Take over the working folder, the import path and the given environment of the process that started this one."""
        return pack(enter, folder, path, environment)

    def run(self, job: bytes | None, item: bytes) -> bytes:
        """Run a pickled item of a job; None: the last one."""
        return pack(self.answer, job, item)

    def answer(self, job: bytes | None, item: bytes) -> Any:
        """The result of an item."""
        if job is not None and job != self.job:
            self.job, self.function = job, None  # the last model is freed before the next one is loaded
        if self.function is None:
            self.function = pickle.loads(self.job)()
        return self.function(pickle.loads(item))


def enter(folder: str, path: Sequence[str], environment: Mapping[str, str]) -> None:
    """Set the environment, the import path and the folder of this process. Raises ResourceError if the folder is missing here."""
    logging.getLogger("textpipe").setLevel(logging.ERROR)  # the process that started this one reports what a job found
    os.environ.update(environment)
    sys.path[:] = list(dict.fromkeys([*path, *sys.path]))
    try:
        os.chdir(folder)
    except OSError as error:
        raise ResourceError(
            f"{folder}: {error.strerror} on {os.uname().nodename}; workers need the working folder, the store and the data under "
            "the same paths: put them on a file system that all machines share"
        ) from None


def pack(function: Callable[..., Any], *arguments: Any) -> bytes:
    """Call a function; its result or its error as bytes. An error of the environment, such as a full disk, is sent with its message."""
    try:
        return pickle.dumps((function(*arguments), None, ""))
    except TextpipeError as error:
        return pickle.dumps((None, error, ""))
    except Exception as error:
        if (explained := environment.explain(error)) is None:
            return pickle.dumps((None, None, traceback.format_exc()))
        message, code = explained
        return pickle.dumps((None, (DataError if code == DataError.exit_code else ResourceError)(message), ""))


def unpack(answer: bytes) -> Any:
    """The result of an item. Raises its TextpipeError, or a RuntimeError with the traceback of the worker."""
    result, error, trace = pickle.loads(answer)
    if error is not None:
        raise error
    if trace:
        raise RuntimeError(f"in a worker:\n{trace}")
    return result


def serve(connection: Connection) -> None:
    """Answer (method, arguments) until the other end is closed."""
    worker = Worker()
    try:
        while True:
            method, arguments = connection.recv()
            connection.send_bytes(getattr(worker, method)(*arguments))
    except (EOFError, OSError):  # the run has ended, or was killed
        return


def end_with(descriptor: int) -> None:
    """End this process, whatever it computes, once the other end of the socket is closed: the process that started it was killed."""
    hangup = select.poll()
    hangup.register(descriptor, 0)  # a hangup is always reported
    hangup.poll()
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=end_with, args=(int(sys.argv[1]),), daemon=True).start()
    for name in sys.argv[2:]:
        importlib.import_module(name)
    serve(Connection(int(sys.argv[1])))
