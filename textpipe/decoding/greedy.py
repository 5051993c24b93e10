"""The likeliest next token, again and again."""

from typing import Literal

from pydantic import Field, model_validator

from textpipe.config.sections import Plugin, Section

# What a caller may set for one call, and its dtype. max_ratio: 0 for none.
OPTIONS = {
    "max_length": "int32",
    "max_ratio": "float32",
    "max_extra": "int32",
    "min_length": "int32",
    "length_penalty": "float32",
}
# What a caller of a served model may set them to at most; see _bounds.py.
BOUNDS = {"max_length": 1024, "max_ratio": 100, "max_extra": 1024, "min_length": 1024, "length_penalty": 10}
# What a caller may set for one call as a text for each row.
TEXTS = ("prefix",)


class Config(Section):
    """[decode] kind = "greedy". Lengths count tokens of the answer with its end_id."""

    kind: Literal["greedy"] = "greedy"
    max_length: int = Field(100, ge=1)  # at this length an answer is ended
    max_ratio: float | None = Field(None, gt=0)  # or at ceil(max_ratio * source tokens) + max_extra, if less
    max_extra: int = Field(10, ge=1)  # see max_ratio
    min_length: int = Field(1, ge=1)  # no end_id before this length
    length_penalty: float = Field(0.0, ge=0)  # alpha in the reported score; changes no answer
    prefix: str = ""  # what an answer begins with, whatever max_length is; its last word may go on
    rules: list[Plugin.of("decoding.rules")] = []  # what may not come next
    replace_unknown: bool = False  # a word answered as <unk> is the source word attended to most, or its translation

    @model_validator(mode="after")
    def lengths_fit(self):
        if self.min_length > self.max_length:
            raise ValueError(f"min_length = {self.min_length} is more than max_length = {self.max_length}; lower it")
        return self


def decode(model, inputs, config, options=None, *, codec=None):
    """One answer for each row, in graph; shapes as in every decoder, N = 1.

    inputs {field: [B, T]} -> {"ids": [B, 1, U], "scores": [B, 1], "log_probs": [B, 1], "attention": [B, 1, U, T]}

    log_probs is the natural logarithm of the whole answer's probability, its end_id included; scores divides it by the
    length penalty (Wu et al. 2016, equation 14). An answer that reaches its longest length is ended there. So is one
    for which the rules leave nothing; both are then -1e9 if they bar the end as well.

    options: {name of OPTIONS: scalar tensor} and {name of TEXTS: [B] or [1] string}, in place of the config's fields.
    codec: the target's, for texts and rules.
    """
    import tensorflow as tf

    from textpipe.decoding._chain import generate
    from textpipe.decoding._search import Rules, settings

    config = settings(config, options, OPTIONS, TEXTS)
    rules = Rules(config.rules, codec, config.prefix)

    def choose(allowed, step, done):
        return tf.argmax(allowed, axis=1, output_type=tf.int32)

    return generate(model, inputs, config, rules, choose, copies=1)
