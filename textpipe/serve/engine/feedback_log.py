"""The feedback log: a file with one JSON object per line, which records what users did with suggested replies; `textpipe ingest` reads it.

Several server processes may append to the same file: each line is a single write under a file lock, and is synced to disk before the
call returns.
"""

import contextlib
import errno
import fcntl
import json
import os
import stat
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from textpipe.errors import ConfigError
from textpipe.serve.engine.errors import ServingError

LIMIT_BYTES = 100_000_000
MODE = 0o600  # of a new file: the texts are private
LOCK_SECONDS, POLL_SECONDS = 5.0, 0.005
FIRST_LINE_BYTES = 1 << 16  # of an existing file, read to tell whether it is a feedback log
OPTION = "--feedback-log"
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


class LogFullError(ServingError):
    """The feedback log has reached its limit, or its disk is full: HTTP's 507, for which gRPC has no code."""

    status = 507

    def __init__(self, message: str):
        super().__init__("RESOURCE_EXHAUSTED", message)


class FeedbackLog:
    """path: the file, created if missing; limit_bytes: its maximum size.

    The file is opened anew for each line. If it is renamed while the server runs, the next line starts a new file.
    """

    def __init__(self, path: Path, limit_bytes: int = LIMIT_BYTES):
        self.path, self.limit_bytes = path, limit_bytes
        self.thread = ThreadPoolExecutor(1, "feedback-log")  # a dedicated thread: a slow disk must not delay other work

    def check(self) -> None:
        """Raises ConfigError if the file cannot be written, is accessible to other users, or is not a feedback log."""
        try:
            with self.open() as file:
                status = os.fstat(file)
                start = os.pread(file, FIRST_LINE_BYTES, 0) if stat.S_ISREG(status.st_mode) else b""
        except OSError as error:
            raise ConfigError(
                f"{OPTION} {self.path}: cannot be written ({error.strerror}); name a file in a folder that the server may write to"
            ) from None
        if not stat.S_ISREG(status.st_mode):
            raise ConfigError(f"{OPTION} {self.path}: is not a regular file; name a file")
        if status.st_mode & 0o077:
            raise ConfigError(
                f"{OPTION} {self.path}: other users can access it (mode {status.st_mode & 0o777:04o}), and it holds private texts; "
                f"chmod 600 {self.path}"
            )
        if start and not (start.startswith(b'{"time": "') and b'"model": "' in start):
            raise ConfigError(
                f"{OPTION} {self.path}: is not a feedback log; name a new file, or one that textpipe serve has written"
            )

    def append(self, record: Mapping[str, Any]) -> None:
        """Write a line and block until it is synced to disk.

        Raises LogFullError if the line would exceed the limit or the disk is full, and ServingError (UNAVAILABLE) for other
        failures. A line is written completely or not at all.
        """
        line = (json.dumps(record, ensure_ascii=False) + "\n").encode("utf-8", "replace")
        try:
            with self.open() as file, locked(file):
                self.write(file, line)
        except OSError as error:
            raise ServingError("UNAVAILABLE", f"the feedback log cannot be written ({error.strerror})") from None

    def write(self, file: int, line: bytes) -> None:
        """Append a line to an open, locked file. Raises LogFullError, and OSError for other failures than a full disk."""
        size = os.fstat(file).st_size
        if size and os.pread(file, 1, size - 1) != b"\n":
            line = b"\n" + line  # an earlier write failed in the middle of a line
        if size + len(line) > self.limit_bytes:
            raise LogFullError(
                f"the feedback log holds {size:,} of at most {self.limit_bytes:,} bytes; the operator can rename it, or raise --feedback-limit"
            )
        try:
            num_written = os.write(file, line)
        except OSError as error:
            if error.errno not in DISK_FULL:
                raise
            num_written = 0
        if num_written < len(line):
            os.ftruncate(file, size)
            raise LogFullError("the disk of the feedback log is full; the operator has to free space on it")
        os.fsync(file)

    @contextlib.contextmanager
    def open(self) -> Iterator[int]:
        """A descriptor of the file, opened for appending."""
        flags = (
            os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
        )  # non-blocking: opening a FIFO would wait for its other end
        file = os.open(self.path, flags, MODE)
        try:
            yield file
        finally:
            os.close(file)


@contextlib.contextmanager
def locked(file: int) -> Iterator[None]:
    """Hold an exclusive lock on an open file; raises ServingError if another process holds it for more than LOCK_SECONDS."""
    end = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > end:
                raise ServingError(
                    "UNAVAILABLE", "another process holds the lock on the feedback log", retry_after=1
                ) from None
            time.sleep(POLL_SECONDS)
        else:
            break
    yield  # closing the file unlocks it
