"""Scheduled sampling: a decoder learns to go on from its own words (Bengio et al., 2015).

Bengio et al. feed a recurrent decoder its own choice at some of the steps. Here, as Mihaylova and Martins (2019) do for
decoders that take all places at once, a first pass over the true words gives the model's own word for each place,
without dropout and without gradient; the second pass, which is trained, reads a mixture of both. It costs one more pass
forward.

A model that reads more than one token from a token may say which are `exchangeable`: those alone are replaced, by each
other. The model "hybrid" replaces known words by known words, so that a spelling stands where the reference has it.

Which places are replaced depends on (seed, step, batch of the update, replica) alone, so a resumed run draws the same.

Shapes: B batch, U target, N real tokens, R readout, V vocabulary.
"""

import math

import tensorflow as tf

from textpipe.training import losses, precision, vocabulary_loss
from textpipe.training.settings import ScheduledSampling

# The exponential has risen by this share after `steps` updates; it never ends.
RISEN = 0.99


def rate(config: ScheduledSampling, step: int) -> float:
    """The probability of replacing a word at an update, counted from 1.

    Bengio et al.'s decays of the true words' share, section 2.4, as rises of the model's own share.

    probability 0.2, start 100, steps 50, linear: 0 at step 100, 0.1 at step 125, 0.2 from step 150 on
    """
    done = step - config.start
    if done <= 0:
        return 0.0
    if config.curve == "linear":
        return config.probability * min(1.0, done / config.steps)
    if config.curve == "exponential":  # k ** i
        return config.probability * (1 - (1 - RISEN) ** (done / config.steps))
    k = inverse_sigmoid_k(config.steps / 2)
    return config.probability * (1 - k / (k + math.exp(min(done / k, 700.0))))  # k / (k + exp(i / k))


def inverse_sigmoid_k(place: float) -> float:
    """The k with which k / (k + exp(i / k)) is 1/2 at i = place: that of k log k = place, by Newton's method."""
    k = max(2.0, place)
    for _ in range(50):
        k = max(1.0, k - (k * math.log(k) - place) / (math.log(k) + 1))
    return k


def mix_predictions(model, inputs, words, *, probability, seed, choose: str):
    """Decoder inputs with some of the true words replaced by the model's own: [B, U] -> [B, U].

    inputs: {field: feature}. words: true ones behind start_id. probability: scalar; at 0 nothing is computed. seed: int32 [2].

    [[2, 7, 8, 9, 0]], the model says 6 after 2, 7 and 8, all are replaced: [[2, 6, 6, 6, 0]]
    """
    real = words != model.pad_id
    replaceable = real & model.exchangeable(words) if hasattr(model, "exchangeable") else real
    first = tf.range(tf.shape(words)[1])[None] == 0

    def replaced():
        other = tf.random.experimental.stateless_fold_in(seed, 1)
        own = predictions(model, inputs, words, real, seed=other, choose=choose)
        own = tf.concat([words[:, :1], own[:, :-1]], axis=1)  # what was said at a place is read at the next
        drawn = tf.random.stateless_uniform(tf.shape(words), seed) < probability
        return tf.where(drawn & replaceable & ~first, own, words)

    return tf.cond(probability > 0, replaced, lambda: words)


def predictions(model, inputs, words, real, *, seed, choose: str):
    """The model's next word at each place that is real, holds a word: ids [B, U], elsewhere 0.

    Its logits are made for a few places at a time, so no [N, V] is held. Padding and start_id are never said, nor
    what is not exchangeable.
    """
    places = tf.where(real)
    if losses.has_projection(model):
        halves = precision.SplitModel(model)
        hidden = tf.boolean_mask(halves.hidden(inputs, words, training=False), real)  # [N, R]
        project = halves.project
    else:
        logits = tf.cast(model(inputs, words, training=False), tf.float32)
        hidden, project = tf.boolean_mask(logits, real), tf.identity  # [N, V]
    size = project(hidden[:1]).shape[-1]
    rows = max(1, vocabulary_loss.BLOCK_LOGITS // size)
    vocabulary_ids = tf.range(size)
    allowed = (vocabulary_ids != model.pad_id) & (vocabulary_ids != model.start_id)
    if hasattr(model, "exchangeable"):
        allowed &= model.exchangeable(vocabulary_ids)
    barred = tf.where(allowed, 0.0, hidden.dtype.min)  # [V]

    def body(start, ids):
        logits = project(hidden[start : start + rows]) + barred
        if choose == "argmax":
            said = tf.argmax(logits, axis=-1, output_type=tf.int32)
        else:
            own = tf.random.experimental.stateless_fold_in(seed, start)
            said = tf.random.stateless_categorical(logits, 1, own, dtype=tf.int32)[:, 0]
        return start + rows, ids.write(start // rows, said)

    count = tf.shape(hidden)[0]
    array = tf.TensorArray(tf.int32, size=-(-count // rows), infer_shape=False, element_shape=[None])
    _, ids = tf.while_loop(lambda start, _: start < count, body, (0, array), parallel_iterations=1)
    return tf.scatter_nd(places, ids.concat(), tf.shape(words, out_type=tf.int64))
