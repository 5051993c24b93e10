"""RMSProp: gradients divided by the root of their running mean square (Tieleman and Hinton, 2012)."""

from typing import Literal

from pydantic import Field

from textpipe.config.sections import Section


class Config(Section):
    """a <- rho * a + (1 - rho) * gradient^2;  w <- w - learning_rate * gradient / sqrt(a + epsilon)."""

    kind: Literal["rmsprop"] = "rmsprop"
    learning_rate: float = Field(default=0.001, gt=0)  # step size
    rho: float = Field(default=0.9, ge=0, lt=1)  # decay rate of the running mean of squared gradients
    momentum: float = Field(default=0.0, ge=0, lt=1)  # share of the previous step that is added to the next
    epsilon: float = Field(default=1e-7, gt=0)  # added for numerical stability


def copies(config: Config) -> int:
    """Arrays as large as the weights that training needs: weights, gradients with and without a penalty, their update, squares, momentum."""
    return 5 + bool(config.momentum)


def build(config: Config, variables=()):
    """The Keras optimizer with these settings."""
    import keras

    return keras.optimizers.RMSprop(
        config.learning_rate, rho=config.rho, momentum=config.momentum, epsilon=config.epsilon
    )
