"""How work is shared out to cores: all of them at each operation, or one each to pieces of work that go side by side.

TensorFlow by default lets all cores into each operation. In a training step or a beam search, whose operations are many
and small, they then wait for one another several hundred times. One core an operation, and as many batches or shares of a
batch side by side as there are cores, was 1.2 to 1.4 times as fast on two.
"""

import os
import sys

VARIABLE = "TF_NUM_INTRAOP_THREADS"  # TensorFlow reads it when it first does something
MOST = 4  # pieces side by side; smaller ones than a quarter of a batch waste what is left


def one_each() -> None:
    """Give each operation of this process one core, unless TensorFlow has begun or TF_NUM_INTRAOP_THREADS is set."""
    if VARIABLE in os.environ:
        return
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is not None:
        try:
            tensorflow.config.threading.set_intra_op_parallelism_threads(1)
        except RuntimeError:  # it has begun
            return
    os.environ[VARIABLE] = "1"


def pieces() -> int:
    """How many pieces of work go side by side: as many as there are cores, where an operation has but one of them."""
    return min(MOST, os.cpu_count() or 1) if os.environ.get(VARIABLE) == "1" else 1
