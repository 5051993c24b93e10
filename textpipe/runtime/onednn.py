"""oneDNN's kernels for training, TensorFlow's own for answering.

TensorFlow has oneDNN's on by default only where a processor has AVX-512's. With AVX2 alone they save a fifth of a
transformer's training step, whose shapes are few. A server meets a new shape with nearly every batch and step of a search,
and oneDNN keeps something for each: .3 MB a minute, for no more speed. Where it was measured answers are the same texts and
scores within 3e-6.

TensorFlow reads the variable when it is imported; what a caller has set stands.
"""

import os

VARIABLE = "TF_ENABLE_ONEDNN_OPTS"
CHOSEN_VARIABLE = "TEXTPIPE_CHOSE_ONEDNN"  # the same value where it was chosen here, for processes that inherit both


def for_training() -> None:
    set_default("1")


def for_answering() -> None:
    """For processes that only answer; has no effect once TensorFlow is imported."""
    set_default("0")


def set_default(value: str) -> None:
    if os.environ.get(VARIABLE) == os.environ.get(CHOSEN_VARIABLE):
        os.environ[VARIABLE] = os.environ[CHOSEN_VARIABLE] = value
