"""The likeliest next token, again and again."""

from typing import Literal

from pydantic import Field, model_validator

from textpipe.config import Plugin, Section

# What a caller may set for one call, and its dtype. max_ratio: 0 for none.
OPTIONS = {
    "max_length": "int32",
    "max_ratio": "float32",
    "max_extra": "int32",
    "min_length": "int32",
    "length_penalty": "float32",
}
# What a caller may set for one call as a text for each row.
TEXTS = ("prefix",)


class Config(Section):
    """[decode] kind = "greedy". Lengths count tokens of the answer with its end_id."""

    kind: Literal["greedy"] = "greedy"
    max_length: int = Field(100, ge=1)  # at this length an answer is ended
    max_ratio: float | None = Field(None, gt=0)  # or at max_ratio * source length + max_extra, if that is less
    max_extra: int = Field(10, ge=1)
    min_length: int = Field(1, ge=1)  # no end_id before this length
    length_penalty: float = Field(0.0, ge=0)  # alpha in the reported score; changes no answer
    prefix: str = ""  # what an answer begins with, whatever max_length is; its last word may go on
    rules: list[Plugin.of("decoding.rules")] = []  # what may not come next

    @model_validator(mode="after")
    def lengths_fit(self):
        if self.min_length > self.max_length:
            raise ValueError(f"min_length = {self.min_length} is more than max_length = {self.max_length}; lower it")
        return self


def decode(model, source, config, options=None, *, codec=None):
    """One answer for each row, in graph; shapes as in every decoder, N = 1.

    source [B, T] -> {"ids": [B, 1, U], "scores": [B, 1], "log_probs": [B, 1], "attention": [B, 1, U, T]}

    log_probs is the natural logarithm of the whole answer's probability, its end_id included; scores divides it by the
    length penalty (Wu et al. 2016, equation 14). An answer that reaches its longest length is ended there. So is one
    for which the rules leave nothing; both are then -1e9 if they bar the end as well.

    options: {name of OPTIONS: scalar tensor} and {name of TEXTS: [B] or [1] string}, in place of the config's fields.
    codec: the target's, for texts and rules.
    """
    import tensorflow as tf

    from textpipe.decoding._search import (
        ABSENT,
        Rules,
        attention_at,
        caps,
        constant,
        growing,
        join,
        length_penalty,
        next_token_mask,
        settings,
        split,
    )

    config = settings(config, options, OPTIONS, TEXTS)
    rules = Rules(config.rules, codec, config.prefix)
    rows = tf.shape(source)[0]
    cap = rules.caps(caps(source, model.pad_id, config))
    longest = tf.reduce_max(cap)
    fixed, state = split(model.start(model.encode(source)))

    def unfinished(step, state, ruled, last, done, log_probs, ids, attention):
        return tf.logical_and(step < longest, tf.logical_not(tf.reduce_all(done)))

    def advance(step, state, ruled, last, done, log_probs, ids, attention):
        logits, after, weights = model.step(join(fixed, state), last)
        logits = tf.cast(logits, tf.float32)
        permitted = rules.without(logits, ruled, step + 1)
        allowed = permitted + next_token_mask(model, tf.shape(logits)[1], step + 1, cap, config)
        token = tf.argmax(allowed, axis=1, output_type=tf.int32)
        if rules.rules:
            token = tf.where(tf.reduce_all(tf.math.is_inf(allowed), axis=1), model.end_id, token)
        chosen = tf.gather(permitted, token, batch_dims=1) - tf.reduce_logsumexp(logits, axis=1)
        log_probs = tf.where(done, log_probs, log_probs + chosen)
        token = tf.where(done, model.pad_id, token)
        ids, attention = ids.write(step, token), attention.write(step, weights)
        ruled = rules.advance(ruled, token)
        return step + 1, split(after)[1], ruled, token, done | tf.equal(token, model.end_id), log_probs, ids, attention

    loop = (
        tf.constant(0),
        state,
        rules.start(rows),
        tf.fill([rows], model.start_id),
        tf.zeros([rows], tf.bool),
        tf.zeros([rows]),
        tf.TensorArray(tf.int32, size=0, dynamic_size=True, element_shape=[None]),
        tf.TensorArray(tf.float32, size=0, dynamic_size=True, element_shape=[None, None]),
    )
    invariants = list(tf.nest.map_structure(constant, loop))
    invariants[2] = tf.nest.map_structure(growing, loop[2])
    *_, log_probs, ids, attention = tf.while_loop(unfinished, advance, loop, shape_invariants=tuple(invariants))
    ids = tf.transpose(ids.stack())[:, None, :]
    length = tf.reduce_sum(tf.cast(tf.not_equal(ids, model.pad_id), tf.float32), axis=-1)
    log_probs = tf.maximum(log_probs, ABSENT)[:, None]
    slots = tf.zeros_like(ids)
    return {
        "ids": ids,
        "scores": tf.where(log_probs > ABSENT, log_probs / length_penalty(length, config.length_penalty), ABSENT),
        "log_probs": log_probs,
        "attention": attention_at(attention.stack()[:, :, None, :], slots, ids, model.pad_id),
    }
