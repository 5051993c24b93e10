"""An exponential moving average of the weights (Polyak and Juditsky, 1992), validated and kept instead of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import tensorflow as tf


class MovingAverage:
    """average <- d * average + (1 - d) * weight after update t, with d = min(decay, (1 + t) / (10 + t)).

    The second bound, as in tf.train.ExponentialMovingAverage, lets the average forget the untrained weights soon.
    Only trainable weights are averaged: the others (statistics of batch normalization) are running means already.

    decay = 0.999, a weight of 0, then 1, then 2: the average is 0, 0.818, 1.705
    """

    def __init__(self, weights: list[Any], decay: float):
        self.weights, self.decay = weights, decay
        self.variables = [
            keras.Variable(
                np.asarray(weight),
                trainable=False,
                dtype=weight.dtype,
                aggregation="only_first_replica",
                name="average",
            )
            for weight in weights
        ]

    def update(self, count) -> None:
        """Updates the averages, in graph; count: scalar, number of updates including this one."""
        count = tf.cast(count, tf.float32)
        decay = tf.minimum(self.decay, (1 + count) / (10 + count))
        for average, weight in zip(self.variables, self.weights, strict=True):
            average.assign(average.value + (1 - decay) * (weight.value - average.value))

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """While open, the model holds the averages; afterwards its own weights, bit for bit."""
        self.swap()
        try:
            yield
        finally:
            self.swap()

    def swap(self) -> None:
        """Swaps averages and weights."""
        for average, weight in zip(self.variables, self.weights, strict=True):
            saved = np.array(weight)
            weight.assign(np.array(average))
            average.assign(saved)
