"""The choice of the replies that are suggested together.   Shapes: B batch, R responses, K candidates, N replies."""

import tensorflow as tf

from textpipe.answers._candidates import Candidates
from textpipe.decoding._search import ABSENT

EXCLUDED_SCORE = -1e10  # the score of a reply that may not be chosen


def choose(
    candidates: Candidates, intents: tf.Tensor, polarity: tf.Tensor, count: tf.Tensor, diverse: tf.Tensor
) -> tf.Tensor:
    """The places of the replies among the candidates [B, N], -1 where no more are left; intents [R], polarity [R].

    One by one the highest score; with diversity only of intents not yet given, and if what was chosen before the last place is
    positive in part and never negative, the last is the best negative one; the other way round likewise (Kannan et al. 2016,
    section 5).
    """
    logits = candidates.scores
    rows, width = tf.unstack(tf.shape(logits))
    count = tf.minimum(count, width)
    candidate_intents, candidate_polarity = candidates.of(intents), candidates.of(polarity)  # [B, K]

    def step(at: tf.Tensor, available: tf.Tensor, chosen: tf.Tensor) -> tuple[tf.Tensor, ...]:
        signs = tf.where(chosen >= 0, tf.gather(polarity, tf.maximum(candidates.at(chosen), 0)), 0)  # [B, at]
        positive, negative = (tf.reduce_any(signs == sign, axis=1) for sign in (1, -1))  # [B]
        target_sign = tf.where(positive & ~negative, -1, tf.where(negative & ~positive, 1, 0))  # [B]
        target_sign = tf.where(diverse & (at == count - 1) & (at > 0), target_sign, 0)
        eligible = available & ((target_sign[:, None] == 0) | (candidate_polarity == target_sign[:, None]))  # [B, K]
        eligible &= logits > ABSENT / 2  # a ranker's search did not find the others
        eligible = tf.where(tf.reduce_any(eligible, axis=1, keepdims=True), eligible, available)
        best = tf.argmax(tf.where(eligible, logits, EXCLUDED_SCORE), axis=1, output_type=tf.int32)
        best = tf.where(tf.reduce_any(available, axis=1), best, -1)
        intent = tf.where(best >= 0, tf.gather(intents, tf.maximum(candidates.at(best[:, None])[:, 0], 0)), -1)
        excluded = tf.where(diverse, candidate_intents == intent[:, None], tf.range(width)[None] == best[:, None])
        return at + 1, available & ~excluded, tf.concat([chosen, best[:, None]], axis=1)

    final_state = tf.while_loop(
        lambda at, *_: at < count,
        step,
        (tf.constant(0), candidates.present(), tf.zeros([rows, 0], tf.int32)),
        shape_invariants=(tf.TensorShape([]), tf.TensorShape([None, None]), tf.TensorShape([None, None])),
    )
    return final_state[2]
