"""Does the loss function matter for accuracy and calibration, with clean and with wrong labels?

A feed-forward classifier (128 ReLU units) on Banking77, trained for 400 updates of Adam with cross-entropy, squared
error of the probabilities (Brier, 1950), focal loss with gamma = 2 (Lin et al., 2017) or label smoothing of 0.1
(Szegedy et al., 2016). In half of the runs, 30 % of the training labels are replaced by random ones. Calibration is
measured as the expected calibration error over ten bins (Guo et al., 2017). The initial gradients of the squared
error are smaller by an order of magnitude; Adam's updates do not depend on that scale.
"""

from types import ModuleType
from typing import Any

import numpy as np

from textpipe.laboratory import _data, _trials
from textpipe.laboratory._statistics import verdict

DATA = ("banking77",)
FACTORS = ("wrong_labels", "loss")
MEASURES = {
    "accuracy": "validation accuracy",
    "calibration_error": "expected calibration error",
    "log_loss": "negative log-likelihood (nats)",
}
LOSSES = ("cross-entropy", "squared error", "focal", "label smoothing")
WRONG = (0.0, 0.3)
SEEDS = (1, 2, 3)


def trial(context: Any, *, loss: str, wrong_labels: float, seed: int) -> dict[str, Any]:
    data = context.data("banking77", features={"kind": "tfidf", "words": [1, 1]})
    train = with_wrong_labels(data.train, wrong_labels, data.num_classes, seed)
    model = {"kind": "feed_forward", "units": [128], "dropout": 0.0}
    settings = {
        "optimizer": {"kind": "adam", "learning_rate": 0.003}, "batch_rows": 64, "max_steps": 400,
        "validate_steps": 400, "keep": "last",
    }  # fmt: skip
    done = _trials.fit(data, model, settings, seed=seed, train=train, objective=objective(loss))
    probabilities, labels = predict(done.model, data.valid)
    own = probabilities[np.arange(len(labels)), labels]
    return {
        "accuracy": float((probabilities.argmax(axis=1) == labels).mean()),
        "calibration_error": calibration_error(probabilities, labels),
        "log_loss": float(-np.log(np.maximum(own, 1e-12)).mean()),
    }


def objective(loss: str) -> ModuleType:
    """objectives/softmax with another loss in `sums`."""
    from textpipe.objectives import softmax
    from textpipe.training import losses

    def sums(model: Any, inputs: Any, targets: Any, *, training: bool = False, config: Any = None) -> dict:
        import tensorflow as tf

        logits = model(inputs, training=training)
        result = losses.cross_entropy_sums(logits, targets, 0.1 if loss == "label smoothing" else 0.0)
        own = tf.exp(-tf.nn.sparse_softmax_cross_entropy_with_logits(labels=targets, logits=logits))
        if loss == "squared error":
            wanted = tf.one_hot(targets, logits.shape[-1])
            result["loss"] = tf.reduce_sum(tf.square(tf.nn.softmax(logits) - wanted))
        elif loss == "focal":
            result["loss"] = -tf.reduce_sum((1 - own) ** 2 * tf.math.log(tf.maximum(own, 1e-12)))
        return result

    changed = ModuleType(f"textpipe.laboratory.losses: {loss}")
    changed.__dict__.update({name: value for name, value in vars(softmax).items() if not name.startswith("__")})
    changed.__dict__["sums"] = sums
    return changed


def with_wrong_labels(rows: Any, share: float, num_classes: int, seed: int) -> Any:
    """A share of the labels replaced by uniformly random ones."""
    from dataclasses import replace

    from textpipe.data.columns import Labels

    random, labels = np.random.default_rng(seed), _data.labels(rows).copy()
    chosen = random.random(len(labels)) < share
    labels[chosen] = random.integers(num_classes, size=int(chosen.sum()))
    return replace(rows, target=Labels(labels, num_classes))


def predict(model: Any, rows: Any) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities [N, C] and labels [N]."""
    from scipy.special import softmax

    parts = []
    for first in range(0, len(rows), 256):
        chosen = np.arange(first, min(first + 256, len(rows)))
        inputs = {name: _trials.gather(column, chosen) for name, column in rows.inputs.items()}
        parts.append(softmax(np.asarray(model(inputs, training=False), np.float64), axis=1))
    return np.concatenate(parts), _data.labels(rows)


def calibration_error(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Mean |accuracy - confidence| over ten bins of confidence, weighted by their rows."""
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    bins = np.minimum((confidence * 10).astype(int), 9)
    gaps = [abs(right[bins == one].mean() - confidence[bins == one].mean()) * (bins == one).mean() for one in set(bins)]
    return float(sum(gaps))


def run(context: Any) -> list[dict[str, Any]]:
    return [
        context.once(trial, loss=loss, wrong_labels=wrong, seed=seed)
        for wrong in WRONG
        for loss in LOSSES
        for seed in SEEDS
    ]


def sentence(table: Any) -> str:
    parts = []
    for wrong in WRONG:
        plain = {"wrong_labels": wrong, "loss": "cross-entropy"}
        against = [
            f"{loss}, {verdict(table.difference('accuracy', {'wrong_labels': wrong, 'loss': loss}, plain, comparisons=3))}"
            for loss in LOSSES[1:]
        ]
        errors = {loss: table.mean("calibration_error", wrong_labels=wrong, loss=loss) for loss in LOSSES}
        best = min(errors, key=lambda loss: errors[loss].mean)
        parts.append(
            f"With {wrong:.0%} wrong labels, cross-entropy reaches {table.mean('accuracy', **plain).text()}. Compared with it: "
            f"{'; '.join(against)}. Best calibrated: {best}, with an error of {errors[best].text()} (cross-entropy: {errors['cross-entropy'].text()})."
        )
    return " ".join(parts)


def picture(table: Any, figure: Any) -> None:
    for axes, measure in zip(figure.subplots(1, 2, sharey=True), ("accuracy", "calibration_error"), strict=True):
        for wrong, marker in zip(WRONG, "os", strict=True):
            points = [table.mean(measure, wrong_labels=wrong, loss=loss) for loss in LOSSES]
            half_widths = [point.mean - point.low for point in points]
            axes.errorbar(
                [point.mean for point in points], range(len(LOSSES)), xerr=half_widths, fmt=marker, capsize=3,
                label=f"{wrong:.0%} wrong labels",
            )  # fmt: skip
        axes.set_yticks(range(len(LOSSES)), LOSSES)
        axes.set_xlabel(MEASURES[measure])
    axes.legend()
