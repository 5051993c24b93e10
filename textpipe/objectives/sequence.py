"""Texts, token by token: cross-entropy over the vocabulary given the true tokens before (teacher forcing).

Shapes: B batch, U target, N real tokens, R readout, V vocabulary.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

NEEDS = "tokens"
COUNTS = "tokens"
METRICS = {"valid_loss": "min", "valid_accuracy": "max", "valid_perplexity": "min", "valid_bleu": "max"}
UNUSED = dict.fromkeys(("class_weight", "calibration"), "answers with a text, not with a label")
R_DROP = True  # gradients() compares two passes


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
        split = precision.SplitModel(model)
        hidden = split.hidden(inputs, losses.shift_right(targets, model.start_id), training=training)
        return vocabulary_loss.evaluate(split.project, tf.boolean_mask(hidden, real), labels)
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
    """The probability and the seed [2] of scheduled sampling for batch `place` of update `number`."""
    import tensorflow as tf

    from textpipe.training.regularization import scheduled_sampling

    sampling = config.scheduled_sampling
    if sampling is None:
        return ()
    seed = [config.seed % 2**31, (number * config.accumulate + place) % 2**31]
    return tf.constant(scheduled_sampling.rate(sampling, number), tf.float32), tf.constant(seed, tf.int32)


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

    draws: of scheduled sampling; part: number of the shard over all replicas, so that each draws differently. For a model
    with hidden() and project(), the vocabulary layer is computed in blocks (training/vocabulary_loss.py); any other uses autodiff.
    With config.r_drop, the second half of inputs and targets is the second pass over the same rows; the sums are of one.
    """
    import tensorflow as tf

    from textpipe.training import losses, precision, vocabulary_agreement, vocabulary_loss
    from textpipe.training.regularization import r_drop, scheduled_sampling

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
            batch_sums = losses.cross_entropy_sums(logits, labels, smoothing)
            if config.r_drop:
                batch_sums = {name: figure / 2 for name, figure in batch_sums.items()}
                disagreement = r_drop.divergence(*tf.split(logits, 2), independent=False)
                batch_sums["loss"] += config.r_drop * disagreement
            loss = batch_sums["loss"] / total
        return batch_sums, tape.gradient(loss, variables, unconnected_gradients="zero")
    split = precision.SplitModel(model)
    with tf.GradientTape() as tape:
        hidden = split.hidden(inputs, words, training=True)  # [B, U, R]
        hidden = tf.boolean_mask(hidden, real)  # [N, R]
    arguments = split.project_in_updates, hidden, labels, variables
    if config.r_drop:
        summed = vocabulary_agreement.gradients(*arguments, smoothing=smoothing, weight=config.r_drop)
    else:
        summed = vocabulary_loss.gradients(*arguments, smoothing=smoothing)
    batch_sums, hidden_gradient, output_gradients = summed
    model_gradients = tape.gradient(
        hidden, variables, output_gradients=hidden_gradient / total, unconnected_gradients="zero"
    )
    return batch_sums, [
        losses.to_dense(gradient) if output_gradient is None else losses.to_dense(gradient) + output_gradient / total
        for gradient, output_gradient in zip(model_gradients, output_gradients, strict=True)
    ]
