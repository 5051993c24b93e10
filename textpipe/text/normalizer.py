"""The normalization steps of every field, loaded from the normalize stage's output."""

import json
from collections.abc import Callable
from pathlib import Path

import tensorflow as tf

from textpipe.config import plugins
from textpipe.config.fields import LONGEST_TEXT
from textpipe.config.sections import Plugin

STEPS_FILE = "normalize.json"


class Normalizer(tf.Module):
    """Applies each field's steps in order, to at most LONGEST_TEXT characters of each text.

    folder: the normalize stage's output, with normalize.json {field: [step tables]}.

    normalizer("text", [" Caf\\u00e9\\u00a0\\u00a0au lait"]) -> ["Café au lait"]
    """

    def __init__(self, folder: Path):
        super().__init__(name="normalizer")
        tables = json.loads((Path(folder) / STEPS_FILE).read_text(encoding="utf-8"))
        steps = {field: [Plugin.check("text.steps", table) for table in steps] for field, steps in tables.items()}
        # A closure, not an attribute: tf.Module would wrap the lists for tracking.
        self.steps = lambda field: steps[field]

    def __call__(self, field: str, text: tf.Tensor) -> tf.Tensor:
        """[N] string -> [N] string; field: one of the task's text fields."""
        return apply(self.steps(field), truncate(text))

    def traced(self, field: str, over: Callable[..., tf.Tensor] | None = None) -> Callable[[tf.Tensor], tf.Tensor]:
        """A traced function that normalizes a field's raw cells, which may be any bytes: [N] string -> [N] string.

        over(cells, function): applies a function to each text of the cells, where a cell holds several (map_tensor of its kind).
        """

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
        def normalize(text: tf.Tensor) -> tf.Tensor:
            # Invalid UTF-8 becomes U+FFFD, as at ingest: the steps require well-formed text.
            cells = tf.strings.unicode_transcode(text, "UTF-8", "UTF-8", errors="replace")
            if over is None:
                return self(field, cells)
            return over(truncate(cells), lambda texts: self(field, texts))

        return normalize


def apply(steps, text: tf.Tensor) -> tf.Tensor:
    """Apply the checked step sections to `text` [N] in order."""
    for step in steps:
        text = plugins.find("text.steps", step.kind).apply(text, step)
    return text


def truncate(text: tf.Tensor, max_length: int = LONGEST_TEXT) -> tf.Tensor:
    """The first `max_length` characters of each text: [N] string -> [N] string."""
    return tf.strings.substr(text, 0, max_length, unit="UTF8_CHAR")
