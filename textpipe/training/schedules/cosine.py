"""Half a cosine from the full learning rate to the lowest (Loshchilov and Hutter, 2017, equation 5, no restarts)."""

import math
from typing import Literal

from pydantic import Field

from textpipe.config.sections import Section


class Config(Section):
    """Decays the learning rate within `steps` after the warm-up to the fraction `lowest`."""

    kind: Literal["cosine"] = "cosine"
    steps: int = Field(default=0, ge=0)  # steps of the decay; 0: the rest of the planned run
    lowest: float = Field(default=0.0, ge=0, le=1)  # final fraction of the learning rate
    warmup_steps: int = Field(default=0, ge=0)  # steps of linear warm-up from 0


def factor(config: Config, step: int, total_steps: int, losses: list[float]) -> float:
    """lowest + (1 - lowest) * (1 + cos(pi * done)) / 2; see constant.factor for the arguments.

    steps = 100: 1.0 near step 1, 0.5 at step 50, 0.0 from step 100 on
    """
    if step < config.warmup_steps:
        return step / config.warmup_steps
    span = config.steps or max(1, total_steps - config.warmup_steps)
    done = min(1.0, (step - config.warmup_steps) / span)
    return config.lowest + (1 - config.lowest) * (1 + math.cos(math.pi * done)) / 2
