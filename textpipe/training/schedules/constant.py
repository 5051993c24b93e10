"""A constant learning rate after an optional warm-up."""

from typing import Literal

from pydantic import Field

from textpipe.config.sections import Section


class Config(Section):
    """warmup_steps: steps of linear warm-up from 0."""

    kind: Literal["constant"] = "constant"
    warmup_steps: int = Field(default=0, ge=0)


def factor(config: Config, step: int, total_steps: int, losses: list[float]) -> float:
    """The factor of the learning rate at a step.

    step: from 1, over the whole run. total_steps: number of planned steps. losses: validation losses so far, oldest
    first. The function is pure, so a resumed run has no state of the schedule to restore.

    warmup_steps = 4: 0.25 at step 1, 1.0 from step 4 on
    """
    return min(1.0, step / config.warmup_steps) if config.warmup_steps else 1.0
