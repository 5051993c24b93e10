"""How work is shared out to cores: all of them at each operation, or a few at each of several pieces that go side by side.

TensorFlow by default lets all cores into each operation. In a training step or a beam search, whose operations are many
and small, they then wait for one another several hundred times. One core an operation, and as many batches or shares of a
batch side by side as there are cores, was 1.2 to 1.4 times as fast on two.
"""

import os
import sys

VARIABLE = "TF_NUM_INTRAOP_THREADS"  # cores an operation may have; TensorFlow reads it when it first does something
MOST = 4  # pieces side by side; more would be too small to be worth it


def limit_intra_op() -> None:
    """Leave cores for several operations at a time, unless TensorFlow has begun or TF_NUM_INTRAOP_THREADS is set."""
    if VARIABLE in os.environ:
        return
    few = max(1, count() // MOST)
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is not None:
        try:
            tensorflow.config.threading.set_intra_op_parallelism_threads(few)
        except RuntimeError:  # it has begun
            return
    os.environ[VARIABLE] = str(few)


def num_shards() -> int:
    """How many pieces of work go side by side: 1 where all cores are at each operation.

    2 cores, one an operation: 2;   16 cores, four an operation: 4
    """
    few = os.environ.get(VARIABLE, "")
    return max(1, min(MOST, count() // int(few))) if few.isdecimal() and int(few) else 1


def count() -> int:
    """The cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
