"""Full learning rate until validation first fails to improve, then halved at every validation (Luong et al., 2015)."""

from typing import Literal

from pydantic import Field

from textpipe.config.sections import Section


class Config(Section):
    """Halving starts after `start` validations at the earliest."""

    kind: Literal["halving"] = "halving"
    start: int = Field(default=0, ge=0)  # validations before halving may start
    warmup_steps: int = Field(default=0, ge=0)  # steps of linear warm-up from 0


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
