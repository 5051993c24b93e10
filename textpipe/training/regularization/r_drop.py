"""R-Drop: two passes with different dropout should agree (Liang et al. 2021, equations 2 to 4).

    loss = (loss_1 + loss_2) / 2 + weight * (KL(p_1 || p_2) + KL(p_2 || p_1)) / 2

The mean of the two losses in place of their sum, as in the authors' code, keeps the scale of learning rates.
"""

from typing import Any

import tensorflow as tf

from textpipe.training import losses


def divergence(first: Any, second: Any, *, independent: bool) -> Any:
    """The sum over rows of (KL(p_1 || p_2) + KL(p_2 || p_1)) / 2 in nats: logits [B, C] twice -> [].

    independent: each logit is the log-odds of a label of its own; otherwise p = softmax(logits). Both have
    KL(p_1 || p_2) + KL(p_2 || p_1) = sum (p_1 - p_2) * (z_1 - z_2), because the normalizers cancel.
    """
    first, second = losses.loss_precision(first), losses.loss_precision(second)
    probabilities = tf.sigmoid if independent else tf.nn.softmax
    return tf.reduce_sum((probabilities(first) - probabilities(second)) * (first - second)) / 2
