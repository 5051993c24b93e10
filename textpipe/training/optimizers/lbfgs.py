"""L-BFGS on the whole training split at once, for convex models: see training/lbfgs.py.

No randomness and no learning rate. A run that is killed starts over: it takes seconds.
"""

import logging
from typing import Any, Literal

from pydantic import Field

from textpipe.config import Section
from textpipe.errors import ConfigError

log = logging.getLogger(__name__)


class Config(Section):
    """Stops when no entry of the gradient of the mean loss is over `tolerance` (scikit-learn's `tol`), or after
    `max_iterations`. memory: how many curvature pairs are kept.
    """

    kind: Literal["lbfgs"] = "lbfgs"
    tolerance: float = Field(default=1e-4, gt=0)  # of the gradient's largest entry, at which the search is over
    max_iterations: int = Field(default=1000, ge=1)  # iterations after which it ends in any case
    memory: int = Field(default=10, ge=1)


def minimize(config: Config, model, train, valid, settings) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Brings the model's weights to the minimum of its objective over `train`.

    Returns the summary and the history that loop.fit documents: a line per iteration with `loss` (objective per row) and
    `gradient_norm`, the last one with the validation metrics. Raises ConfigError for a model that is not convex, and for
    an L1 penalty, which has no gradient at 0.
    """
    import numpy as np
    import tensorflow as tf

    from textpipe.training import batches, lbfgs
    from textpipe.training.full_batch import Objective
    from textpipe.training.steps import Steps

    if not getattr(model, "convex", False):
        raise ConfigError('[train] optimizer lbfgs: expects logistic_regression; set optimizer = "adam" for this model')
    if model.l1:
        raise ConfigError(f'[train] optimizer lbfgs: cannot follow l1 = {model.l1:g}; set it to 0 or optimizer = "adam"')
    objective = Objective(model, train)
    history: list[dict[str, Any]] = []

    def report(value: float, gradient: np.ndarray) -> None:
        norm = float(np.linalg.norm(gradient))
        history.append({"epoch": len(history) + 1, "step": len(history) + 1, "loss": value, "gradient_norm": norm})

    limits = {"tolerance": config.tolerance, "max_iterations": config.max_iterations, "memory": config.memory}
    result = lbfgs.minimize(objective, objective.start(), report=report, **limits)
    objective.assign(result.point)
    if result.stopped != "converged":
        largest = float(np.abs(result.gradient).max())
        cure = "raise max_iterations" if result.stopped == "iterations" else "float32 allows no nearer"
        log.warning("lbfgs: gradient %.1e after %d iterations, asked for %g; %s", largest, result.iterations, config.tolerance, cure)
    if not history:  # the start was the minimum
        report(result.value, result.gradient)
    if valid:
        steps = Steps(model, None, settings, tf.distribute.get_strategy(), len(train))
        history[-1] |= steps.validate(valid, batches.plan(valid, settings).epoch(0))
    summary = {"stopped": result.stopped, "epochs": result.iterations, "steps": result.calls, "best": history[-1]}
    return summary, history
