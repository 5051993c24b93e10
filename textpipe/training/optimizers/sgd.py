"""Stochastic gradient descent, with momentum (Polyak, 1964) or Nesterov's momentum (1983)."""

from typing import Literal

from pydantic import Field, model_validator

from textpipe.config.sections import Section


class Config(Section):
    """v <- momentum * v - learning_rate * gradient;  w <- w + v."""

    kind: Literal["sgd"] = "sgd"
    learning_rate: float = Field(default=0.1, gt=0)  # step size
    momentum: float = Field(default=0.0, ge=0, lt=1)  # share of the previous step that is added to the next
    nesterov: bool = False  # use Nesterov momentum

    @model_validator(mode="after")
    def nesterov_has_momentum(self):
        if self.nesterov and not self.momentum:
            raise ValueError(
                "nesterov: needs momentum, which is 0; set momentum, 0.9 for example, or leave nesterov out"
            )
        return self


def copies(config: Config) -> int:
    """Arrays as large as the weights that training needs: weights, gradients with and without a penalty, their update, momentum."""
    return 4 + bool(config.momentum)


def build(config: Config, variables=()):
    """The Keras optimizer with these settings."""
    import keras

    return keras.optimizers.SGD(config.learning_rate, momentum=config.momentum, nesterov=config.nesterov)
