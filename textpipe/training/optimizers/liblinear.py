"""Dual coordinate descent for hinge losses: LIBLINEAR by way of scikit-learn's LinearSVC.

Hsieh, Chang, Lin, Keerthi and Sundararajan, 2008, A Dual Coordinate Descent Method for Large-scale Linear SVM; Fan et al., 2008, LIBLINEAR.
Each class is fitted against the rest (training/one_vs_rest.py). Equal columns are merged first (training/merged_columns.py), which saves a
quarter of the time.
"""

import logging
from typing import Any, Literal

from pydantic import Field

from textpipe.config.sections import Section
from textpipe.errors import ConfigError
from textpipe.training import full_batch_settings

FITS_PATH = True

log = logging.getLogger(__name__)


class Config(Section):
    """Stops when no dual variable violates its optimality by more than `tolerance`, or after `max_iterations` passes.

    tolerance: LIBLINEAR's default, 0.1, takes two thirds of the time of scikit-learn's, 0.0001, at the same accuracy.
    bias_scale: the bias is penalized like the weight of a feature of this value (scikit-learn's intercept_scaling).
    """

    kind: Literal["liblinear"] = "liblinear"
    tolerance: float = Field(default=0.1, gt=0)
    max_iterations: int = Field(default=1000, ge=1)  # maximum number of passes over the rows
    bias_scale: float = Field(default=1.0, gt=0)


def copies(config: Config) -> int:
    """Arrays as large as the weights that training needs: of the model, of two fits, and copies on their way to it."""
    return 5


def unused(name: str) -> str | None:
    """Why the setting `name` of [train] has no effect; None if it has one."""
    if name == "init":
        return "liblinear has a single optimum, wherever the search starts; leave it out"
    return full_batch_settings.unused("liblinear", name)


def conflicts(model: Any) -> list[str]:
    """Settings of [model] that this optimizer does not fit."""
    if getattr(model, "loss", None) not in ("hinge", "squared_hinge"):
        return ['optimizer: liblinear fits hinge losses; set [model] loss = "squared_hinge", or optimizer to "lbfgs"']
    if model.l1:
        return ['optimizer: liblinear does not support l1; set [model] l1 to 0, or optimizer to "lbfgs"']
    strengths = model.l2 if isinstance(model.l2, list) else [model.l2]
    return [] if all(strengths) else ["optimizer: liblinear needs a penalty; set [model] l2 above 0"]


def minimize(config: Config, model, train, valid, settings, objective) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Minimizes the model's objective over `train`, with the bias penalized; of several values of l2, keeps the best on `valid`.

    Returns the summary and the history as documented in loop.fit: an entry per value of l2, with the validation metrics. Raises
    ConfigError for other models and losses, and for an L1 penalty.
    """
    from textpipe.data.columns import Labels
    from textpipe.training import one_vs_rest
    from textpipe.training.full_batch import Objective, num_entries
    from textpipe.training.l2_path import Path

    if getattr(model, "row_loss", "logistic") == "logistic":
        raise ConfigError(
            '[train] optimizer liblinear: expects logistic_regression with a hinge loss; set [model] loss = "squared_hinge", or '
            'optimizer = "adam" for this model'
        )
    if model.l1:
        raise ConfigError(
            '[train] optimizer liblinear: does not support l1; set [model] l1 to 0, or optimizer = "lbfgs"'
        )
    if not all(getattr(model, "l2_path", (model.l2,))):
        raise ConfigError("[train] optimizer liblinear: needs a penalty; set [model] l2 above 0")
    num_fits = len(getattr(model, "l2_path", (model.l2,)))
    num_parts = one_vs_rest.count_parts(model.num_logits) if isinstance(train.target, Labels) else model.num_logits
    with one_vs_rest.processes(num_entries(train), model.num_logits, num_parts, num_fits) as engine:
        function = Objective(model, train)
        problem = one_vs_rest.Problem(function.matrix(), function.signs, function.row_weights)
        path = Path(function, train, valid, settings, objective)
        return fit_path(path, one_vs_rest.Fits(problem, engine), config, settings)


def fit_path(path: Any, fits: Any, config: Config, settings: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The summary and the history of the fits with each value of l2 of an l2_path.Path; the best weights are left in the model."""
    from textpipe.training.telemetry.progress import FitProgress

    function, model = path.function, path.function.model
    options: dict[str, Any] = {
        "loss": model.row_loss, "tol": config.tolerance, "max_iter": config.max_iterations, "random_state": settings.seed,
        "intercept_scaling": config.bias_scale, "dual": True,
    }  # fmt: skip
    history: list[dict[str, Any]] = []
    with FitProgress(path.values, "classes", model.num_logits) as progress:
        for number, l2 in enumerate(path, 1):
            progress.start_fit(number)
            function.penalize(l2)
            weights, passes = fits.fit({"C": 1 / l2, **options}, progress.show)
            stopped = "converged" if passes < config.max_iterations else "iterations"
            if stopped == "iterations":
                log.warning("liblinear: %d passes did not suffice; raise max_iterations or tolerance", passes)
            point = function.rescale(weights)
            function.assign(point)
            line: dict[str, Any] = {"epoch": number, "step": number}
            if model.row_loss == "squared_hinge":
                line["loss"] = function(point)[0]
            history.append(line)
            path.add(l2, line, weights, stopped)
    best_fit = path.finish()
    return {"stopped": best_fit.stopped, "epochs": len(history), "steps": len(history), "best": best_fit.line}, history
