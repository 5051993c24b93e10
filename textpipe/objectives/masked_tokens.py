"""Masked tokens: some tokens of a text are hidden, and the model predicts them from the others (Devlin et al. 2019, BERT, section 3.1).

Of each text 15 % of the tokens are chosen, at least one. Of these, 80 % become the mask, 10 % another token drawn evenly, and 10 % stay. The mask is the
start token, which no text contains.   Shapes: B batch, T tokens, N chosen tokens, V vocabulary.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from textpipe.text.special_tokens import END_ID, PAD_ID, SPECIAL_TOKENS, START_ID

NEEDS = "masked"
COUNTS = "tokens"
METRICS = {"valid_loss": "min", "valid_accuracy": "max", "valid_perplexity": "min"}
WHOLE = "predicts hidden tokens of the text"
# Settings of [train] without effect, and why.
UNUSED = dict.fromkeys(("scheduled_sampling", "valid_bleu_rows", "word_dropout", "class_weight", "calibration"), WHOLE)
SHARE = 0.15  # of the tokens are predicted
MASKED, RANDOM = 0.8, 0.1  # of the chosen tokens
MASK_ID = START_ID


def num_chosen(targets: Any) -> Any:
    """How many tokens of each row are predicted: ids [B, T] -> int32 [B]."""
    import tensorflow as tf

    lengths = tf.math.count_nonzero(is_token(targets), axis=1, dtype=tf.int32)
    share = tf.cast(tf.round(SHARE * tf.cast(lengths, tf.float32)), tf.int32)
    return tf.minimum(lengths, tf.maximum(share, 1))


def is_token(ids: Any) -> Any:
    """True at tokens that may be predicted: neither padding nor the end."""
    return (ids != PAD_ID) & (ids != END_ID)


def weight(targets: Any) -> Any:
    """Predicted tokens of a batch of ids [B, T]."""
    import tensorflow as tf

    return tf.reduce_sum(num_chosen(targets))


def corrupt(ids: Any, numbers: Any, vocab_size: int) -> tuple[Any, Any]:
    """What the model reads, and where it predicts: ids [B, T] -> ids [B, T], bool [B, T].

    numbers: three of [0, 1) for each token, [3, B, T]: the lowest are chosen, what becomes of a chosen one, and the token that replaces it.

    [[7, 8, 9, 3]] -> [[7, 2, 9, 3]], [[False, True, False, False]]
    """
    import tensorflow as tf

    order, action, token = tf.unstack(numbers)
    ranks = tf.argsort(tf.argsort(tf.where(is_token(ids), order, 2.0), axis=1, stable=True), axis=1, stable=True)
    chosen = ranks < num_chosen(ids)[:, None]
    first = len(SPECIAL_TOKENS)
    # fixed_numbers rounds its highest numbers to 1.
    random_ids = tf.minimum(first + tf.cast(token * (vocab_size - first), tf.int32), vocab_size - 1)
    replaced = tf.where(action < MASKED, MASK_ID, tf.where(action < MASKED + RANDOM, random_ids, ids))
    return tf.where(chosen, replaced, ids), chosen


def fixed_numbers(ids: Any) -> Any:
    """Numbers for `corrupt` that depend on a row and a position alone, so that texts are always masked alike: [B, T] -> [3, B, T]."""
    import tensorflow as tf

    from textpipe.objectives.in_batch import mixed

    positions = tf.range(tf.shape(ids, out_type=tf.int64)[1]) + 1
    content = tf.reduce_sum(tf.cast(ids, tf.int64) * positions * positions, axis=1, keepdims=True)
    return tf.stack([tf.cast(mixed(content * 2**20 + positions, salt), tf.float32) / 2**30 for salt in (1, 2, 3)])


def sums(model: Any, inputs: Mapping[str, Any], targets: Any, *, training: bool = False, config: Any = None) -> dict:
    """Sums of `loss` (nats), `correct` and `weight` over the predicted tokens of targets [B, T], masked alike in each call."""
    from textpipe.training import losses

    corrupted_ids, chosen = corrupt(targets, fixed_numbers(targets), model.vocab_size)
    return losses.cross_entropy_sums(*predictions(model, corrupted_ids, chosen, targets, training=training))


def predictions(model: Any, corrupted_ids: Any, chosen: Any, targets: Any, *, training: bool) -> tuple[Any, Any]:
    """The logits [N, V] and labels [N] of the chosen tokens."""
    import tensorflow as tf

    from textpipe.training import losses, precision

    split = precision.SplitModel(model)
    hidden = tf.boolean_mask(split.hidden({}, corrupted_ids, training=training), chosen)
    return losses.loss_precision(split.project(hidden)), tf.boolean_mask(targets, chosen)


def figures(sums: Mapping[str, float]) -> dict[str, float]:
    """valid_loss (nats per predicted token), valid_accuracy and valid_perplexity."""
    loss = sums["loss"] / max(1.0, sums["weight"])
    return {
        "valid_loss": loss,
        "valid_accuracy": sums["correct"] / max(1.0, sums["weight"]),
        "valid_perplexity": math.exp(min(loss, 700.0)),
    }


def draws(config: Any, number: int, place: int) -> tuple:
    """The seed [2] of batch `place` of update `number`."""
    import tensorflow as tf

    return (tf.constant([config.seed % 2**31, (number * config.accumulate + place) % 2**31], tf.int32),)


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
    """Sums of `loss` and `weight`, and the gradient of loss / total for each variable, of newly drawn masks; see objectives/sequence.py."""
    import tensorflow as tf

    from textpipe.training import losses

    seed = tf.random.experimental.stateless_fold_in(draws[0], part)
    numbers = tf.random.stateless_uniform(tf.concat([[3], tf.shape(targets)], axis=0), seed)
    corrupted_ids, chosen = corrupt(targets, numbers, model.vocab_size)
    with tf.GradientTape() as tape:
        logits, labels = predictions(model, corrupted_ids, chosen, targets, training=True)
        batch_sums = losses.cross_entropy_sums(logits, labels, config.label_smoothing)
        loss = batch_sums["loss"] / tf.maximum(total, 1.0)
    return batch_sums, tape.gradient(loss, variables, unconnected_gradients="zero")
