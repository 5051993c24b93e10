"""Stochastic gradient descent, with momentum (Polyak, 1964) or Nesterov's momentum (1983)."""

from typing import Literal

from pydantic import Field

from textpipe.config import Section


class Config(Section):
    """v <- momentum * v - learning_rate * gradient;  w <- w + v."""

    kind: Literal["sgd"] = "sgd"
    learning_rate: float = Field(default=0.1, gt=0)  # the size of a step
    momentum: float = Field(default=0.0, ge=0, lt=1)  # share of the last step that is taken again
    nesterov: bool = False  # take the gradient where momentum leads to


def build(config: Config, variables=()):
    """The keras optimizer of this section."""
    import keras

    return keras.optimizers.SGD(config.learning_rate, momentum=config.momentum, nesterov=config.nesterov)
