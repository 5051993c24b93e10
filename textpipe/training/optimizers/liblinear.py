"""Dual coordinate descent for hinge losses: LIBLINEAR by way of scikit-learn's LinearSVC.

Hsieh, Chang, Lin, Keerthi and Sundararajan, 2008, A Dual Coordinate Descent Method for Large-scale Linear SVM; Fan et al., 2008, LIBLINEAR.
Each class is fitted against the rest. Equal columns are merged first (training/merged_columns.py), which saves a quarter of the time.
On one core: LIBLINEAR's random numbers are shared by all threads, and results would differ from run to run.
"""

import logging
import warnings
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
        return ['optimizer: liblinear cannot follow l1; set [model] l1 to 0, or optimizer to "lbfgs"']
    strengths = model.l2 if isinstance(model.l2, list) else [model.l2]
    return [] if all(strengths) else ["optimizer: liblinear needs a penalty; set [model] l2 above 0"]


def minimize(config: Config, model, train, valid, settings, objective) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Minimizes the model's objective over `train`, with the bias penalized; of several values of l2, keeps the best on `valid`.

    Returns the summary and the history as documented in loop.fit: an entry per value of l2, with the validation metrics. Raises
    ConfigError for other models and losses, and for an L1 penalty.
    """
    import numpy as np
    import tensorflow as tf

    from textpipe.training.batching import batches
    from textpipe.training.full_batch import Objective
    from textpipe.training.steps import Steps

    if getattr(model, "row_loss", "logistic") == "logistic":
        raise ConfigError(
            '[train] optimizer liblinear: expects logistic_regression with a hinge loss; set [model] loss = "squared_hinge", or '
            'optimizer = "adam" for this model'
        )
    if model.l1:
        raise ConfigError('[train] optimizer liblinear: cannot follow l1; set [model] l1 to 0, or optimizer = "lbfgs"')
    path = getattr(model, "l2_path", (model.l2,))
    if not all(path):
        raise ConfigError("[train] optimizer liblinear: needs a penalty; set [model] l2 above 0")
    if len(path) > 1 and not valid:
        raise ConfigError(
            f"[model] l2: {len(path)} values, but no validation rows to choose one; set [ingest] split.valid, or give one value"
        )
    function = Objective(model, train)
    steps = Steps(model, None, settings, tf.distribute.get_strategy(), len(train), objective) if valid else None
    order = batches.plan(valid, settings).epoch(0) if valid else []
    history: list[dict[str, Any]] = []
    weights: list[np.ndarray] = []
    stopped: list[str] = []
    for number, l2 in enumerate(path, 1):
        function.penalize(l2)
        found, passes = fit(config, function, l2, settings.seed)
        weights.append(found)
        stopped.append("converged" if passes < config.max_iterations else "iterations")
        if stopped[-1] == "iterations":
            log.warning("liblinear: %d passes did not suffice; raise max_iterations or tolerance", passes)
        point = function.rescale(found)
        function.assign(point)
        line: dict[str, Any] = {"epoch": number, "step": number}
        if getattr(model, "row_loss", None) == "squared_hinge":
            line["loss"] = function(point)[0]
        if steps:
            line |= steps.validate(valid, order)
        if len(path) > 1:
            line["l2"] = l2
            full_batch_settings.log_fit(line)
        history.append(line)
    kept = full_batch_settings.choose_fit(history, len(valid) if valid else 0)
    function.penalize(path[kept])
    function.assign(function.rescale(weights[kept]))
    full_batch_settings.warn_at_the_ends(path, path[kept])
    return {"stopped": stopped[kept], "epochs": len(path), "steps": len(path), "best": history[kept]}, history


def fit(config: Config, function: Any, l2: float, seed: int) -> tuple[Any, int]:
    """The weights [D + 1, C], the bias last, and the largest number of passes."""
    import numpy as np
    import scipy.sparse
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.svm import LinearSVC

    matrix = scipy.sparse.vstack([block for _, block in function.row_blocks], format="csr")
    options: dict[str, Any] = {
        "loss": function.model.row_loss, "tol": config.tolerance, "max_iter": config.max_iterations, "random_state": seed,
        "intercept_scaling": config.bias_scale, "dual": True,
    }  # fmt: skip
    weights = np.zeros((function.dim + 1, function.num_logits), np.float32)
    signs, row_weights = function.signs, function.row_weights
    # One call for all classes where each row has one class and one weight: LIBLINEAR then copies the rows only once.
    one_weight = row_weights is None or row_weights.shape[1] == 1
    one_class = function.num_logits > 2 and bool(((signs > 0).sum(axis=1) == 1).all())
    together = one_weight and one_class
    passes = 0
    calls = [(slice(None), signs.argmax(axis=1))] if together else [
        (slice(number, number + 1), signs[:, number]) for number in range(function.num_logits)
    ]  # fmt: skip
    for columns, labels in calls:
        if len(np.unique(labels)) < 2:  # a label that all rows have, or none
            weights[-1, columns] = labels[0]
            continue
        own = None
        if row_weights is not None:
            own = row_weights[:, 0] if row_weights.shape[1] == 1 else row_weights[:, columns][:, 0]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            found = LinearSVC(C=1 / l2, **options).fit(matrix, labels, sample_weight=own)
        weights[:-1, columns], weights[-1, columns] = found.coef_.T, found.intercept_
        passes = max(passes, int(np.max(found.n_iter_)))
    return weights, passes
