"""Shared by the objectives: cross-entropy of logits, and decoder inputs for teacher forcing.

Shapes: B batch, U target, C classes, N real tokens, V vocabulary.
"""

import tensorflow as tf

Sums = dict[str, tf.Tensor]  # sums over a batch: loss (nats), correct, weight (rows or tokens)


def has_projection(model) -> bool:
    """Whether a generator offers hidden() and project(), the two halves of its call."""
    return hasattr(model, "hidden") and hasattr(model, "project")


def classification_sums(logits, labels, loss: str = "logistic", class_weights=None) -> Sums:
    """Sums over rows of logits [B, C]; with C = 1 a logit is the log-odds of class 1.

    loss: "logistic"; "hinge" or "squared_hinge", summed over the classes, one against the rest. class_weights [2, classes]: the second
    row multiplies the loss of the rows of a class.
    """
    binary = logits.shape[-1] == 1
    if loss != "logistic":
        true = tf.equal(labels, 1)[:, None] if binary else tf.one_hot(labels, logits.shape[-1])
        true = tf.cast(true, tf.float32)
        losses = tf.reduce_sum(margin_losses(logits, true, loss), axis=1)
    elif binary:
        losses = tf.nn.sigmoid_cross_entropy_with_logits(labels=tf.cast(labels, tf.float32), logits=logits[:, 0])
    else:
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
    if class_weights is not None:
        losses *= tf.gather(tf.constant(class_weights[1], tf.float32), labels)
    answers = (
        tf.cast(logits[:, 0] > 0, labels.dtype) if binary else tf.argmax(logits, axis=-1, output_type=labels.dtype)
    )
    correct = tf.cast(answers == labels, tf.float32)
    return {"loss": tf.reduce_sum(losses), "correct": tf.reduce_sum(correct), "weight": num_labels(labels)}


def margin_losses(logits, targets, loss: str):
    """The loss of each logit [B, C] against targets [B, C] of 0 and 1: "logistic", "hinge", or "squared_hinge"."""
    if loss == "logistic":
        return tf.nn.sigmoid_cross_entropy_with_logits(labels=targets, logits=logits)
    gaps = tf.nn.relu(1 - (2 * targets - 1) * logits)
    return tf.square(gaps) if loss == "squared_hinge" else gaps


def token_logits(model, inputs, target, *, training: bool, words=None):
    """Logits [N, V] of the real tokens of target [B, U], given the true tokens before them, or words [B, U]."""
    words = shift_right(target, model.start_id) if words is None else words
    return tf.cast(tf.boolean_mask(model(inputs, words, training=training), target != 0), tf.float32)


def shift_right(target, start_id: int):
    """Decoder inputs for teacher forcing: [B, U] -> [B, U].

    [[7, 8, 3, 0]] -> [[2, 7, 8, 3]]   (2 starts, 3 ends; values at padding are ignored)
    """
    return tf.concat([tf.fill([tf.shape(target)[0], 1], start_id), target[:, :-1]], axis=1)


def cross_entropy_sums(logits, labels, smoothing: float = 0.0) -> Sums:
    """Sums over rows of logits [N, V] or [B, C]; the loss is training/vocabulary_loss.py's smoothed cross-entropy."""
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
    if smoothing:
        label_logits = tf.gather(logits, labels, axis=1, batch_dims=1)
        losses += smoothing * (label_logits - tf.reduce_mean(logits, axis=1))
    correct = tf.cast(tf.argmax(logits, axis=-1, output_type=labels.dtype) == labels, tf.float32)
    return {"loss": tf.reduce_sum(losses), "correct": tf.reduce_sum(correct), "weight": num_labels(labels)}


def num_labels(labels):
    return tf.cast(tf.size(labels), tf.float32)


def to_dense(gradient):
    """A gradient as one tensor. That of an embedding comes as rows, some of them twice; its norm needs their sums."""
    if isinstance(gradient, tf.IndexedSlices):
        return tf.math.unsorted_segment_sum(gradient.values, gradient.indices, gradient.dense_shape[0])
    return gradient
