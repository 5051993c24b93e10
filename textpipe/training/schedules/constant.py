"""The learning rate stays as it is, after an optional warm-up."""

from typing import Literal

from pydantic import Field

from textpipe.config.sections import Section


class Config(Section):
    """warmup_steps: steps over which the rate climbs in a straight line from 0."""

    kind: Literal["constant"] = "constant"
    warmup_steps: int = Field(default=0, ge=0)


def factor(config: Config, step: int, total_steps: int, losses: list[float]) -> float:
    """What the learning rate is multiplied with at a step.

    step counts from 1 over the whole run, total_steps is how many are planned, losses are the validation losses so
    far, oldest first. Pure, so that a resumed run has no state of the schedule to restore.

    warmup_steps = 4: 0.25 at step 1, 1.0 from step 4 on
    """
    return min(1.0, step / config.warmup_steps) if config.warmup_steps else 1.0
