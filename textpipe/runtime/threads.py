"""Distribution of work over cores: all cores per operation, or a few cores for each of several parallel shards.

By default TensorFlow uses all cores for each operation. A training step or beam search has many small operations, so
the cores wait for one another several hundred times. One core per operation, with as many batches or shards of a batch
in parallel as there are cores, was 1.2 to 1.4 times as fast on two cores.
"""

import os
import sys

from textpipe.runtime import lazy_tensorflow

VARIABLE = "TF_NUM_INTRAOP_THREADS"  # cores per operation; TensorFlow reads it when it runs its first operation
SHARE = "TEXTPIPE_CORES"  # cores of a process that others like it run beside
MAX_SHARDS = 4  # shards in parallel; more would be too small to pay off


def limit_intra_op() -> None:
    """Limit the cores per operation, unless TensorFlow has started or TF_NUM_INTRAOP_THREADS is set."""
    if VARIABLE in os.environ:
        return
    num_threads = max(1, num_cores() // MAX_SHARDS)
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is not None and lazy_tensorflow.imported():
        try:
            tensorflow.config.threading.set_intra_op_parallelism_threads(num_threads)
        except RuntimeError:  # already started
            return
    os.environ[VARIABLE] = str(num_threads)


def num_shards() -> int:
    """The number of shards to process in parallel; 1 when each operation uses all cores.

    2 cores, one per operation: 2;   16 cores, four per operation: 4
    """
    num_threads = os.environ.get(VARIABLE, "")
    return (
        max(1, min(MAX_SHARDS, num_cores() // int(num_threads))) if num_threads.isdecimal() and int(num_threads) else 1
    )


def num_cores() -> int:
    """The number of cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def core_share() -> int:
    """The number of processes this process may start, one for each core; 1 where it is one of several itself.

    These are the workers of engines and of `textpipe tune`, and the processes of scikit-learn's n_jobs.
    """
    import multiprocessing

    if multiprocessing.parent_process() is not None:
        return 1
    share = os.environ.get(SHARE, "")
    return max(1, min(num_cores(), int(share))) if share.isdecimal() else num_cores()
