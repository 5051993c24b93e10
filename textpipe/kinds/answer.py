"""An answer out of those that occur in train; any other answer in valid or test counts as wrong.

A label that train does not have is usually a mistake in the data, and an error. An answer that it does not have is a question that the
model cannot answer.
"""

from textpipe.kinds.label import OPTIONAL, arrow, line, names, parse, profile, replace, spec, tensor

NOUN, PLURAL = "an answer", "answers"
EXAMPLE = "garden"
FEATURE = "answer"

__all__ = [
    "EXAMPLE",
    "FEATURE",
    "NOUN",
    "OPTIONAL",
    "PLURAL",
    "arrow",
    "line",
    "names",
    "parse",
    "profile",
    "replace",
    "spec",
    "tensor",
]
