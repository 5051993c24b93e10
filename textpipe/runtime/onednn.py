"""oneDNN's kernels for training, TensorFlow's own for inference.

TensorFlow enables oneDNN by default only on processors with AVX-512. With AVX2 alone it saves a fifth of a
transformer's training step, which has few shapes. A server sees a new shape in nearly every batch and search step, and
oneDNN caches data for each of them: 0.3 MB a minute, without a gain in speed. In measurements, texts were equal with
both kernels and scores differed by at most 3e-6.

TensorFlow reads the variable when it is imported. A value set by the caller takes precedence.
"""

import os

VARIABLE = "TF_ENABLE_ONEDNN_OPTS"
CHOSEN_VARIABLE = "TEXTPIPE_CHOSE_ONEDNN"  # has the same value if this module set it; child processes inherit both


def enable_by_default() -> None:
    set_default("1")


def disable_by_default() -> None:
    """For processes that only predict; has no effect once TensorFlow is imported."""
    set_default("0")


def set_default(value: str) -> None:
    if os.environ.get(VARIABLE) == os.environ.get(CHOSEN_VARIABLE):
        os.environ[VARIABLE] = os.environ[CHOSEN_VARIABLE] = value
