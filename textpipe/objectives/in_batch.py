"""In-batch softmax: each message's own reply against the replies of the other rows of its batch.

Henderson et al. (2017), equation 2: the loss of a message is -log softmax of its own reply's score, with the batch's other replies in
place of all that there are. A model that is `symmetric` adds the same for replies against messages, both halved. Rows with an equal reply
are no negatives of each other.
"""

from collections.abc import Mapping
from typing import Any

NEEDS = "vectors"
COUNTS = "rows"
METRICS = {"valid_loss": "min", "valid_accuracy": "max"}
RANKED = "ranks replies"
ABSENT = -1e9
# Settings of [train] without effect, and why.
UNUSED = {
    **dict.fromkeys(
        ("label_smoothing", "scheduled_sampling", "valid_bleu_rows", "class_weight", "calibration"), RANKED
    ),
    "parallel": "needs a batch as a whole: its rows are each other's negatives",
}


def weight(targets: Any) -> Any:
    """Rows of a batch: ids [B, U] or a sparse [B, F]."""
    import tensorflow as tf

    return tf.cast(targets.dense_shape[0], tf.int32) if isinstance(targets, tf.SparseTensor) else tf.shape(targets)[0]


def sums(model: Any, inputs: Mapping[str, Any], targets: Any, *, training: bool = False, config: Any = None) -> dict:
    """Sums over the rows of a batch: `loss` (nats, of all pairs of towers; the mean of both directions if the model is symmetric),
    `correct` (rows whose own reply scores highest) and `weight`."""
    import tensorflow as tf

    from textpipe.training.losses import loss_precision

    rows = weight(targets)
    equal = same_targets(targets) & ~tf.eye(rows, dtype=tf.bool)
    labels = tf.range(rows)
    loss: Any = 0.0
    logits = tf.zeros([rows, rows])
    for messages, replies in model(inputs, targets, training=training):
        logits = tf.matmul(loss_precision(messages), loss_precision(replies), transpose_b=True)  # [B, B]
        logits = tf.where(equal, tf.constant(ABSENT, logits.dtype), logits)
        directions = (logits, tf.transpose(logits)) if getattr(model, "symmetric", True) else (logits,)
        for scores in directions:
            loss += tf.reduce_sum(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, scores)) / len(directions)
    best = tf.argmax(logits, axis=1, output_type=tf.int32)
    return {
        "loss": loss,
        "correct": tf.reduce_sum(tf.cast(best == labels, tf.float32)),
        "weight": tf.cast(rows, tf.float32),
    }


def same_targets(targets: Any) -> Any:
    """Which rows of a batch have equal replies [B, B]: ids [B, U] or a sparse [B, F].

    Compared by two sums of random numbers of 30 bits, one of each token at its place: unequal rows agree once in 2 ** 60.
    """
    import tensorflow as tf

    if isinstance(targets, tf.SparseTensor):
        rows = tf.cast(targets.dense_shape[0], tf.int32)
        hashes = [
            tf.math.unsorted_segment_sum(mixed(targets.indices[:, 1], salt), targets.indices[:, 0], rows)
            for salt in (1, 2)
        ]
    else:
        positions = tf.range(tf.shape(targets, out_type=tf.int64)[1])
        at = tf.where(targets > 0, tf.cast(targets, tf.int64) + positions * 2**32, 0)
        hashes = [tf.reduce_sum(tf.where(targets > 0, mixed(at, salt), 0), axis=1) for salt in (1, 2)]
    return tf.reduce_all(tf.stack([part[:, None] == part[None] for part in hashes]), axis=0)


def mixed(numbers: Any, salt: int) -> Any:
    """int64 numbers as others of 30 bits that look random (multiply, shift and exclusive or, as in SplitMix64)."""
    import tensorflow as tf

    mixed = (numbers + salt) * tf.constant(0x1E3779B97F4A7C15, tf.int64)
    mixed = tf.bitwise.bitwise_xor(mixed, tf.bitwise.right_shift(mixed, 30))
    mixed *= tf.constant(0x3F58476D1CE4E5B9, tf.int64)
    return tf.bitwise.bitwise_and(tf.bitwise.bitwise_xor(mixed, tf.bitwise.right_shift(mixed, 27)), (1 << 30) - 1)


def figures(sums: Mapping[str, float]) -> dict[str, float]:
    """valid_loss (nats per row) and valid_accuracy: how often a batch's own reply scores highest; both hang on batch_rows."""
    return {"valid_loss": sums["loss"] / sums["weight"], "valid_accuracy": sums["correct"] / sums["weight"]}
