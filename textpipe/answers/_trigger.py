"""A trigger: an exported classifier that decides whether a message gets suggestions.   Shapes: B batch.

Kannan et al. (2016), section 5.1: a network decides whether to suggest at all, before any reply is ranked.
"""

from pathlib import Path

import tensorflow as tf

from textpipe.answers._ranking_settings import Config
from textpipe.savedmodel import thresholds
from textpipe.servable.embedded import Embedded
from textpipe.servable.tracing import Raw

DEFAULT_THRESHOLD = 0.5


class Trigger(tf.Module):
    """An exported two-class classifier: a message gets replies if the probability of the second class is at least the threshold.

    Raises ModelError if settings.coverage is given and the model's textpipe.json has no thresholds.
    """

    def __init__(self, folder: Path, settings: Config):
        super().__init__(name="trigger")
        self.model = Embedded(folder)
        if settings.coverage is not None:
            threshold = thresholds.threshold_at(self.model.about, settings.coverage, model=str(folder))
        else:
            threshold = DEFAULT_THRESHOLD if settings.threshold is None else settings.threshold
        self.threshold = tf.constant(threshold, tf.float32)

    def probability(self, raw: Raw) -> tf.Tensor:
        """The probability of the second class: {field: [B]} -> [B]."""
        return self.model.call("serving_default", raw)["probabilities"][:, 1]
