"""Sampling from the model's distribution, with temperature, top-k, top-p, and a seed."""

from typing import Literal

from pydantic import Field

from textpipe.decoding import greedy

OPTIONS = {
    "num_samples": "int32",
    "temperature": "float32",
    "top_k": "int32",
    "top_p": "float32",
    "seed": "int32",
    **greedy.OPTIONS,
}
BOUNDS = {"num_samples": 64, "temperature": 100, "top_p": 1, **greedy.BOUNDS}
TEXTS = greedy.TEXTS
NUCLEUS = 64  # likeliest tokens considered first for top_p; all if their probability does not reach it


class Config(greedy.Config):
    """[decode] kind = "sample". Each token is drawn from softmax(logits / temperature), restricted to the top_k likeliest
    tokens (as an option, 0 for all), then to the fewest of these whose probability reaches top_p, and renormalized.
    """

    kind: Literal["sample"] = "sample"
    num_samples: int = Field(1, ge=1)  # answers per row
    temperature: float = Field(1.0, ge=0)  # below 1 sharpens; 0 is greedy
    top_k: int | None = Field(None, ge=1)  # number of likeliest tokens to draw from; all by default
    top_p: float = Field(1.0, gt=0, le=1)  # draw from the likeliest tokens that together reach this probability
    seed: int = Field(1, ge=0)  # random seed


def decode(model, inputs, config, options=None, *, codec=None):
    """num_samples independent answers for each row, sorted by score; some may be equal.

    inputs {field: [B, T]} -> {"ids": [B, N, U] int32, "scores": [B, N], "log_probs": [B, N], "attention": [B, N, U, T]}

    top_p is the nucleus of Holtzman et al. (2020), The Curious Case of Neural Text Degeneration, section 3.1; top_k is
    Fan et al. (2018), section 5.2. Disallowed tokens are never drawn. log_probs is the log-probability under the
    model itself, not under the sampling distribution, so that answers drawn with different options are comparable; scores
    divides it by the length penalty.

    A draw depends only on the seed, the row's tokens, the number of the sample and the position in the answer: a text
    gets the same samples in any batch, and equal texts get equal samples.

    options: {name of OPTIONS: scalar tensor} and {name of TEXTS: [B] or [1] string}, override the config's fields.
    codec: the target's, for texts and rules.
    """
    import tensorflow as tf

    from textpipe.decoding import _random
    from textpipe.decoding._chain import generate
    from textpipe.decoding._search import Rules, source_ids, with_options

    config = with_options(config, options, OPTIONS, TEXTS)
    rules = Rules(config.rules, codec, config.prefix)
    samples, top_k = config.num_samples, 0 if config.top_k is None else config.top_k
    keys = _random.row_keys(config.seed, source_ids(model, inputs), model.pad_id, samples)  # [B * N]

    def choose(allowed, step, done):
        return draw(allowed, _random.uniform(keys, step), config.temperature, top_k, config.top_p, done)

    outputs = generate(model, inputs, config, rules, choose, copies=samples)
    order = tf.argsort(outputs["scores"], axis=1, direction="DESCENDING", stable=True)  # [B, N]
    return {name: tf.gather(part, order, batch_dims=1) for name, part in outputs.items()}


def draw(logits, uniform, temperature, top_k, top_p, done):
    """A token for each row: logits [N, V], -inf for disallowed tokens, uniform [N] in [0, 1) -> [N] int32.

    done [N]: rows whose token does not matter.
    """
    import tensorflow as tf

    temperature, top_k, top_p = (tf.convert_to_tensor(value) for value in (temperature, top_k, top_p))
    probabilities = tf.nn.softmax(logits / tf.where(temperature > 0, temperature, 1.0))

    def restricted():
        return nucleus(probabilities, uniform, top_k, top_p, done)

    def unrestricted():
        return inverse(probabilities, uniform)

    def drawn():
        return tf.cond((top_k > 0) | (top_p < 1), restricted, unrestricted)

    return tf.cond(temperature > 0, drawn, lambda: tf.argmax(logits, axis=1, output_type=tf.int32))


def inverse(weights, uniform):
    """The first index at which the cumulative sum exceeds uniform times the total: [N, W], [N] -> [N] int32.

    An index of weight 0 is never drawn.
    """
    import tensorflow as tf

    total = tf.cumsum(tf.cast(weights, tf.float64), axis=1)
    return tf.reduce_sum(tf.cast(total <= uniform[:, None] * total[:, -1:], tf.int32), axis=1)


def nucleus(probabilities, uniform, top_k, top_p, done):
    """A token among the top_k likeliest (0: all), restricted to the fewest whose share reaches top_p."""
    import tensorflow as tf

    vocab_size = tf.shape(probabilities)[1]
    limited = top_k > 0

    def pick(likeliest, token, uniform):
        share = likeliest / tf.where(limited, tf.reduce_sum(likeliest, axis=1, keepdims=True), 1.0)
        nucleus_share = tf.where(tf.cumsum(share, axis=1, exclusive=True) < top_p, share, 0.0)
        return tf.gather(token, inverse(nucleus_share, uniform), batch_dims=1)

    width = tf.minimum(tf.where(limited, top_k, NUCLEUS), vocab_size)
    likeliest, token = tf.math.top_k(probabilities, width)
    # In most rows few tokens reach top_p; sorting the whole vocabulary for each row would cost more than the model.
    short = tf.logical_not(limited | done) & (tf.reduce_sum(likeliest, axis=1) < top_p)
    rows = tf.where(short)  # [M, 1]
    all_tokens = tf.math.top_k(tf.gather_nd(probabilities, rows), vocab_size)
    return tf.tensor_scatter_nd_update(
        pick(likeliest, token, uniform), rows, pick(*all_tokens, tf.gather_nd(uniform, rows))
    )
