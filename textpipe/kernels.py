"""oneDNN's kernels for training, TensorFlow's own for answering.

TensorFlow has oneDNN's on by default only where a processor has AVX-512's. With AVX2 alone they save a fifth of a
transformer's training step, whose shapes are few. A server meets a new shape with nearly every batch and step of a search,
and oneDNN keeps something for each of the last thousands: tens of megabytes, for no more speed. Answers are the same texts;
scores differ in the sixth digit at most.

TensorFlow reads the variable when it is imported; what a caller has set stands.
"""

import os

VARIABLE = "TF_ENABLE_ONEDNN_OPTS"
SET = VARIABLE in os.environ


def for_training() -> None:
    os.environ.setdefault(VARIABLE, "1")


def for_answering() -> None:
    """For processes that only answer; has no effect once TensorFlow is imported."""
    if not SET:
        os.environ[VARIABLE] = "0"
