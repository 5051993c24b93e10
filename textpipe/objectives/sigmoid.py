"""Several labels of a closed set: binary cross-entropy, summed over the labels.

A linear classifier may set another loss with [model] loss, and [train] class_weight weights the labels.
"""

import math
from collections.abc import Mapping
from typing import Any

NEEDS = "logits"
COUNTS = "rows"
METRICS = {"valid_loss": "min", "valid_f1": "max"}
LABELS = "answers with labels"
THRESHOLDS = tuple(number / 20 for number in range(1, 20))  # candidates for validation
# Settings of [train] without effect, and why.
UNUSED = {
    **dict.fromkeys(("label_smoothing", "scheduled_sampling", "valid_bleu_rows"), LABELS),
    "parallel": "trains on a batch as a whole",
}


def weight(targets: Any) -> Any:
    """Rows of a batch [B, C]."""
    import tensorflow as tf

    return tf.shape(targets)[0]


def sums(model: Any, inputs: Mapping[str, Any], targets: Any, *, training: bool = False, config: Any = None) -> dict:
    """Sums over the rows of a batch; targets: [B, C], 1 for the labels of a row and 0 for the others.

    `loss` (nats, or hinge loss), `weight` (rows), `actual` labels, and for F1 at each of THRESHOLDS `hits_0`, `predicted_0` etc.
    """
    import tensorflow as tf

    from textpipe.training import losses

    logits = losses.loss_precision(model(inputs, training=training))  # [B, C]
    targets = tf.cast(targets, logits.dtype)
    label_losses = losses.margin_losses(logits, targets, getattr(model, "row_loss", "logistic"))  # [B, C]
    class_weights = getattr(model, "class_weights", None)
    if training and class_weights is not None:
        absent, present = tf.constant(class_weights, logits.dtype)
        label_losses *= tf.where(targets > 0, present, absent)
    batch_sums = {
        "loss": tf.reduce_sum(label_losses),
        "weight": tf.cast(tf.shape(targets)[0], tf.float32),
        "actual": tf.reduce_sum(tf.cast(targets, tf.float32)),
    }
    for number, threshold in enumerate(() if training else THRESHOLDS):
        predicted = tf.cast(logits >= math.log(threshold / (1 - threshold)), logits.dtype)
        batch_sums[f"hits_{number}"] = tf.reduce_sum(predicted * targets)
        batch_sums[f"predicted_{number}"] = tf.reduce_sum(predicted)
    return batch_sums


def figures(sums: Mapping[str, float]) -> dict[str, float]:
    """valid_loss (per row), the best micro-averaged F1 over all thresholds, and its threshold.

    If several are best, the nearest to .5.
    """
    scores = []
    for number in range(len(THRESHOLDS)):
        labels = sums[f"predicted_{number}"] + sums["actual"]
        scores.append(2 * sums[f"hits_{number}"] / labels if labels else 1.0)
    best = max(range(len(scores)), key=lambda number: (scores[number], -abs(THRESHOLDS[number] - 0.5)))
    return {
        "valid_loss": sums["loss"] / sums["weight"], "valid_f1": scores[best], "valid_threshold": THRESHOLDS[best],
    }  # fmt: skip
