"""L-BFGS on the whole training split at once, for convex models (Liu and Nocedal, 1989; scipy's L-BFGS-B).

The gradient is TensorFlow's, by autodiff; the line search and the curvature pairs are scipy's. No randomness and no
learning rate. A run that is killed starts over: it takes seconds.
"""

import logging
from typing import Any, Literal

from pydantic import Field

from textpipe.config import Section
from textpipe.errors import ConfigError

log = logging.getLogger(__name__)


class Config(Section):
    """Stops when no entry of the gradient of the mean loss is over `tolerance`, or after `max_iterations`.

    memory: how many curvature pairs are kept.
    """

    kind: Literal["lbfgs"] = "lbfgs"
    tolerance: float = Field(default=1e-4, gt=0)
    max_iterations: int = Field(default=1000, ge=1)
    memory: int = Field(default=10, ge=1)


def minimize(config: Config, model, train, valid, settings) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Brings the model's weights to the minimum of its objective over `train`.

    Returns the summary and the history that loop.fit documents: a line per iteration with `loss` (objective per row) and
    `gradient_norm`, the last one with the validation metrics.
    """
    import numpy as np
    import scipy.optimize

    from textpipe.training.full_batch import Objective

    if not getattr(model, "convex", False):
        raise ConfigError("[train] optimizer lbfgs: expects logistic_regression; set optimizer = \"adam\" for this model")
    if model.l1:
        raise ConfigError(f"[train] optimizer lbfgs: cannot follow l1 = {model.l1:g}; set it to 0 or optimizer = \"adam\"")
    variables = model.trainable_variables
    shapes = [tuple(variable.shape) for variable in variables]
    cuts = np.cumsum([int(np.prod(shape)) for shape in shapes])[:-1]
    objective = Objective(model, train, settings)
    history: list[dict[str, Any]] = []
    seen: dict[str, float] = {}

    def assign(flat) -> None:
        for variable, part, shape in zip(variables, np.split(flat, cuts), shapes, strict=True):
            variable.assign(part.reshape(shape).astype(np.float32))

    def evaluate(flat):
        assign(flat)
        loss, gradient = objective()
        seen["loss"], seen["gradient_norm"] = loss, float(np.linalg.norm(gradient))
        return loss, gradient

    def iterate(intermediate_result) -> None:
        history.append({"epoch": len(history) + 1, "step": objective.calls, **seen})

    start = np.concatenate([np.asarray(variable).ravel() for variable in variables]).astype(np.float64)
    options = {"maxiter": config.max_iterations, "maxfun": 50 * config.max_iterations, "maxcor": config.memory}
    options |= {"gtol": config.tolerance, "ftol": 64 * np.finfo(float).eps}
    result = scipy.optimize.minimize(evaluate, start, jac=True, method="L-BFGS-B", options=options, callback=iterate)
    assign(result.x)
    if result.nit >= config.max_iterations:
        log.warning("lbfgs: %d iterations were not enough for tolerance %g", result.nit, config.tolerance)
    if not history:  # the start was the minimum
        history.append({"epoch": 1, "step": 0, "loss": float(result.fun), "gradient_norm": 0.0})
    if valid:
        history[-1] |= objective.validate(valid)
    stopped = "epochs" if result.nit >= config.max_iterations else "converged"
    return {"stopped": stopped, "epochs": int(result.nit), "steps": objective.calls, "best": history[-1]}, history
