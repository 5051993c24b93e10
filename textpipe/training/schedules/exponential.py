"""The learning rate falls by the same ratio every so many steps."""

from typing import Literal

from pydantic import Field

from textpipe.config.sections import Section


class Config(Section):
    """Multiplied by `rate` every `steps` steps, smoothly; `warmup_steps` climb to the full rate first."""

    kind: Literal["exponential"] = "exponential"
    rate: float = Field(default=0.5, gt=0, le=1)  # what the learning rate is multiplied by
    steps: int = Field(default=1000, gt=0)  # how many steps that takes
    warmup_steps: int = Field(default=0, ge=0)  # steps over which the rate climbs in a straight line from 0


def factor(config: Config, step: int, total_steps: int, losses: list[float]) -> float:
    """rate ** ((step - warmup_steps) / steps); see constant.factor for the arguments.

    rate = 0.5, steps = 1000: 1.0 near step 1, 0.5 at step 1000, 0.25 at step 2000
    """
    if step < config.warmup_steps:
        return step / config.warmup_steps
    return config.rate ** ((step - config.warmup_steps) / config.steps)
