"""Cross-entropy over a large vocabulary with few passes over the logits.   N real tokens, R readout, V vocabulary.

The logits [N, V] of a batch are by far its largest tensor (3,500 x 8,000 x 4 bytes = 112 MB), and three matrix products
with them are most of the arithmetic. Autodiff adds memory traffic: smoothing alone costs a gather, a mean, their
gradients and two sums over [N, V]. Here

* tokens are processed in blocks whose logits stay in cache and in memory that the allocator reuses;
* loss and gradient of the softmax are computed in the memory of the logits; the label's share is added in place;
* the uniform share needs no logits: `project` is affine, so the mean of all logits is that of the projected mean row;
* the gradients of the readout and of the projection's weights are summed over blocks.
"""

from collections.abc import Callable

import tensorflow as tf

# Logits per block, 24 MB: larger blocks leave the cache, and the allocator maps their memory again at every step.
BLOCK_LOGITS = 6_000_000


def gradients(
    project: Callable, hidden, labels, variables, *, smoothing: float, block_loss: Callable | None = None, multiple=1
):
    """Summed smoothed cross-entropy of project(hidden), and its gradients.

    Cross-entropy against (1 - smoothing) on the label and smoothing / V on every word (Szegedy et al., 2016, section 7).
    With c = -log softmax(z)[label] it is c + smoothing * (z[label] - mean(z)).

    project: [n, R] -> logits [n, V], affine. hidden: [N, R]; labels: [N]. Returns the sums (`loss`, `weight`), the gradient
    of hidden [N, R], and that of each variable, None for those that project does not use.

    block_loss: in place of cross_entropy, for blocks of a number of tokens that `multiple` divides.
    """
    block_loss = block_loss or cross_entropy
    count = tf.shape(labels)[0]
    with tf.GradientTape() as tape:
        tape.watch(hidden)
        # A replica may have no token at all; the mean must not be NaN then.
        mean = project(
            tf.reduce_sum(hidden, axis=0, keepdims=True) / tf.cast(tf.maximum(count, 1), hidden.dtype)
        )  # [1, V]
        uniform = -smoothing * tf.reduce_mean(mean) * tf.cast(count, mean.dtype)
    uniform_gradients = tape.gradient(uniform, [hidden, *variables])
    used = [position for position, gradient in enumerate(uniform_gradients[1:]) if gradient is not None]
    weights = [variables[position] for position in used]
    rows = max(multiple, block_rows(mean) // multiple * multiple)

    def body(first, loss, hidden_gradients, totals):
        block = hidden[first : first + rows]
        with tf.GradientTape() as tape:
            tape.watch(block)
            logits = project(block)  # [n, V]
        loss_here, logit_gradients = block_loss(logits, labels[first : first + rows], smoothing)
        gradient, *weight_gradients = tape.gradient(logits, [block, *weights], output_gradients=logit_gradients)
        totals = [
            total + tf.convert_to_tensor(gradient) for total, gradient in zip(totals, weight_gradients, strict=True)
        ]
        return first + rows, loss + loss_here, hidden_gradients.write(first // rows, gradient), totals

    gradient_blocks = tf.TensorArray(
        hidden.dtype, size=-(-count // rows), infer_shape=False, element_shape=[None, hidden.shape[1]]
    )
    if smoothing:
        first_totals = [tf.convert_to_tensor(uniform_gradients[1 + position]) for position in used]
    else:
        first_totals = [tf.zeros(weight.shape, weight.dtype) for weight in weights]
    state = 0, uniform, gradient_blocks, first_totals
    _, loss, gradient_blocks, totals = tf.while_loop(
        lambda first, *_: first < count, body, state, parallel_iterations=1
    )
    hidden_gradient = tf.reshape(gradient_blocks.concat(), tf.shape(hidden))
    if smoothing:
        hidden_gradient += uniform_gradients[0]
    all_gradients = [None] * len(variables)
    for position, total in zip(used, totals, strict=True):
        all_gradients[position] = total
    return {"loss": loss, "weight": tf.cast(count, tf.float32)}, hidden_gradient, all_gradients


def cross_entropy(logits, labels, smoothing: float):
    """Sum of c + smoothing * z[label] over rows, and its gradient of the logits [n, V], in their memory.

    Maximum, difference, exponential, sum and quotient are separate kernels: each passes once over logits in cache, and
    together they take a third of the time of TensorFlow's fused loss, whose kernel does not vectorize.
    """
    indices = tf.stack([tf.range(tf.shape(labels)[0]), labels], axis=1)
    label_logits = tf.gather_nd(logits, indices)
    # Read before the difference, so that the difference is the last to need the logits and may overwrite them.
    with tf.control_dependencies([label_logits]):
        largest = tf.reduce_max(logits, axis=1, keepdims=True)  # [n, 1]
        powers = tf.exp(logits - largest)
    total = tf.reduce_sum(powers, axis=1, keepdims=True)
    loss = tf.reduce_sum(largest + tf.math.log(total)) - (1 - smoothing) * tf.reduce_sum(label_logits)
    logit_gradients = powers * tf.math.reciprocal(total)
    return loss, tf.tensor_scatter_nd_add(
        logit_gradients, indices, tf.fill(tf.shape(labels), tf.constant(smoothing - 1.0, logits.dtype))
    )


def evaluate(project: Callable, hidden, labels):
    """Sums of `loss`, `correct` and `weight` over project(hidden), block by block."""
    count = tf.shape(labels)[0]
    first_logits = project(hidden[:1])
    rows = block_rows(first_logits)

    def body(first, loss, correct):
        logits = project(hidden[first : first + rows])
        block_labels = labels[first : first + rows]
        correct_rows = tf.argmax(logits, axis=-1, output_type=labels.dtype) == block_labels
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=block_labels, logits=logits)
        return first + rows, loss + tf.reduce_sum(losses), correct + tf.reduce_sum(tf.cast(correct_rows, tf.float32))

    state = 0, tf.zeros([], first_logits.dtype), tf.constant(0.0)
    _, loss, correct = tf.while_loop(lambda first, *_: first < count, body, state, parallel_iterations=1)
    return {"loss": loss, "correct": correct, "weight": tf.cast(count, tf.float32)}


def block_rows(logits) -> int:
    """Rows per block for the vocabulary of these logits."""
    return max(1, BLOCK_LOGITS // logits.shape[-1])
