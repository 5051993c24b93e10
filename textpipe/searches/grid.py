"""Grid search: every combination of values once, in an order drawn by the seed.

A range contributes its multiples of `step`, or `points` values at equal distances, which with log = true are equal ratios.
"""

import random
from typing import Any, Literal

from pydantic import Field

from textpipe.config.sections import Section


class Config(Section):
    """All combinations of values that the conditions of [tune.settings] allow."""

    kind: Literal["grid"] = "grid"
    points: int = Field(default=5, ge=2, le=1000)  # number of values of a range without a step


def num_trials(config: Config, space: Any) -> int:
    """The number of combinations."""
    return len(space.grid(config.points))


def sampler(config: Config, space: Any, *, seed: int, index: int) -> Any:
    """An Optuna sampler that proposes combination number `index` of the drawn order."""
    from optuna.samplers import BaseSampler

    combinations = space.grid(config.points)
    order = random.Random(seed).sample(range(len(combinations)), len(combinations))
    chosen = combinations[order[index % len(order)]]

    class Grid(BaseSampler):
        """Proposes the values of one combination."""

        def infer_relative_search_space(self, study, trial):
            return {}

        def sample_relative(self, study, trial, search_space):
            return {}

        def sample_independent(self, study, trial, param_name, param_distribution):
            return chosen[param_name]

    return Grid()
