"""Exponential decay of the learning rate."""

from typing import Literal

from pydantic import Field

from textpipe.config.sections import Section


class Config(Section):
    """Multiplies the learning rate by `rate` every `steps` steps, smoothly, after the warm-up."""

    kind: Literal["exponential"] = "exponential"
    rate: float = Field(default=0.5, gt=0, le=1)  # factor of the learning rate
    steps: int = Field(default=1000, gt=0)  # steps over which it decays by this factor
    warmup_steps: int = Field(default=0, ge=0)  # steps of linear warm-up from 0


def factor(config: Config, step: int, total_steps: int, losses: list[float]) -> float:
    """rate ** ((step - warmup_steps) / steps); see constant.factor for the arguments.

    rate = 0.5, steps = 1000: 1.0 near step 1, 0.5 at step 1000, 0.25 at step 2000
    """
    if step < config.warmup_steps:
        return step / config.warmup_steps
    return config.rate ** ((step - config.warmup_steps) / config.steps)
