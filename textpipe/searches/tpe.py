"""Tree-structured Parzen estimator: tries what is likely among the good trials and unlikely among the others.

Bergstra et al. 2011, in Optuna's version (Watanabe 2023).
"""

from typing import Any, Literal

from pydantic import Field

from textpipe.config.sections import Section


class Config(Section):
    """Models the settings of good and of other trials, and draws candidates from the model of the good ones."""

    kind: Literal["tpe"] = "tpe"
    startup_trials: int = Field(default=10, ge=1)  # random trials before the model is used
    candidates: int = Field(default=24, ge=1)  # draws from the model, the most promising of which is tried


def sampler(config: Config, space: Any, *, seed: int, index: int) -> Any:
    """An Optuna sampler; settings that only some trials have are modelled each on its own, the others jointly."""
    from optuna.samplers import TPESampler

    from textpipe.searches import _seeds

    return TPESampler(
        n_startup_trials=config.startup_trials,
        n_ei_candidates=config.candidates,
        seed=_seeds.of_trial(seed, index),
    )
