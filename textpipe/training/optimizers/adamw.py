"""Adam with decoupled weight decay (Loshchilov and Hutter, 2019, algorithm 2)."""

from typing import Literal

from pydantic import Field

from textpipe.config.sections import Section


class Config(Section):
    """Adam's step plus w <- w - learning_rate * weight_decay * w; vectors (biases, norms) do not decay."""

    kind: Literal["adamw"] = "adamw"
    learning_rate: float = Field(default=0.001, gt=0)  # step size
    weight_decay: float = Field(default=0.01, ge=0)  # weight decay relative to the learning rate
    beta_1: float = Field(default=0.9, ge=0, lt=1)  # decay rate of the running mean of gradients
    beta_2: float = Field(default=0.999, ge=0, lt=1)  # decay rate of the running mean of squared gradients
    epsilon: float = Field(default=1e-7, gt=0)  # added for numerical stability


def copies(config: Config) -> int:
    """Arrays as large as the weights that training needs: weights, gradients with and without a penalty, their update, two moments."""
    return 6


def build(config: Config, variables=()):
    """The Keras optimizer with these settings; variables with fewer than two axes do not decay."""
    import keras

    optimizer = keras.optimizers.AdamW(
        config.learning_rate,
        weight_decay=config.weight_decay,
        beta_1=config.beta_1,
        beta_2=config.beta_2,
        epsilon=config.epsilon,
    )
    vectors = [variable for variable in variables if len(variable.shape) < 2]
    if vectors:
        optimizer.exclude_from_weight_decay(var_list=vectors)
    return optimizer
