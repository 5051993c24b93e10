"""Temperature scaling: one number that makes a classifier's probabilities match frequencies.   N rows, C classes.

Guo, Pleiss, Sun and Weinberger, 2017, On Calibration of Modern Neural Networks: logits are divided by a temperature T > 0 that minimizes
the cross-entropy of validation rows. Unlike Platt's two numbers for two classes, it never changes an answer, and hundreds of rows suffice.
The margins of a hinge loss become probabilities in the same way.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from textpipe.metrics.classification import calibration_error
from textpipe.training.batching import batches
from textpipe.training.batching.rows import Rows
from textpipe.training.settings import Settings

LOWEST, HIGHEST = 1e-3, 1e3


def fit(model: Any, rows: Rows, settings: Settings) -> dict[str, Any]:
    """Fits the temperature of a trained classifier on validation rows.

    Returns `temperature`, `rows`, and `log_loss` (nats per row) and `calibration_error` as [before, after]. With several labels per
    row, one temperature serves all, and the calibration error is that of the probabilities of single labels.
    """
    import scipy.optimize

    logits, targets = outputs(model, rows, settings)

    # Platt's targets (1999): as if one more row were wrong. A model that is right on every validation row is not certain for that.
    smoothing = 1 / (len(rows) + 2)

    def loss(log_temperature: float) -> float:
        return log_loss(logits / np.exp(log_temperature), targets, smoothing)

    optimum = scipy.optimize.minimize_scalar(
        loss, bounds=(np.log(LOWEST), np.log(HIGHEST)), method="bounded", options={"xatol": 1e-4}
    )
    temperature = float(np.exp(optimum.x))
    pairs = [(log_loss(scaled, targets), error(scaled, targets)) for scaled in (logits, logits / temperature)]
    before_after = {
        name: [pair[number] for pair in pairs] for number, name in enumerate(("log_loss", "calibration_error"))
    }
    return {"temperature": temperature, "rows": len(rows), **before_after}


def outputs(model: Any, rows: Rows, settings: Settings) -> tuple[np.ndarray, np.ndarray]:
    """Logits [N, C] float64 and targets: classes [N], or 0 and 1 of labels [N, C]. One logit of two classes becomes two."""
    import tensorflow as tf

    from textpipe.training.steps import batch_spec, fixed_widths, tensors

    fixed, traced = fixed_widths(model), {}
    logits, targets = [], []
    for batch in batches.plan(rows, settings, fixed_widths=fixed).epoch(0):
        inputs = {name: tensors(column, batch, name) for name, column in rows.inputs.items()}
        key = tuple(batch.widths.values()) if fixed else ()
        if key not in traced:
            specs = tf.nest.map_structure(lambda value: batch_spec(value, fixed), inputs)
            function = tf.function(lambda inputs: model(inputs, training=False), autograph=False)
            traced[key] = function.get_concrete_function(specs)
        logits.append(traced[key](inputs).numpy().astype(np.float64))
        targets.append(rows.target.gather(batch.rows, 0))
    joined, target = np.concatenate(logits), np.concatenate(targets)
    if target.ndim == 1 and joined.shape[1] == 1:
        joined = np.hstack([np.zeros_like(joined), joined])
    return joined, target


def log_loss(logits: np.ndarray, targets: np.ndarray, smoothing: float = 0.0) -> float:
    """Mean cross-entropy of a row: of its class, or summed over labels. smoothing: the share of the target spread over all classes."""
    if targets.ndim == 2:
        smooth = targets * (1 - smoothing) + smoothing / 2
        return float((np.logaddexp(0, logits) - smooth * logits).sum(axis=1).mean())
    true_logits = logits[np.arange(len(logits)), targets]
    target_logits = (1 - smoothing) * true_logits + smoothing * logits.mean(axis=1)
    return float((np.logaddexp.reduce(logits, axis=1) - target_logits).mean())


def error(logits: np.ndarray, targets: np.ndarray) -> float:
    """The calibration error of the answers, or of the single labels."""
    if targets.ndim == 2:
        confidences = 1 / (1 + np.exp(-np.abs(logits)))
        return calibration_error(confidences.ravel(), ((logits > 0) == (targets > 0)).ravel())
    confidences = np.exp(logits.max(axis=1) - np.logaddexp.reduce(logits, axis=1))
    return calibration_error(confidences, logits.argmax(axis=1) == targets)


def temperature_of(trained: Mapping[str, Any]) -> float:
    """The temperature in train.json; 1 without calibration."""
    return float(trained.get("calibration", {}).get("temperature", 1.0))
