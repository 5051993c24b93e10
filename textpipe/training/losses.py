"""What training lowers and validation measures, with gradients.

Shapes: B batch, U target, C classes, N real tokens, R readout, V vocabulary.
"""

from collections.abc import Callable

import tensorflow as tf

from textpipe.training import precision, vocabulary

Sums = dict[str, tf.Tensor]  # sums over a batch: loss (nats), correct, weight (rows or tokens)


def evaluate(model, inputs, target) -> Sums:
    """Sums of `loss`, `correct` and `weight` without dropout or smoothing: labels are [B], texts [B, U]."""
    if target.shape.rank == 1:
        return classification(model, inputs, target, training=False)
    real = target != 0
    labels = tf.boolean_mask(target, real)
    if splits(model):
        halves = precision.Halves(model)
        hidden = halves.hidden(inputs, shift_right(target, model.start_id), training=False)
        return vocabulary.evaluate(halves.project, tf.boolean_mask(hidden, real), labels)
    return sums_of(generation_logits(model, inputs, target, training=False), labels)


def gradients(
    model, inputs, target, variables, *, smoothing: float, total, replace: Callable | None = None
) -> tuple[Sums, list[tf.Tensor]]:
    """Sums of `loss` and `weight`, and the gradient of loss / total for each variable.

    replace(model, inputs, words [B, U]) -> [B, U] may change what the decoder reads (scheduled sampling). A model with
    hidden() and project() has the vocabulary layer done in pieces (see vocabulary.py); any other is left to autodiff.
    """
    if target.shape.rank == 1:
        with tf.GradientTape() as tape:
            sums = classification(model, inputs, target, training=True)
            loss = sums["loss"] / total
        return sums, tape.gradient(loss, variables, unconnected_gradients="zero")
    real = target != 0  # [B, U]
    labels = tf.boolean_mask(target, real)  # [N]
    words = shift_right(target, model.start_id)
    if replace is not None:
        words = replace(model, inputs, words)
    if not splits(model):
        with tf.GradientTape() as tape:
            logits = generation_logits(model, inputs, target, training=True, words=words)
            sums = sums_of(logits, labels, smoothing)
            loss = sums["loss"] / total
        return sums, tape.gradient(loss, variables, unconnected_gradients="zero")
    halves = precision.Halves(model)
    with tf.GradientTape() as tape:
        hidden = halves.hidden(inputs, words, training=True)  # [B, U, R]
        hidden = tf.boolean_mask(hidden, real)  # [N, R]
    sums, hidden_gradient, own = vocabulary.gradients(halves.project, hidden, labels, variables, smoothing=smoothing)
    below = tape.gradient(hidden, variables, output_gradients=hidden_gradient / total, unconnected_gradients="zero")
    return sums, [dense(part) if mine is None else dense(part) + mine / total for part, mine in zip(below, own)]


def splits(model) -> bool:
    """Whether a generator's call is project(hidden(...))."""
    return hasattr(model, "hidden") and hasattr(model, "project")


def classification(model, inputs, labels, *, training: bool) -> Sums:
    """Sums over the rows of a batch; labels: [B]."""
    return of_classes(tf.cast(model(inputs, training=training), tf.float32), labels)


def of_classes(logits, labels) -> Sums:
    """Sums over rows of logits [B, C]: one is the log-odds of class 1, more are unnormalized log-probabilities."""
    if logits.shape[-1] > 1:
        return sums_of(logits, labels)
    logit = logits[:, 0]
    losses = tf.nn.sigmoid_cross_entropy_with_logits(labels=tf.cast(labels, tf.float32), logits=logit)
    correct = tf.cast(tf.cast(logit > 0, tf.int32) == labels, tf.float32)
    return {"loss": tf.reduce_sum(losses), "correct": tf.reduce_sum(correct), "weight": count(labels)}


def generation_logits(model, inputs, target, *, training: bool, words=None):
    """Logits [N, V] of the real tokens of target [B, U], each seeing the true ones before it, or words [B, U]."""
    words = shift_right(target, model.start_id) if words is None else words
    return tf.cast(tf.boolean_mask(model(inputs, words, training=training), target != 0), tf.float32)


def shift_right(target, start_id: int):
    """Decoder inputs for teacher forcing: [B, U] -> [B, U].

    [[7, 8, 3, 0]] -> [[2, 7, 8, 3]]   (2 starts, 3 ends; what stands over padding is not read)
    """
    return tf.concat([tf.fill([tf.shape(target)[0], 1], start_id), target[:, :-1]], axis=1)


def sums_of(logits, labels, smoothing: float = 0.0) -> Sums:
    """Sums over rows of logits [N, V] or [B, C]; the loss is vocabulary.py's smoothed cross-entropy."""
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
    if smoothing:
        label_logits = tf.gather(logits, labels, axis=1, batch_dims=1)
        losses += smoothing * (label_logits - tf.reduce_mean(logits, axis=1))
    correct = tf.cast(tf.argmax(logits, axis=-1, output_type=labels.dtype) == labels, tf.float32)
    return {"loss": tf.reduce_sum(losses), "correct": tf.reduce_sum(correct), "weight": count(labels)}


def count(labels):
    return tf.cast(tf.size(labels), tf.float32)


def dense(gradient):
    """A gradient as one tensor: an embedding's comes as rows, some of them twice, and its norm needs their sums."""
    if isinstance(gradient, tf.IndexedSlices):
        return tf.math.unsorted_segment_sum(gradient.values, gradient.indices, gradient.dense_shape[0])
    return gradient
