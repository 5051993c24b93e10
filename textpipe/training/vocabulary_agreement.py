"""R-Drop of a generator (Liang et al. 2021, equation 4): cross-entropy over a vocabulary of two passes, and their disagreement.

With logits z and probabilities p of the passes 1 and 2, the loss of a token is, as in regularization/r_drop.py,

    (c_1 + c_2) / 2 + weight * s,   s = (KL(p_1 || p_2) + KL(p_2 || p_1)) / 2 = sum (p_1 - p_2) * (z_1 - z_2) / 2

and the gradient of 2 * s is (p_1 - p_2) + p_1 * (d - sum p_1 d) for z_1, with d = z_1 - z_2; that for z_2 has 1 and 2 exchanged.

Shapes: N real tokens, R readout, n tokens of a block, V vocabulary.
"""

from collections.abc import Callable

import tensorflow as tf

from textpipe.training import vocabulary_loss


def gradients(project: Callable, hidden, labels, variables, *, smoothing: float, weight: float):
    """As vocabulary_loss.gradients, for hidden [2 N, R] and labels [2 N] whose second halves are the second pass."""

    def pair_loss(logits, labels, smoothing):
        return cross_entropy(logits, labels, smoothing, weight)

    # Twice the loss: the cross-entropies of both passes are summed, then all is halved.
    sums, hidden_gradient, output_gradients = vocabulary_loss.gradients(
        project,
        interleave(hidden),
        interleave(labels),
        variables,
        smoothing=smoothing,
        block_loss=pair_loss,
        multiple=2,
    )
    return (
        {name: figure / 2 for name, figure in sums.items()},
        deinterleave(hidden_gradient) / 2,
        [None if gradient is None else gradient / 2 for gradient in output_gradients],
    )


def cross_entropy(logits, labels, smoothing: float, weight: float):
    """c_1 + c_2 + 2 * weight * s summed over tokens, and its gradient; logits [2 n, V], the two passes of a token in adjacent rows."""
    shape = tf.shape(logits)
    indices = tf.stack([tf.range(shape[0]), labels], axis=1)
    label_logits = tf.gather_nd(logits, indices)
    largest = tf.reduce_max(logits, axis=1, keepdims=True)
    powers = tf.exp(logits - largest)
    total = tf.reduce_sum(powers, axis=1, keepdims=True)
    loss = tf.reduce_sum(largest + tf.math.log(total)) - (1 - smoothing) * tf.reduce_sum(label_logits)
    first, second = tf.unstack(tf.reshape(powers * tf.math.reciprocal(total), [-1, 2, shape[1]]), axis=1)  # [n, V] each
    difference = tf.subtract(*tf.unstack(tf.reshape(logits, [-1, 2, shape[1]]), axis=1))
    apart = weight * (first - second)
    loss += tf.reduce_sum(apart * difference)
    pass_gradients = [
        apart + first * (1 + weight * (difference - mean(first, difference))),
        second * (1 + weight * (mean(second, difference) - difference)) - apart,
    ]
    logit_gradients = tf.reshape(tf.stack(pass_gradients, axis=1), shape)
    return loss, tf.tensor_scatter_nd_add(
        logit_gradients, indices, tf.fill(tf.shape(labels), tf.constant(smoothing - 1.0, logits.dtype))
    )


def mean(probabilities, values):
    """The expectation of each row: [n, V] twice -> [n, 1]."""
    return tf.reduce_sum(probabilities * values, axis=1, keepdims=True)


def interleave(passes):
    """The rows of two passes, alternating: [a1, b1, a2, b2] -> [a1, a2, b1, b2]."""
    return tf.reshape(tf.stack(tf.split(passes, 2), axis=1), tf.shape(passes))


def deinterleave(pairs):
    """The inverse of `interleave`."""
    shape = tf.shape(pairs)
    return tf.concat(tf.unstack(tf.reshape(pairs, tf.concat([[-1, 2], shape[1:]], axis=0)), num=2, axis=1), axis=0)
