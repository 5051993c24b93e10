"""Filter TensorFlow's start-up messages out of stderr.

TensorFlow and sentencepiece write lines such as "Could not find cuda drivers" directly to file descriptor 2, before
they read any setting. While a command runs, the output of native code goes through grep, which drops these lines and
passes on all others. grep is a separate process, so that the last lines before a crash still arrive.
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


def start_filter() -> None:
    """Filter descriptor 2 from now on; Python's sys.stderr still writes to the terminal. Does nothing without grep."""
    grep = shutil.which("grep")
    try:
        is_descriptor_2 = sys.stderr.fileno() == 2
    except (AttributeError, OSError, ValueError):
        return
    if not grep or not is_descriptor_2:
        return
    terminal = os.dup(2)
    try:
        # A new session, so that Ctrl-C stops the command but not the filter of its last lines.
        child = subprocess.Popen(
            [grep, "--line-buffered", "-avE", NOISE], stdin=subprocess.PIPE, stdout=terminal, stderr=subprocess.DEVNULL,
            env={"LC_ALL": "C", "PATH": os.environ.get("PATH", "")}, start_new_session=True,
        )  # fmt: skip
    except OSError:
        os.close(terminal)
        return
    assert child.stdin is not None
    os.dup2(child.stdin.fileno(), 2)
    child.stdin.close()
    child.returncode = 0  # never waited for: it ends with the last writer of descriptor 2
    sys.stderr = open(terminal, "w", encoding=sys.stderr.encoding, errors="backslashreplace", buffering=1)  # noqa: SIM115


@contextlib.contextmanager
def quiet_loggers(*names: str) -> Iterator[None]:
    """Limit these loggers to errors inside a with block."""
    levels = {name: logging.getLogger(name).level for name in names}
    try:
        for name in names:
            logging.getLogger(name).setLevel(logging.ERROR)
        yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
