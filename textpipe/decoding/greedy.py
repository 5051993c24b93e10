"""Greedy search: the likeliest next token at each step."""

from typing import Literal

from pydantic import Field, model_validator

from textpipe.config.sections import Plugin, Section

# Options of a call and their dtypes. max_ratio: 0 for none.
OPTIONS = {
    "max_length": "int32",
    "max_ratio": "float32",
    "max_extra": "int32",
    "min_length": "int32",
    "length_penalty": "float32",
}
# Upper bounds of options for a served model; see _bounds.py.
BOUNDS = {"max_length": 1024, "max_ratio": 100, "max_extra": 1024, "min_length": 1024, "length_penalty": 10}
# Options of a call that are a text per row.
TEXTS = ("prefix",)


class Config(Section):
    """[decode] kind = "greedy". Lengths are in tokens of the answer, including end_id."""

    kind: Literal["greedy"] = "greedy"
    max_length: int = Field(100, ge=1)  # maximum length of an answer
    max_ratio: float | None = Field(None, gt=0)  # limits the length also to ceil(max_ratio * source tokens) + max_extra
    max_extra: int = Field(10, ge=1)  # see max_ratio
    min_length: int = Field(1, ge=1)  # minimum length of an answer
    length_penalty: float = Field(0.0, ge=0)  # alpha in the reported score; does not change answers
    prefix: str = ""  # text that every answer starts with, regardless of max_length; its last word may be extended
    rules: list[Plugin.of("decoding.rules")] = []  # rules for the next token, such as no_repeat_ngram or trie
    replace_unknown: bool = False  # replace <unk> by the source word with most attention, or by its translation

    @model_validator(mode="after")
    def lengths_fit(self):
        if self.min_length > self.max_length:
            raise ValueError(f"min_length = {self.min_length} is more than max_length = {self.max_length}; lower it")
        return self


def decode(model, inputs, config, options=None, *, codec=None):
    """One answer for each row, in graph; shapes as in every decoder, N = 1.

    inputs {field: [B, T]} -> {"ids": [B, 1, U], "scores": [B, 1], "log_probs": [B, 1], "attention": [B, 1, U, T]}

    log_probs is the natural logarithm of the probability of the whole answer, including end_id; scores divides it by the
    length penalty (Wu et al. 2016, equation 14). An answer ends when it reaches its maximum length, or when the rules
    disallow every token; if they disallow the end as well, both values are -1e9.

    options: {name of OPTIONS: scalar tensor} and {name of TEXTS: [B] or [1] string}, override the config's fields.
    codec: the target's, for texts and rules.
    """
    import tensorflow as tf

    from textpipe.decoding._chain import generate
    from textpipe.decoding._search import Rules, with_options

    config = with_options(config, options, OPTIONS, TEXTS)
    rules = Rules(config.rules, codec, config.prefix)

    def choose(allowed, step, done):
        return tf.argmax(allowed, axis=1, output_type=tf.int32)

    return generate(model, inputs, config, rules, choose, copies=1)
