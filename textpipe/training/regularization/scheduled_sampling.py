"""Scheduled sampling: a decoder learns to continue from its own predictions (Bengio et al., 2015).

Bengio et al. feed a recurrent decoder its own choice at some steps. Here, as Mihaylova and Martins (2019) do for decoders
that process all positions at once, a first pass over the true words predicts a word for each position, without dropout
and gradient; the second pass, which is trained, reads a mixture of both. This costs another forward pass.

A model that derives more than one input from a token may say which tokens are `exchangeable`: only those are replaced, by
each other. The model "hybrid" replaces known words by known words, so that spellings stay where the reference has them.

The replaced positions depend only on (seed, step, batch of the update, replica), so a resumed run draws the same ones.

Shapes: B batch, U target, N real tokens, R readout, V vocabulary.
"""

import math

import tensorflow as tf

from textpipe.training import losses, precision, vocabulary_loss
from textpipe.training.settings import ScheduledSampling

# Share of its final value that the exponential reaches after `steps` updates.
FINAL_SHARE = 0.99


def rate(config: ScheduledSampling, step: int) -> float:
    """The probability of replacing a word at an update, counted from 1.

    One minus the decays of Bengio et al., section 2.4.

    probability 0.2, start 100, steps 50, linear: 0 at step 100, 0.1 at step 125, 0.2 from step 150 on
    """
    done = step - config.start
    if done <= 0:
        return 0.0
    if config.curve == "linear":
        return config.probability * min(1.0, done / config.steps)
    if config.curve == "exponential":  # k ** i
        return config.probability * (1 - (1 - FINAL_SHARE) ** (done / config.steps))
    k = inverse_sigmoid_k(config.steps / 2)
    return config.probability * (1 - k / (k + math.exp(min(done / k, 700.0))))  # k / (k + exp(i / k))


def inverse_sigmoid_k(step: float) -> float:
    """The k for which k / (k + exp(i / k)) is 1/2 at i = step: the root of k log k = step, by Newton's method."""
    k = max(2.0, step)
    for _ in range(50):
        k = max(1.0, k - (k * math.log(k) - step) / (math.log(k) + 1))
    return k


def mix_predictions(model, inputs, words, *, probability, seed, choose: str):
    """Decoder inputs with some of the true words replaced by predictions: [B, U] -> [B, U].

    inputs: {field: feature}. words: the true ones after start_id. probability: scalar; at 0 nothing is computed.
    seed: int32 [2].

    [[2, 7, 8, 9, 0]], the model predicts 6 after 2, 7 and 8, and all are replaced: [[2, 6, 6, 6, 0]]
    """
    real = words != model.pad_id
    replaceable = real & model.exchangeable(words) if hasattr(model, "exchangeable") else real
    first = tf.range(tf.shape(words)[1])[None] == 0

    def replaced():
        prediction_seed = tf.random.experimental.stateless_fold_in(seed, 1)
        predicted = predictions(model, inputs, words, real, seed=prediction_seed, choose=choose)
        predicted = tf.concat(
            [words[:, :1], predicted[:, :-1]], axis=1
        )  # a prediction is the input of the next position
        is_replaced = tf.random.stateless_uniform(tf.shape(words), seed) < probability
        return tf.where(is_replaced & replaceable & ~first, predicted, words)

    return tf.cond(probability > 0, replaced, lambda: words)


def predictions(model, inputs, words, real, *, seed, choose: str):
    """The predicted next word at each real position: ids [B, U], 0 at padding.

    Logits are computed for a few positions at a time, so [N, V] is never held. Padding, start_id and tokens that are not
    exchangeable are never predicted.
    """
    positions = tf.where(real)
    if losses.has_projection(model):
        split = precision.SplitModel(model)
        hidden = tf.boolean_mask(split.hidden(inputs, words, training=False), real)  # [N, R]
        project = split.project
    else:
        logits = tf.cast(model(inputs, words, training=False), tf.float32)
        hidden, project = tf.boolean_mask(logits, real), tf.identity  # [N, V]
    size = project(hidden[:1]).shape[-1]
    rows = max(1, vocabulary_loss.BLOCK_LOGITS // size)
    vocabulary_ids = tf.range(size)
    allowed = (vocabulary_ids != model.pad_id) & (vocabulary_ids != model.start_id)
    if hasattr(model, "exchangeable"):
        allowed &= model.exchangeable(vocabulary_ids)
    disallowed = tf.where(allowed, 0.0, hidden.dtype.min)  # [V]

    def body(start, ids):
        logits = project(hidden[start : start + rows]) + disallowed
        if choose == "argmax":
            predicted = tf.argmax(logits, axis=-1, output_type=tf.int32)
        else:
            block_seed = tf.random.experimental.stateless_fold_in(seed, start)
            predicted = tf.random.stateless_categorical(logits, 1, block_seed, dtype=tf.int32)[:, 0]
        return start + rows, ids.write(start // rows, predicted)

    count = tf.shape(hidden)[0]
    array = tf.TensorArray(tf.int32, size=-(-count // rows), infer_shape=False, element_shape=[None])
    _, ids = tf.while_loop(lambda start, _: start < count, body, (0, array), parallel_iterations=1)
    return tf.scatter_nd(positions, ids.concat(), tf.shape(words, out_type=tf.int64))
