"""Adagrad: steps shrink where gradients have been large (Duchi, Hazan and Singer, 2011)."""

from typing import Literal

from pydantic import Field

from textpipe.config.sections import Section


class Config(Section):
    """a <- a + gradient^2;  w <- w - learning_rate * gradient / sqrt(a + epsilon)."""

    kind: Literal["adagrad"] = "adagrad"
    learning_rate: float = Field(default=0.1, gt=0)  # step size
    initial_accumulator: float = Field(default=0.1, ge=0)  # initial value of the sum of squares
    epsilon: float = Field(default=1e-7, gt=0)  # added for numerical stability


def copies(config: Config) -> int:
    """Arrays as large as the weights that training needs: weights, gradients with and without a penalty, their update, squares."""
    return 5


def build(config: Config, variables=()):
    """The Keras optimizer with these settings."""
    import keras

    return keras.optimizers.Adagrad(
        config.learning_rate, initial_accumulator_value=config.initial_accumulator, epsilon=config.epsilon
    )
