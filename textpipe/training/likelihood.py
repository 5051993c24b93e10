"""The probability of a given answer under a model, token by token.

Shapes: B batch, U target, C classes, N real tokens, R readout, V vocabulary.
"""

import tensorflow as tf

from textpipe.training import losses, vocabulary_loss


def token_log_probs(model, inputs, target):
    """Log-probability of each token given the true tokens before it: target [B, U] -> [B, U].

    inputs: {field: feature}; target: ids with end_id, padded with 0. Padding gets 0, so that the sum of a row is the
    log-probability of the whole answer including its end, as decoders report it.
    """
    real = tf.not_equal(target, model.pad_id)  # [B, U]
    labels = tf.boolean_mask(target, real)  # [N]
    if losses.has_projection(model):
        hidden = model.hidden(inputs, losses.shift_right(target, model.start_id), training=False)  # [B, U, R]
        log_probs = blockwise_log_probs(model.project, tf.boolean_mask(hidden, real), labels)
    else:
        log_probs = label_log_probs(losses.token_logits(model, inputs, target, training=False), labels)
    return tf.scatter_nd(tf.where(real), log_probs, tf.shape(target, out_type=tf.int64))


def blockwise_log_probs(project, hidden, labels):
    """Log-probabilities of labels [N] under project(hidden [N, R]), without materializing all logits [N, V]."""
    rows = vocabulary_loss.block_rows(project(hidden[:1]))
    count = tf.shape(labels)[0]
    log_probs = tf.TensorArray(tf.float32, size=-(-count // rows), infer_shape=False, element_shape=[None])

    def body(first, log_probs):
        logits = tf.cast(project(hidden[first : first + rows]), tf.float32)  # [n, V]
        return first + rows, log_probs.write(first // rows, label_log_probs(logits, labels[first : first + rows]))

    _, log_probs = tf.while_loop(lambda first, _: first < count, body, (0, log_probs), parallel_iterations=1)
    return log_probs.concat()


def label_log_probs(logits, labels):
    """log softmax(logits)[label]: [N, V], [N] -> [N]."""
    return -tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
