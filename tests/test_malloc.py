"""Processes that only predict have one arena of malloc per core."""

import os
import subprocess
import sys

import pytest

from textpipe.runtime import malloc, threads

COUNT = """
import ctypes, sys, threading
libc = ctypes.CDLL("libc.so.6")
libc.malloc.restype, libc.fopen.restype = ctypes.c_void_p, ctypes.c_void_p
exec(sys.argv[1])
together = threading.Barrier(40)
def allocate():
    libc.malloc(100)
    together.wait()
workers = [threading.Thread(target=allocate) for _ in range(40)]
for worker in workers: worker.start()
for worker in workers: worker.join()
file = ctypes.c_void_p(libc.fopen(sys.argv[2].encode(), b"w"))
libc.malloc_info(0, file)
libc.fclose(file)
"""


def num_arenas(code, path, **environment):
    kept = {name: value for name, value in os.environ.items() if name != malloc.VARIABLE}
    subprocess.run([sys.executable, "-c", COUNT, code, str(path)], check=True, env={**kept, **environment})
    return path.read_text().count("<heap nr=")


@pytest.mark.skipif("glibc" not in os.confstr("CS_GNU_LIBC_VERSION"), reason="only glibc has arenas")
def test_arenas_are_limited_unless_the_environment_says_how_many(tmp_path):
    limited, most = "from textpipe.runtime import malloc; malloc.limit_arenas()", max(2, threads.num_cores())
    assert num_arenas("", tmp_path / "info") > most
    assert num_arenas(limited, tmp_path / "info") == most
    assert num_arenas(limited, tmp_path / "info", MALLOC_ARENA_MAX="1") == 1
