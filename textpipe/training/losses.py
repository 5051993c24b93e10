"""Shared by the objectives: cross-entropy of logits, and decoder inputs for teacher forcing.

Shapes: B batch, U target, C classes, N real tokens, V vocabulary.
"""

import tensorflow as tf

Sums = dict[str, tf.Tensor]  # sums over a batch: loss (nats), correct, weight (rows or tokens)


def has_projection(model) -> bool:
    """Whether a generator offers hidden() and project(), the two halves of its call."""
    return hasattr(model, "hidden") and hasattr(model, "project")


def loss_precision(tensor):
    """Cast to float32; float64 stays as it is, for gradient checks."""
    tensor = tf.convert_to_tensor(tensor)
    return tensor if tensor.dtype == tf.float64 else tf.cast(tensor, tf.float32)


def classification_sums(logits, labels, loss: str = "logistic", *, smoothing: float = 0.0, class_weights=None) -> Sums:
    """Sums over rows of logits [B, C]; with C = 1 a logit is the log-odds of class 1, and the logits of both are 0 and it.

    loss: "logistic"; "hinge" or "squared_hinge", summed over the classes, one against the rest. smoothing: share of a label's
    probability spread evenly over all classes (Szegedy et al. 2016, section 7), for the logistic loss. class_weights [2, classes]: the
    second row multiplies the loss of the rows of a class.
    """
    binary = logits.shape[-1] == 1
    if loss != "logistic":
        true = tf.equal(labels, 1)[:, None] if binary else tf.one_hot(labels, logits.shape[-1])
        losses = tf.reduce_sum(margin_losses(logits, tf.cast(true, logits.dtype), loss), axis=1)
    elif binary:
        targets = (1 - smoothing) * tf.cast(labels, logits.dtype) + smoothing / 2
        losses = tf.nn.sigmoid_cross_entropy_with_logits(labels=targets, logits=logits[:, 0])
    else:
        losses = smoothed_cross_entropy(logits, labels, smoothing)
    if class_weights is not None:
        losses *= tf.gather(tf.constant(class_weights[1], logits.dtype), labels)
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
    return {"hinge": tf.identity, "squared_hinge": tf.square}[loss](gaps)


def token_logits(model, inputs, target, *, training: bool, words=None):
    """Logits [N, V] of the real tokens of target [B, U], given the true tokens before them, or words [B, U]."""
    words = shift_right(target, model.start_id) if words is None else words
    return loss_precision(tf.boolean_mask(model(inputs, words, training=training), target != 0))


def shift_right(target, start_id: int):
    """Decoder inputs for teacher forcing: [B, U] -> [B, U].

    [[7, 8, 3, 0]] -> [[2, 7, 8, 3]]   (2 starts, 3 ends; values at padding are ignored)
    """
    return tf.concat([tf.fill([tf.shape(target)[0], 1], start_id), target[:, :-1]], axis=1)


def cross_entropy_sums(logits, labels, smoothing: float = 0.0) -> Sums:
    """Sums over rows of logits [N, V] or [B, C]; the loss is training/vocabulary_loss.py's smoothed cross-entropy."""
    losses = smoothed_cross_entropy(logits, labels, smoothing)
    correct = tf.cast(tf.argmax(logits, axis=-1, output_type=labels.dtype) == labels, tf.float32)
    return {"loss": tf.reduce_sum(losses), "correct": tf.reduce_sum(correct), "weight": num_labels(labels)}


def smoothed_cross_entropy(logits, labels, smoothing: float):
    """The loss of each row: logits [N, V] -> [N]."""
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
    if smoothing:
        label_logits = tf.gather(logits, labels, axis=1, batch_dims=1)
        losses += smoothing * (label_logits - tf.reduce_mean(logits, axis=1))
    return losses


def num_labels(labels):
    return tf.cast(tf.size(labels), tf.float32)


def to_dense(gradient):
    """A gradient as one tensor. That of an embedding comes as rows, some of them twice; its norm needs their sums."""
    if isinstance(gradient, tf.IndexedSlices):
        return tf.math.unsorted_segment_sum(gradient.values, gradient.indices, gradient.dense_shape[0])
    return gradient
