"""The original schedule of the transformer, including its width (Vaswani et al., 2017, equation 3)."""

from typing import Literal

from pydantic import Field

from textpipe.config.sections import Section


class Config(Section):
    """Equation 3 times the optimizer's learning_rate: 1 is that of the paper, 2 is usual.

    d_model: width of the model.
    """

    kind: Literal["noam"] = "noam"
    d_model: int = Field(default=512, ge=1)
    warmup_steps: int = Field(default=4000, gt=0)  # step at which the learning rate peaks


def factor(config: Config, step: int, total_steps: int, losses: list[float]) -> float:
    """d_model^-0.5 * min(step^-0.5, step * warmup_steps^-1.5); see constant.factor for the arguments.

    d_model = 512, warmup_steps = 4000: 0.000349 at step 2000, 0.000699 at step 4000, 0.000349 at step 16000
    """
    return config.d_model**-0.5 * min(step**-0.5, step * config.warmup_steps**-1.5)
