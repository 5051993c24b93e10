"""Pages of shared libraries that are not needed after loading."""

import subprocess
import sys

import pytest

from textpipe.runtime import library_pages

# A library with symbol tables, a table of relocations, and code; addresses as in /proc/self/smaps.
SMAPS = """\
7f0000000000-7f0000100000 r--p 00000000 fd:00 123    /opt/tensorflow/libtensorflow_cc.so.2
Size:               1024 kB
Rss:                 512 kB
Anonymous:             0 kB
VmFlags: rd mr mw me
7f0000100000-7f0000200000 r-xp 00100000 fd:00 123    /opt/tensorflow 2/libtensorflow_cc.so.2
Rss:                 256 kB
Anonymous:             0 kB
7f0000200000-7f0000210000 r--p 00200000 fd:00 123    /opt/tensorflow/libtensorflow_cc.so.2
Rss:                  64 kB
Anonymous:            64 kB
7f0000210000-7f0000220000 rw-p 00210000 fd:00 123    /opt/tensorflow/libtensorflow_cc.so.2
Rss:                  64 kB
Anonymous:             0 kB
7f0000220000-7f0000230000 r--p 00000000 00:00 0
Rss:                  64 kB
Anonymous:             0 kB
7f0000230000-7f0000240000 r--p 00000000 fd:00 124    /opt/other/libother.so
Rss:                  64 kB
Anonymous:             0 kB
7f0000240000-7f0000250000 r--p 00000000 fd:00 123    /opt/tensorflow/libtensorflow_framework.so.2
Rss:                   0 kB
Anonymous:             0 kB
"""


def test_only_read_only_mappings_without_pages_of_their_own_are_released(tmp_path, monkeypatch):
    (tmp_path / "smaps").write_text(SMAPS)
    monkeypatch.setattr(library_pages, "MAPS", str(tmp_path / "smaps"))
    assert list(library_pages.unmodified("tensorflow")) == [
        (0x7F0000000000, 0x7F0000100000, 512 * 1024),
        (0x7F0000100000, 0x7F0000200000, 256 * 1024),
    ]


PROCESS = """
import tensorflow as tf
from textpipe.runtime import library_pages

product = tf.function(lambda matrix: tf.linalg.matmul(matrix, matrix))
matrix = tf.random.stateless_normal((64, 64), (1, 2))
before = product(matrix).numpy()
assert library_pages.release() > 50_000_000
assert sum(resident for _, _, resident in library_pages.unmodified("tensorflow")) < 50_000_000
assert (product(matrix).numpy() == before).all()
assert tf.strings.length(["abc"]).numpy() == [3]  # a kernel that nothing has used yet
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_a_process_goes_on_after_its_libraries_are_released():
    done = subprocess.run([sys.executable, "-c", PROCESS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_without_proc_nothing_is_released(tmp_path, monkeypatch):
    monkeypatch.setattr(library_pages, "MAPS", str(tmp_path / "absent"))
    assert library_pages.release() == 0
