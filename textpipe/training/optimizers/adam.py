"""Adam (Kingma and Ba, 2015, algorithm 1)."""

from typing import Literal

from pydantic import Field

from textpipe.config.sections import Section


class Config(Section):
    """Running means of the gradient (beta_1) and of its square (beta_2), with bias correction."""

    kind: Literal["adam"] = "adam"
    learning_rate: float = Field(default=0.001, gt=0)  # step size
    beta_1: float = Field(default=0.9, ge=0, lt=1)  # decay rate of the running mean of gradients
    beta_2: float = Field(default=0.999, ge=0, lt=1)  # decay rate of the running mean of squared gradients
    epsilon: float = Field(default=1e-7, gt=0)  # added for numerical stability


def copies(config: Config) -> int:
    """Arrays as large as the weights that training needs: weights, gradients with and without a penalty, their update, two moments."""
    return 6


def build(config: Config, variables=()):
    """The Keras optimizer with these settings."""
    import keras

    return keras.optimizers.Adam(
        config.learning_rate, beta_1=config.beta_1, beta_2=config.beta_2, epsilon=config.epsilon
    )
