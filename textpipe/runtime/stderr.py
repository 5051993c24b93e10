"""Keep TensorFlow's start-up chatter off the terminal.

TensorFlow and sentencepiece write lines such as "Could not find cuda drivers" straight to file descriptor 2, before any
setting of theirs is read. While a command runs, what native code writes there goes through grep, which drops those
lines and passes every other on. grep is a process of its own so that the last words of a crash still arrive.
"""

import contextlib
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator

NOISE = (
    r"^(WARNING: All log messages before absl::InitializeLog|[IWE]0000 00:00:[0-9. ]+ .*(cuda|oneDNN supports)"
    r"|.*LOG\(INFO\)|I0000 00:00:)"
)


def start() -> None:
    """Filter descriptor 2 from now on; Python's own sys.stderr stays on the terminal. Without grep nothing changes."""
    grep = shutil.which("grep")
    try:
        ours = sys.stderr.fileno() == 2
    except (AttributeError, OSError, ValueError):
        return
    if not grep or not ours:
        return
    kept = os.dup(2)
    try:
        # A session of its own: Ctrl-C must stop the command, not what shows its last lines.
        child = subprocess.Popen(
            [grep, "--line-buffered", "-avE", NOISE], stdin=subprocess.PIPE, stdout=kept, stderr=subprocess.DEVNULL,
            env={"LC_ALL": "C", "PATH": os.environ.get("PATH", "")}, start_new_session=True,
        )  # fmt: skip
    except OSError:
        os.close(kept)
        return
    assert child.stdin is not None
    os.dup2(child.stdin.fileno(), 2)
    child.stdin.close()
    child.returncode = 0  # nobody waits for it: it ends when the last writer of descriptor 2 does
    sys.stderr = open(kept, "w", encoding=sys.stderr.encoding, errors="backslashreplace", buffering=1)  # noqa: SIM115


@contextlib.contextmanager
def loggers(*names: str) -> Iterator[None]:
    """Only errors of these loggers for the length of a block."""
    levels = {name: logging.getLogger(name).level for name in names}
    try:
        for name in names:
            logging.getLogger(name).setLevel(logging.ERROR)
        yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
