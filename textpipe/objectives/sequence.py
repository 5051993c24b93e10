"""Texts, token by token: cross-entropy over the vocabulary with the true tokens before each given (teacher forcing).

Shapes: B batch, U target, N real tokens, R readout, V vocabulary.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

NEEDS = "tokens"
COUNTS = "tokens"
METRICS = {"valid_loss": "min", "valid_accuracy": "max", "valid_perplexity": "min", "valid_bleu": "max"}
UNUSED: dict[str, str] = {}


def weight(targets: Any) -> Any:
    """Real tokens of a batch of ids [B, U]."""
    import tensorflow as tf

    return tf.math.count_nonzero(targets, dtype=tf.int32)


def sums(model: Any, inputs: Mapping[str, Any], targets: Any, *, training: bool = False, config: Any = None) -> dict:
    """Sums of `loss` (nats), `correct` and `weight` over the real tokens of targets [B, U], without smoothing."""
    import tensorflow as tf

    from textpipe.training import losses, precision, vocabulary_loss

    real = targets != 0
    labels = tf.boolean_mask(targets, real)
    if losses.has_projection(model):
        halves = precision.SplitModel(model)
        hidden = halves.hidden(inputs, losses.shift_right(targets, model.start_id), training=training)
        return vocabulary_loss.evaluate(halves.project, tf.boolean_mask(hidden, real), labels)
    return losses.cross_entropy_sums(losses.token_logits(model, inputs, targets, training=training), labels)


def figures(sums: Mapping[str, float]) -> dict[str, float]:
    """valid_loss (nats per token; no penalty, no smoothing), valid_accuracy and valid_perplexity."""
    loss = sums["loss"] / sums["weight"]
    return {
        "valid_loss": loss,
        "valid_accuracy": sums["correct"] / sums["weight"],
        "valid_perplexity": math.exp(min(loss, 700.0)),
    }


def draws(config: Any, number: int, place: int) -> tuple:
    """What scheduled sampling needs to know of batch `place` of update `number`: the probability and the seed [2]."""
    import tensorflow as tf

    from textpipe.training.regularization import scheduled_sampling

    rule = config.scheduled_sampling
    if rule is None:
        return ()
    seed = [config.seed % 2**31, (number * config.accumulate + place) % 2**31]
    return tf.constant(scheduled_sampling.rate(rule, number), tf.float32), tf.constant(seed, tf.int32)


def gradients(
    model: Any,
    inputs: Mapping[str, Any],
    targets: Any,
    variables: Sequence[Any],
    *,
    total: Any,
    config: Any,
    draws: tuple = (),
    part: Any = 0,
) -> tuple[dict, list[Any]]:
    """Sums of `loss` and `weight`, and the gradient of loss / total for each variable.

    draws: of scheduled sampling, for which each part of each replica draws its own. A model with hidden() and project() has
    the vocabulary layer done in pieces (see vocabulary.py); any other is left to autodiff.
    """
    import tensorflow as tf

    from textpipe.training import losses, precision, vocabulary_loss
    from textpipe.training.regularization import scheduled_sampling

    real = targets != 0  # [B, U]
    labels = tf.boolean_mask(targets, real)  # [N]
    words = losses.shift_right(targets, model.start_id)
    smoothing = config.label_smoothing
    if draws:
        probability, seed = draws
        seed = tf.random.experimental.stateless_fold_in(seed, part)
        choose = config.scheduled_sampling.choose
        words = scheduled_sampling.mix_predictions(
            model, inputs, words, probability=probability, seed=seed, choose=choose
        )
    if not losses.has_projection(model):
        with tf.GradientTape() as tape:
            logits = losses.token_logits(model, inputs, targets, training=True, words=words)
            found = losses.cross_entropy_sums(logits, labels, smoothing)
            loss = found["loss"] / total
        return found, tape.gradient(loss, variables, unconnected_gradients="zero")
    halves = precision.SplitModel(model)
    with tf.GradientTape() as tape:
        hidden = halves.hidden(inputs, words, training=True)  # [B, U, R]
        hidden = tf.boolean_mask(hidden, real)  # [N, R]
    found, slopes, own = vocabulary_loss.gradients(halves.project, hidden, labels, variables, smoothing=smoothing)
    below = tape.gradient(hidden, variables, output_gradients=slopes / total, unconnected_gradients="zero")
    return found, [
        losses.to_dense(one) if mine is None else losses.to_dense(one) + mine / total
        for one, mine in zip(below, own, strict=True)
    ]
