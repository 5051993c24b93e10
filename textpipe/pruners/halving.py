"""Asynchronous successive halving (Li et al. 2020): only the best share of the trials continues at each rung.

The rungs are at `first`, `first` * `factor`, `first` * `factor`**2, ... validations.
"""

from typing import Any, Literal

from pydantic import Field

from textpipe.config.sections import Section


class Config(Section):
    """Compares each trial that reaches a rung with those that reached it before."""

    kind: Literal["halving"] = "halving"
    first: int = Field(default=1, ge=1)  # validations before the first rung
    factor: int = Field(default=3, ge=2)  # one in this many trials continues


def pruner(config: Config) -> Any:
    """An Optuna pruner."""
    from optuna.pruners import SuccessiveHalvingPruner

    return SuccessiveHalvingPruner(min_resource=config.first, reduction_factor=config.factor)
