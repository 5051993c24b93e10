"""Linear warm-up, then the inverse square root of the step (Vaswani et al., 2017, equation 3, scaled to peak at 1).

The constant d_model^-0.5 of equation 3 is left to the learning rate: for the rates of the paper, set
learning_rate = d_model^-0.5 * warmup_steps^-0.5.
"""

from typing import Literal

from pydantic import Field

from textpipe.config.sections import Section


class Config(Section):
    """warmup_steps: step at which the learning rate peaks."""

    kind: Literal["inverse_square_root"] = "inverse_square_root"
    warmup_steps: int = Field(default=4000, gt=0)


def factor(config: Config, step: int, total_steps: int, losses: list[float]) -> float:
    """min(step / warmup_steps, sqrt(warmup_steps / step)); see constant.factor for the arguments.

    warmup_steps = 4000: 0.5 at step 2000, 1.0 at step 4000, 0.5 at step 16000
    """
    return min(step / config.warmup_steps, (config.warmup_steps / step) ** 0.5)
