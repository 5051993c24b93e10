"""RMSProp: gradients divided by the root of their running mean square (Tieleman and Hinton, 2012)."""

from typing import Literal

from pydantic import Field

from textpipe.config.sections import Section


class Config(Section):
    """a <- rho * a + (1 - rho) * gradient^2;  w <- w - learning_rate * gradient / sqrt(a + epsilon)."""

    kind: Literal["rmsprop"] = "rmsprop"
    learning_rate: float = Field(default=0.001, gt=0)  # the size of a step
    rho: float = Field(default=0.9, ge=0, lt=1)  # decay of the squares' running mean
    momentum: float = Field(default=0.0, ge=0, lt=1)  # share of the last step that is taken again
    epsilon: float = Field(default=1e-7, gt=0)  # keeps the division from 0


def build(config: Config, variables=()):
    """The keras optimizer of this section."""
    import keras

    return keras.optimizers.RMSprop(
        config.learning_rate, rho=config.rho, momentum=config.momentum, epsilon=config.epsilon
    )
