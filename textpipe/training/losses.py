"""What training lowers and validation measures.   Shapes: B batch, U target, C classes, N real tokens, D model, V vocabulary."""

import tensorflow as tf


def classification(model, source, labels, *, training: bool, smoothing: float = 0.0) -> dict[str, tf.Tensor]:
    """Sums over the rows of a batch: `loss` (cross-entropy, nats), `correct`, `weight` (rows)."""
    logits = tf.cast(model(source, training=training), tf.float32)  # [B, C]
    if logits.shape[-1] == 1:
        logit = logits[:, 0]
        losses = tf.nn.sigmoid_cross_entropy_with_logits(labels=tf.cast(labels, tf.float32), logits=logit)
        predictions = tf.cast(logit > 0, tf.int32)
    else:
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
        predictions = tf.argmax(logits, axis=-1, output_type=tf.int32)
    correct = tf.cast(predictions == labels, tf.float32)
    weight = tf.cast(tf.size(labels), tf.float32)
    return {"loss": tf.reduce_sum(losses), "correct": tf.reduce_sum(correct), "weight": weight}


def generation(model, source, target, *, training: bool, smoothing: float = 0.0) -> dict[str, tf.Tensor]:
    """Sums over the real target tokens: `loss` (label-smoothed cross-entropy, nats), `correct`, `weight` (tokens).

    target: [B, U] ids that end with end_id and are padded with 0. Teacher forcing: the model sees it shifted right.
    The logits of padding are never computed when the model can be asked for its hidden states alone.
    """
    real = target != 0  # [B, U]
    labels = tf.boolean_mask(target, real)  # [N]
    target_in = shift_right(target, model.start_id)
    if hasattr(model, "hidden") and hasattr(model, "project"):
        hidden = model.hidden(source, target_in, training=training)  # [B, U, D]
        logits = model.project(tf.boolean_mask(hidden, real))  # [N, V]
    else:
        logits = tf.boolean_mask(model(source, target_in, training=training), real)
    logits = tf.cast(logits, tf.float32)
    losses = smoothed_cross_entropy(logits, labels, smoothing)
    weight = tf.cast(tf.size(labels), tf.float32)
    if training:
        return {"loss": tf.reduce_sum(losses), "weight": weight}
    correct = tf.cast(tf.argmax(logits, axis=-1, output_type=tf.int32) == labels, tf.float32)
    return {"loss": tf.reduce_sum(losses), "correct": tf.reduce_sum(correct), "weight": weight}


def shift_right(target, start_id: int):
    """Decoder inputs for teacher forcing: [B, U] -> [B, U].

    [[7, 8, 3, 0]] -> [[2, 7, 8, 3]]   (2 starts, 3 ends; what stands over padding is not read)
    """
    return tf.concat([tf.fill([tf.shape(target)[0], 1], start_id), target[:, :-1]], axis=1)


def smoothed_cross_entropy(logits, labels, smoothing: float):
    """Cross-entropy against (1 - smoothing) on the label and smoothing / V on every word: [N, V], [N] -> [N].

    Szegedy et al., 2016, section 7. With c = -log softmax(logits)[label] it is c + smoothing * (logits[label] - mean(logits)),
    so the smoothed distribution is never written out.
    """
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
    if not smoothing:
        return losses
    label_logits = tf.gather(logits, labels, axis=1, batch_dims=1)
    return losses + smoothing * (label_logits - tf.reduce_mean(logits, axis=1))
