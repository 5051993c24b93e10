"""The median rule: ends a trial whose best value so far is worse than the median of the others at the same validation.

Golovin et al. 2017 (Google Vizier), section 3.2.2; the others count with their value at that validation.
"""

from typing import Any, Literal

from pydantic import Field

from textpipe.config.sections import Section


class Config(Section):
    """Compares each validation with those of finished trials."""

    kind: Literal["median"] = "median"
    startup_trials: int = Field(default=5, ge=1)  # trials that are finished before any is ended early
    warmup: int = Field(default=0, ge=0)  # validations of each trial before it may be ended


def pruner(config: Config) -> Any:
    """An Optuna pruner."""
    from optuna.pruners import MedianPruner

    # The first validation is step 1, where Optuna counts from 0.
    return MedianPruner(n_startup_trials=config.startup_trials, n_warmup_steps=config.warmup + 1)
