"""L-BFGS on the whole training split at once, for convex models; see training/lbfgs.py.

There is no randomness and no learning rate. A killed run starts over: training takes seconds. With an L1 penalty it is OWL-QN
(training/owlqn.py), and the weights that do not help are exactly 0.
"""

import logging
from typing import Any, Literal

from pydantic import Field

from textpipe.config.sections import Section
from textpipe.errors import ConfigError
from textpipe.training import full_batch_settings, weight_memory

FITS_PATH = True

log = logging.getLogger(__name__)


class Config(Section):
    """Stops when no entry of the gradient of the mean loss exceeds `tolerance` (scikit-learn's `tol`), or after
    `max_iterations`.

    memory: number of curvature pairs.
    min_decrease: also stop when each of five iterations lowered the loss by less than this share of it. With 77 classes and character
        n-grams, 0.002 took a quarter of the iterations and cost 0.4 points of accuracy.
    """

    kind: Literal["lbfgs"] = "lbfgs"
    tolerance: float = Field(default=1e-4, gt=0)  # stop when no entry of the gradient is larger than this
    max_iterations: int = Field(default=1000, ge=1)  # maximum number of iterations
    memory: int = Field(default=10, ge=1)
    min_decrease: float = Field(default=0.0, ge=0, lt=1)


def copies(config: Config) -> int:
    """Arrays as large as the weights that training needs: of the model, and copies on their way to it; `minimize` checks the rest."""
    return 3


def unused(name: str) -> str | None:
    """Why the setting `name` of [train] has no effect; None if it has one."""
    return full_batch_settings.unused("lbfgs", name)


def conflicts(model: Any) -> list[str]:
    """Settings of [model] that this optimizer cannot follow."""
    if getattr(model, "loss", None) == "hinge":
        return [
            'optimizer: lbfgs needs a differentiable loss, not "hinge"; set [model] loss = "squared_hinge", or optimizer "liblinear"'
        ]
    return []


def minimize(config: Config, model, train, valid, settings, objective) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Minimizes the model's objective over `train`; of several values of l2, keeps the best on `valid`.

    Returns the summary and the history as documented in loop.fit: an entry per iteration with `loss` (objective per row)
    and `gradient_norm`, the last one of each l2 with the validation metrics; with an L1 penalty the summary has `nonzero`, the number of
    weights that are not 0. Raises ConfigError for a model that is not convex, for the loss "hinge", which has no gradient at its
    corner, and if the weights do not fit into memory.
    """
    import numpy as np

    from textpipe.training import lbfgs, owlqn
    from textpipe.training.full_batch import Objective
    from textpipe.training.l2_path import Path
    from textpipe.training.telemetry.progress import FitProgress

    if not getattr(model, "convex", False):
        raise ConfigError('[train] optimizer lbfgs: expects logistic_regression; set optimizer = "adam" for this model')
    if getattr(model, "row_loss", "logistic") == "hinge":
        raise ConfigError(
            '[train] optimizer lbfgs: the loss "hinge" is not differentiable at its kink; set [model] loss = "squared_hinge" or '
            'optimizer = "liblinear"'
        )
    function = Objective(model, train)
    check_memory(config, function)
    path = Path(function, train, valid, settings, objective)
    history: list[dict[str, Any]] = []
    iterations = calls = 0
    with FitProgress(path.values, "iterations") as progress:

        def report(value: float, gradient: np.ndarray) -> None:
            norm = float(np.linalg.norm(gradient))
            history.append({"epoch": len(history) + 1, "step": len(history) + 1, "loss": value, "gradient_norm": norm})
            progress.show(len(history) - before, f"loss {value:.4f}, gradient {norm:.1e}")

        for number, l2 in enumerate(path, 1):
            progress.start_fit(number)
            # For a weaker penalty, gradients near the optimum are smaller: (change of l2) * weight / rows.
            tolerance = config.tolerance * (min(1.0, l2) if len(path.values) > 1 and l2 else 1.0)
            limits: dict[str, Any] = {
                "tolerance": tolerance,
                "max_iterations": config.max_iterations,
                "memory": config.memory,
                "min_decrease": config.min_decrease,
            }
            function.penalize(l2)
            # The optimum of the previous, stronger penalty is near.
            start = function.rescale(path.last.weights) if path.last else function.start()
            before = len(history)
            if model.l1:
                result = owlqn.minimize(function, start, function.l1(), report=report, **limits)
            else:
                result = lbfgs.minimize(function, start, report=report, steepest=function.steepest, **limits)
            function.assign(result.point)
            if result.stopped != "converged":
                largest = function.steepest(result.gradient)
                cure = "raise max_iterations" if result.stopped == "iterations" else "float32 allows no better"
                log.warning(
                    "lbfgs: gradient %.1e after %d iterations, tolerance %g; %s",
                    largest,
                    result.iterations,
                    tolerance,
                    cure,
                )
            if len(history) == before:  # the start was the minimum
                report(result.value, result.gradient)
            iterations, calls = iterations + result.iterations, calls + result.calls
            path.add(l2, history[-1], function.weights(result.point), result.stopped)
    best_fit = path.finish()
    summary = {"stopped": best_fit.stopped, "epochs": iterations, "steps": calls, "best": best_fit.line}
    if model.l1:
        summary["nonzero"] = int(sum(np.count_nonzero(np.asarray(kernel.value)) for kernel in model.kernels))
    return summary, history


def check_memory(config: Config, function: Any) -> None:
    """Raises ConfigError if the curvature pairs of the merged columns and the slopes of all rows do not fit into the memory that is free."""
    points = (function.dim + 1) * (2 * config.memory + 6) + 3 * function.num_rows
    needed = weight_memory.FLOAT * points * function.num_logits
    cure = ', lower optimizer.memory, or set [model] loss = "squared_hinge" and optimizer = "liblinear"'
    weight_memory.check("lbfgs", function.dim, function.num_logits, needed, cure)
