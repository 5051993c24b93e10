"""Stochastic gradient descent, with momentum (Polyak, 1964) or Nesterov's momentum (1983)."""

from typing import Literal

from pydantic import Field

from textpipe.config import Section


class Config(Section):
    """v <- momentum * v - learning_rate * gradient;  w <- w + v."""

    kind: Literal["sgd"] = "sgd"
    learning_rate: float = Field(default=0.1, gt=0)
    momentum: float = Field(default=0.0, ge=0, lt=1)
    nesterov: bool = False


def build(config: Config, variables=()):
    """The keras optimizer of this section."""
    import keras

    return keras.optimizers.SGD(config.learning_rate, momentum=config.momentum, nesterov=config.nesterov)
