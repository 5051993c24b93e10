"""The memory of shared libraries that are read while they are loaded and hardly afterwards.

Loading TensorFlow reads its symbol tables and relocations and runs the initializers of all of its kernels: 300 MB of pages of files stay
in the memory of the process, of which a model that answers uses 40. Released pages are read again from the file, usually from the
page cache, when they are needed.
"""

import contextlib
import ctypes
import re
from collections.abc import Iterator

MAPS = "/proc/self/smaps"
HEADER = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (\S{4}) [0-9a-f]+ \S+ \d+\s+(\S.*)")
MADV_DONTNEED = 4  # of madvise (mman.h)


def release(folder: str = "tensorflow") -> int:
    """Release the pages of the libraries below folders whose names start with `folder`; returns their bytes in memory before.

    Only of mappings whose pages all equal those of the file: read-only, without a page of the process's own, such as relocations. Does
    nothing where the system has no /proc.
    """
    released = 0
    with contextlib.suppress(OSError, AttributeError):
        advise = ctypes.CDLL(None, use_errno=True).madvise
        advise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        for start, end, resident in unmodified(folder):
            if advise(start, end - start, MADV_DONTNEED) == 0:
                released += resident
    return released


def unmodified(folder: str) -> Iterator[tuple[int, int, int]]:
    """(start, end, bytes in memory) of each read-only mapping of these libraries without a page of the process's own."""
    with open(MAPS, encoding="utf-8", errors="replace") as file:
        lines = file.read().splitlines()
    start = end = resident = 0
    of_library = False
    for line in lines:
        if header := HEADER.match(line):
            permissions, path = header[3], header[4]
            of_library = "w" not in permissions and f"/{folder}" in path
            start, end, resident = int(header[1], 16), int(header[2], 16), 0
        elif line[:1] in "0123456789abcdef":  # a mapping without a file
            of_library = False
        elif of_library:
            key, _, value = line.partition(":")
            if key == "Rss":
                resident = 1024 * int(value.split()[0])
            elif key == "Anonymous":
                if value.split() == ["0", "kB"] and resident:
                    yield start, end, resident
                of_library = False
