"""The normalization steps of every field, rebuilt from what the normalize stage wrote."""

import json
from collections.abc import Callable
from pathlib import Path

import tensorflow as tf

from textpipe.config import plugins
from textpipe.config.fields import LONGEST_TEXT
from textpipe.config.sections import Plugin

FILE = "normalize.json"


class Normalizer(tf.Module):
    """Applies each field's steps in order, to at most LONGEST_TEXT characters of each text.

    folder: the normalize stage's output, of which normalize.json {field: [step tables]} is read.

    normalizer("text", [" Caf\\u00e9\\u00a0\\u00a0au lait"]) -> ["Café au lait"]
    """

    def __init__(self, folder: Path):
        super().__init__(name="normalizer")
        tables = json.loads((Path(folder) / FILE).read_text(encoding="utf-8"))
        steps = {field: [Plugin.check("text.steps", table) for table in steps] for field, steps in tables.items()}
        # A closure, not an attribute: tf.Module would wrap the lists for tracking, and there is nothing to track.
        self.steps = lambda field: steps[field]

    def __call__(self, field: str, text: tf.Tensor) -> tf.Tensor:
        """[N] string -> [N] string; the field must be one of the task's text fields."""
        return apply(self.steps(field), truncate(text))

    def traced(self, field: str) -> Callable[[tf.Tensor], tf.Tensor]:
        """The traced function from a field's raw texts, of any bytes, to its normalized ones: [N] -> [N]."""

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
        def clean(text: tf.Tensor) -> tf.Tensor:
            # Bytes that are not UTF-8 become U+FFFD, as at ingest: what follows may count on well-formed text.
            return self(field, tf.strings.unicode_transcode(text, "UTF-8", "UTF-8", errors="replace"))

        return clean


def apply(steps, text: tf.Tensor) -> tf.Tensor:
    """`text` [N] after every one of the checked step sections in turn."""
    for step in steps:
        text = plugins.find("text.steps", step.kind).apply(text, step)
    return text


def truncate(text: tf.Tensor, longest: int = LONGEST_TEXT) -> tf.Tensor:
    """The first `longest` characters of each text: [N] string -> [N] string."""
    return tf.strings.substr(text, 0, longest, unit="UTF8_CHAR")
