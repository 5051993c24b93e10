"""Half a cosine from the full learning rate to the lowest (Loshchilov and Hutter, 2017, equation 5, no restarts)."""

import math
from typing import Literal

from pydantic import Field

from textpipe.config.sections import Section


class Config(Section):
    """`steps` from the end of the warm-up to `lowest` (a fraction of the rate); 0 means the whole planned run."""

    kind: Literal["cosine"] = "cosine"
    steps: int = Field(default=0, ge=0)  # from the warm-up to the lowest rate; 0: the whole planned run
    lowest: float = Field(default=0.0, ge=0, le=1)  # where the rate ends, as a fraction of it
    warmup_steps: int = Field(default=0, ge=0)  # steps over which the rate climbs in a straight line from 0


def factor(config: Config, step: int, total_steps: int, losses: list[float]) -> float:
    """lowest + (1 - lowest) * (1 + cos(pi * done)) / 2; see constant.factor for the arguments.

    steps = 100: 1.0 near step 1, 0.5 at step 50, 0.0 from step 100 on
    """
    if step < config.warmup_steps:
        return step / config.warmup_steps
    span = config.steps or max(1, total_steps - config.warmup_steps)
    done = min(1.0, (step - config.warmup_steps) / span)
    return config.lowest + (1 - config.lowest) * (1 + math.cos(math.pi * done)) / 2
