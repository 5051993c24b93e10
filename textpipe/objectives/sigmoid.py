"""Any number of a closed set of labels: binary cross-entropy of each, summed over the labels."""

from collections.abc import Mapping
from typing import Any

NEEDS = "logits"
COUNTS = "rows"
METRICS = {"valid_loss": "min", "valid_f1": "max"}
LABELS = "answers with labels"
# Settings of [train] that it does not read, and why.
UNUSED = {
    **dict.fromkeys(("label_smoothing", "scheduled_sampling", "valid_bleu_rows"), LABELS),
    "parallel": "trains on a batch as a whole",
}


def weight(targets: Any) -> Any:
    """Rows of a batch [B, C]."""
    import tensorflow as tf

    return tf.shape(targets)[0]


def sums(model: Any, inputs: Mapping[str, Any], targets: Any, *, training: bool = False, config: Any = None) -> dict:
    """Sums over the rows of a batch; targets: [B, C], 1 for the labels that a row has and 0 for the others.

    `loss` (nats), `weight` (rows), and for F1 at a probability of one half `hits`, `predicted` and `actual` labels.
    """
    import tensorflow as tf

    logits = tf.cast(model(inputs, training=training), tf.float32)  # [B, C]
    targets = tf.cast(targets, tf.float32)
    predicted = tf.cast(logits > 0, tf.float32)
    return {
        "loss": tf.reduce_sum(tf.nn.sigmoid_cross_entropy_with_logits(labels=targets, logits=logits)),
        "weight": tf.cast(tf.shape(targets)[0], tf.float32),
        "hits": tf.reduce_sum(predicted * targets),
        "predicted": tf.reduce_sum(predicted),
        "actual": tf.reduce_sum(targets),
    }


def figures(sums: Mapping[str, float]) -> dict[str, float]:
    """valid_loss (nats per row) and valid_f1, micro-averaged: 2 hits / (predicted + actual), 1 where there are none."""
    labels = sums["predicted"] + sums["actual"]
    return {"valid_loss": sums["loss"] / sums["weight"], "valid_f1": 2 * sums["hits"] / labels if labels else 1.0}
