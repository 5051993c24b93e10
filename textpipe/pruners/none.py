"""No trial ends early."""

from typing import Any, Literal

from textpipe.config.sections import Section


class Config(Section):
    """Every trial trains to its end."""

    kind: Literal["none"] = "none"


def pruner(config: Config) -> Any:
    """An Optuna pruner."""
    from optuna.pruners import NopPruner

    return NopPruner()
