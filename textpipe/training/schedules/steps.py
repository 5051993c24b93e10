"""The learning rate falls in steps: by the same factor after each of several equal parts of a run."""

from typing import Literal

from pydantic import Field

from textpipe.config.sections import Section


class Config(Section):
    """Divides the run into `parts` parts of equally many updates.

    Multiplies the learning rate by `rate` at the start of each part after the `first`.
    """

    kind: Literal["steps"] = "steps"
    parts: int = Field(default=4, ge=1)  # number of parts; 100 epochs in 4 parts have a new rate every 25 epochs
    first: int = Field(default=1, ge=1)  # parts with the full rate
    rate: float = Field(default=0.5, gt=0, le=1)  # factor between one part and the next
    warmup_steps: int = Field(default=0, ge=0)  # steps of linear warm-up from 0


def factor(config: Config, step: int, total_steps: int, losses: list[float]) -> float:
    """rate ** (whole parts before the step, from the `first` on); see constant.factor for the arguments.

    parts = 4, rate = 0.5, 1000 steps: 1.0 up to step 250, 0.5 up to 500, 0.25 up to 750, then 0.125; first = 2: 1.0 up to 500
    """
    if step < config.warmup_steps:
        return step / config.warmup_steps
    part = min(config.parts - 1, (step - 1) * config.parts // max(total_steps, 1))
    return config.rate ** max(0, part - config.first + 1)
