"""Adam with decoupled weight decay (Loshchilov and Hutter, 2019, algorithm 2)."""

from typing import Literal

from pydantic import Field

from textpipe.config.sections import Section


class Config(Section):
    """Adam's step, and w <- w - learning_rate * weight_decay * w beside it; vectors (biases, norms) do not decay."""

    kind: Literal["adamw"] = "adamw"
    learning_rate: float = Field(default=0.001, gt=0)  # the size of a step
    weight_decay: float = Field(default=0.01, ge=0)  # share of the rate by which weights shrink
    beta_1: float = Field(default=0.9, ge=0, lt=1)  # decay of the gradient's running mean
    beta_2: float = Field(default=0.999, ge=0, lt=1)  # decay of its square's running mean
    epsilon: float = Field(default=1e-7, gt=0)  # keeps the division from 0


def build(config: Config, variables=()):
    """The keras optimizer of this section; variables of fewer than two axes are left out of the decay."""
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
