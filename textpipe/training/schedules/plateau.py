"""Reduces the learning rate when the validation loss stops improving."""

from typing import Literal

from pydantic import Field

from textpipe.config.sections import Section


class Config(Section):
    """Multiplies the learning rate by `decrease` after `patience` validations without a new best."""

    kind: Literal["plateau"] = "plateau"
    decrease: float = Field(default=0.5, gt=0, lt=1)  # factor of the learning rate
    patience: int = Field(default=1, ge=1)  # validations without a new best before a decrease
    min_delta: float = Field(default=0.0, ge=0)  # smaller improvements do not count
    lowest: float = Field(default=0.0, ge=0, le=1)  # lowest fraction of the learning rate
    warmup_steps: int = Field(default=0, ge=0)  # steps of linear warm-up from 0


def factor(config: Config, step: int, total_steps: int, losses: list[float]) -> float:
    """decrease ** (number of plateaus so far); see constant.factor for the arguments.

    patience = 1, losses 3, 2, 2.5, 1.9, 2, 2: 1.0, 1.0, 0.5, 0.5, 0.25, 0.125
    """
    if step < config.warmup_steps:
        return step / config.warmup_steps
    best, waited, plateaus = float("inf"), 0, 0
    for loss in losses:
        if loss < best - config.min_delta:
            best, waited = loss, 0
            continue
        waited += 1
        if waited == config.patience:
            waited, plateaus = 0, plateaus + 1
    return max(config.lowest, config.decrease**plateaus)
