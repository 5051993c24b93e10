"""Random search: every trial draws its settings independently (Bergstra and Bengio 2012)."""

from typing import Any, Literal

from textpipe.config.sections import Section


class Config(Section):
    """Values of a list are equally likely, those of a range uniform, with log = true in their logarithm."""

    kind: Literal["random"] = "random"


def sampler(config: Config, space: Any, *, seed: int, index: int) -> Any:
    """An Optuna sampler."""
    from optuna.samplers import RandomSampler

    from textpipe.searches import _seeds

    return RandomSampler(seed=_seeds.of_trial(seed, index))
