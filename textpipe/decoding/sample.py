"""Answers drawn from the model's distribution: temperature, top-k, top-p, and a seed."""

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
NUCLEUS = 64  # tokens looked at first for the most probable top_p; all where they do not reach it


class Config(greedy.Config):
    """[decode] kind = "sample". Each next token is drawn from softmax(logits / temperature), cut to the top_k likeliest
    tokens (as an option, 0 for all), then to the fewest of these whose probability comes to top_p, renormalized.
    """

    kind: Literal["sample"] = "sample"
    num_samples: int = Field(1, ge=1)  # answers a row
    temperature: float = Field(1.0, ge=0)  # below 1 sharpens; 0 is greedy
    top_k: int | None = Field(None, ge=1)  # draw from so many of the likeliest tokens; all when left out
    top_p: float = Field(1.0, gt=0, le=1)  # draw from the likeliest tokens that come to this probability
    seed: int = Field(1, ge=0)  # of the draws


def decode(model, inputs, config, options=None, *, codec=None):
    """num_samples independent answers for each row, those with the best scores first; equal ones may be among them.

    inputs {field: [B, T]} -> {"ids": [B, N, U] int32, "scores": [B, N], "log_probs": [B, N], "attention": [B, N, U, T]}

    top_p is the nucleus of Holtzman et al. (2020), The Curious Case of Neural Text Degeneration, section 3.1; top_k is
    Fan et al. (2018), section 5.2. What lengths and rules bar is never drawn. log_probs is the answer's log-probability
    under the model itself, not under the distribution it was drawn from, so that answers drawn with different options
    compare; scores divides it by the length penalty.

    A draw depends on the seed, the row's tokens, the sample's number and the place in the answer alone: a text gets the
    same samples whatever else is in the batch, and equal texts get equal ones.

    options: {name of OPTIONS: scalar tensor} and {name of TEXTS: [B] or [1] string}, in place of the config's fields.
    codec: the target's, for texts and rules.
    """
    import tensorflow as tf

    from textpipe.decoding import _random
    from textpipe.decoding._chain import generate
    from textpipe.decoding._search import Rules, settings, source_ids

    config = settings(config, options, OPTIONS, TEXTS)
    rules = Rules(config.rules, codec, config.prefix)
    samples, top_k = config.num_samples, 0 if config.top_k is None else config.top_k
    keys = _random.row_keys(config.seed, source_ids(model, inputs), model.pad_id, samples)  # [B * N]

    def choose(allowed, step, done):
        return draw(allowed, _random.uniform(keys, step), config.temperature, top_k, config.top_p, done)

    found = generate(model, inputs, config, rules, choose, copies=samples)
    order = tf.argsort(found["scores"], axis=1, direction="DESCENDING", stable=True)  # [B, N]
    return {name: tf.gather(part, order, batch_dims=1) for name, part in found.items()}


def draw(logits, uniform, temperature, top_k, top_p, done):
    """A token for each row: logits [N, V], -inf for what is barred, uniform [N] in [0, 1) -> [N] int32.

    done [N]: rows whose token does not matter.
    """
    import tensorflow as tf

    temperature, top_k, top_p = (tf.convert_to_tensor(value) for value in (temperature, top_k, top_p))
    probabilities = tf.nn.softmax(logits / tf.where(temperature > 0, temperature, 1.0))

    def cut():
        return nucleus(probabilities, uniform, top_k, top_p, done)

    def whole():
        return inverse(probabilities, uniform)

    def drawn():
        return tf.cond((top_k > 0) | (top_p < 1), cut, whole)

    return tf.cond(temperature > 0, drawn, lambda: tf.argmax(logits, axis=1, output_type=tf.int32))


def inverse(weights, uniform):
    """The first place at which the running sum passes uniform times the whole: [N, W], [N] -> [N] int32.

    A place of weight 0 is never taken.
    """
    import tensorflow as tf

    total = tf.cumsum(tf.cast(weights, tf.float64), axis=1)
    return tf.reduce_sum(tf.cast(total <= uniform[:, None] * total[:, -1:], tf.int32), axis=1)


def nucleus(probabilities, uniform, top_k, top_p, done):
    """A token among the likeliest top_k (0: all) and of these the fewest whose share comes to top_p."""
    import tensorflow as tf

    vocab_size = tf.shape(probabilities)[1]
    given = top_k > 0

    def pick(likeliest, token, uniform):
        share = likeliest / tf.where(given, tf.reduce_sum(likeliest, axis=1, keepdims=True), 1.0)
        kept = tf.where(tf.cumsum(share, axis=1, exclusive=True) < top_p, share, 0.0)
        return tf.gather(token, inverse(kept, uniform), batch_dims=1)

    width = tf.minimum(tf.where(given, top_k, NUCLEUS), vocab_size)
    likeliest, token = tf.math.top_k(probabilities, width)
    # Few tokens reach top_p in most rows; to sort all of them for each row would cost more than the model.
    short = tf.logical_not(given | done) & (tf.reduce_sum(likeliest, axis=1) < top_p)
    rows = tf.where(short)  # [M, 1]
    every = tf.math.top_k(tf.gather_nd(probabilities, rows), vocab_size)
    return tf.tensor_scatter_nd_update(pick(likeliest, token, uniform), rows, pick(*every, tf.gather_nd(uniform, rows)))
