"""Cross-entropy over a large vocabulary with few passes over the logits.   N real tokens, R readout, V vocabulary.

The logits [N, V] of a batch are by far its largest tensor (3,500 x 8,000 x 4 bytes = 112 MB), and three matrix products
with them are most of the arithmetic. What autodiff adds is memory traffic: smoothing alone costs it a gather, a mean,
their gradients and two sums over [N, V]. Here

* tokens go through in pieces whose logits stay in cache and in memory the allocator reuses;
* loss and gradient of the softmax are made in the memory of the logits; the label's share is added in place;
* the even share needs no logits: `project` is affine, so the mean of all logits is that of the projected mean row;
* the gradient for the readout and the projection's weights is taken piece by piece and summed.
"""

from collections.abc import Callable

import tensorflow as tf

# Logits per piece, 24 MB: larger ones leave the cache and are mapped afresh by the allocator at every step.
BLOCK_LOGITS = 6_000_000


def gradients(project: Callable, hidden, labels, variables, *, smoothing: float):
    """Summed smoothed cross-entropy of project(hidden), and its gradients.

    Cross-entropy against (1 - smoothing) on the label and smoothing / V on every word (Szegedy et al., 2016, section 7).
    With c = -log softmax(z)[label] it is c + smoothing * (z[label] - mean(z)).

    project: [n, R] -> logits [n, V], affine. hidden: [N, R]; labels: [N]. Returns sums (`loss`, `weight`), the gradient
    for hidden [N, R], and one for each of the variables, None for those project does not use.
    """
    count = tf.shape(labels)[0]
    with tf.GradientTape() as tape:
        tape.watch(hidden)
        # A replica may have no token at all; the mean of none must not be NaN.
        mean = project(
            tf.reduce_sum(hidden, axis=0, keepdims=True) / tf.cast(tf.maximum(count, 1), hidden.dtype)
        )  # [1, V]
        even = -smoothing * tf.reduce_mean(mean) * tf.cast(count, tf.float32)
    even_gradients = tape.gradient(even, [hidden, *variables])
    used = [position for position, part in enumerate(even_gradients[1:]) if part is not None]
    weights = [variables[position] for position in used]
    rows = block_rows(mean)

    def body(first, loss, hidden_parts, totals):
        piece = hidden[first : first + rows]
        with tf.GradientTape() as tape:
            tape.watch(piece)
            logits = project(piece)  # [n, V]
        piece_loss, slopes = cross_entropy(logits, labels[first : first + rows], smoothing)
        part, *parts = tape.gradient(logits, [piece, *weights], output_gradients=slopes)
        totals = [total + tf.convert_to_tensor(part) for total, part in zip(totals, parts, strict=True)]
        return first + rows, loss + piece_loss, hidden_parts.write(first // rows, part), totals

    array = tf.TensorArray(
        hidden.dtype, size=-(-count // rows), infer_shape=False, element_shape=[None, hidden.shape[1]]
    )
    if smoothing:
        first_totals = [tf.convert_to_tensor(even_gradients[1 + position]) for position in used]
    else:
        first_totals = [tf.zeros(weight.shape, weight.dtype) for weight in weights]
    state = 0, even, array, first_totals
    _, loss, array, totals = tf.while_loop(lambda first, *_: first < count, body, state, parallel_iterations=1)
    hidden_gradient = tf.reshape(array.concat(), tf.shape(hidden))
    if smoothing:
        hidden_gradient += even_gradients[0]
    own = [None] * len(variables)
    for position, total in zip(used, totals, strict=True):
        own[position] = total
    return {"loss": loss, "weight": tf.cast(count, tf.float32)}, hidden_gradient, own


def cross_entropy(logits, labels, smoothing: float):
    """Sum of c + smoothing * z[label] over rows, and its gradient for the logits [n, V], whose memory it takes over.

    Maximum, difference, exponential, sum and quotient as kernels of their own: each passes once over logits that lie in cache,
    and together they take a third of the time of TensorFlow's fused loss, whose one kernel does not vectorize.
    """
    places = tf.stack([tf.range(tf.shape(labels)[0]), labels], axis=1)
    label_logits = tf.gather_nd(logits, places)
    # Read before the difference is taken, so that it is the last to need the logits and may write into them.
    with tf.control_dependencies([label_logits]):
        largest = tf.reduce_max(logits, axis=1, keepdims=True)  # [n, 1]
        powers = tf.exp(logits - largest)
    total = tf.reduce_sum(powers, axis=1, keepdims=True)
    loss = tf.reduce_sum(largest + tf.math.log(total)) - (1 - smoothing) * tf.reduce_sum(label_logits)
    slopes = powers * tf.math.reciprocal(total)
    return loss, tf.tensor_scatter_nd_add(slopes, places, tf.fill(tf.shape(labels), smoothing - 1.0))


def evaluate(project: Callable, hidden, labels):
    """Sums of `loss`, `correct` and `weight` over project(hidden), piece by piece."""
    count = tf.shape(labels)[0]
    rows = block_rows(project(hidden[:1]))

    def body(first, loss, correct):
        logits = project(hidden[first : first + rows])
        wanted = labels[first : first + rows]
        right = tf.argmax(logits, axis=-1, output_type=wanted.dtype) == wanted
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=wanted, logits=logits)
        return first + rows, loss + tf.reduce_sum(losses), correct + tf.reduce_sum(tf.cast(right, tf.float32))

    state = 0, tf.constant(0.0), tf.constant(0.0)
    _, loss, correct = tf.while_loop(lambda first, *_: first < count, body, state, parallel_iterations=1)
    return {"loss": loss, "correct": correct, "weight": tf.cast(count, tf.float32)}


def block_rows(logits) -> int:
    """Rows per piece for a vocabulary as wide as these logits."""
    return max(1, BLOCK_LOGITS // logits.shape[-1])
