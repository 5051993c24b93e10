"""Full learning rate until validation first fails to improve, then halved at every validation (Luong et al., 2015)."""

from typing import Literal

from pydantic import Field

from textpipe.config.sections import Section


class Config(Section):
    """`start` validations pass before a halving may begin; 0 lets the first failure begin it."""

    kind: Literal["halving"] = "halving"
    start: int = Field(default=0, ge=0)  # validations before a halving may begin
    warmup_steps: int = Field(default=0, ge=0)  # steps over which the rate climbs in a straight line from 0


def factor(config: Config, step: int, total_steps: int, losses: list[float]) -> float:
    """0.5 ** (validations since the first without a new best, itself counted); see constant.factor for the arguments.

    losses 3, 2, 2.5, 1.9, 1.8: 1.0, 1.0, 0.5, 0.25, 0.125
    """
    if step < config.warmup_steps:
        return step / config.warmup_steps
    best = float("inf")
    for position, loss in enumerate(losses):
        if loss >= best and position >= config.start:
            return 0.5 ** (len(losses) - position)
        best = min(best, loss)
    return 1.0
