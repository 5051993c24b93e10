"""glibc's malloc with one arena per core instead of eight, for processes that only predict.

Threads get arenas of their own, and what is freed in one is not used by others. Batches of a thousand sentences in two threads took 617
MB with 16 arenas and 590 with two, in as much processor time.
"""

import contextlib
import ctypes
import os

from textpipe.runtime import threads

VARIABLE = "MALLOC_ARENA_MAX"  # glibc's own, which takes precedence
M_ARENA_MAX = -8  # of mallopt (malloc.h)
MIN_ARENAS = 2


def limit_arenas() -> None:
    """Limit the arenas, unless VARIABLE is set. Has no effect on arenas that are in use, and none without glibc."""
    if VARIABLE not in os.environ:
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL("libc.so.6").mallopt(M_ARENA_MAX, max(MIN_ARENAS, threads.num_cores()))
