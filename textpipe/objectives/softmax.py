"""One of a closed set of classes: softmax cross-entropy; for two classes, that of the log-odds of the second.

A linear classifier may set another loss with [model] loss, and [train] class_weight weights the rows of a class.
"""

from collections.abc import Mapping
from typing import Any

NEEDS = "logits"
COUNTS = "rows"
METRICS = {"valid_loss": "min", "valid_accuracy": "max"}
LABEL = "answers with a label"
# Settings of [train] without effect, and why.
UNUSED = {
    **dict.fromkeys(("scheduled_sampling", "valid_bleu_rows"), LABEL),
    "parallel": "trains on a batch as a whole",
}


def weight(targets: Any) -> Any:
    """Rows of a batch of labels [B]."""
    import tensorflow as tf

    return tf.size(targets)


def sums(model: Any, inputs: Mapping[str, Any], targets: Any, *, training: bool = False, config: Any = None) -> dict:
    """Sums of `loss` (nats, or hinge loss), `correct` and `weight` over the rows of a batch; targets: [B].

    In training the loss is that of smoothed labels, weighted by class.
    """
    from textpipe.training import losses

    smoothing = config.label_smoothing if training and config is not None else 0.0
    class_weights = getattr(model, "class_weights", None) if training else None
    logits = losses.loss_precision(model(inputs, training=training))
    row_loss = getattr(model, "row_loss", "logistic")
    return losses.classification_sums(logits, targets, row_loss, smoothing=smoothing, class_weights=class_weights)


def figures(sums: Mapping[str, float]) -> dict[str, float]:
    """valid_loss (per row; no penalty) and valid_accuracy."""
    return {"valid_loss": sums["loss"] / sums["weight"], "valid_accuracy": sums["correct"] / sums["weight"]}
