"""Beam search with length normalization and n-best answers."""

from typing import Literal

from pydantic import Field, model_validator

from textpipe.decoding import greedy

OPTIONS = {"beam_size": "int32", "coverage_penalty": "float32", "patience": "float32", **greedy.OPTIONS}
BOUNDS = {"beam_size": 64, "coverage_penalty": 10, "patience": 100, **greedy.BOUNDS}
TEXTS = greedy.TEXTS


class Config(greedy.Config):
    """[decode] kind = "beam". Lengths are in tokens of the answer, including end_id.

    coverage_penalty: beta, penalizes source tokens that received little attention; 0 for models without attention.
    n_best: number of answers; default beam_size. A smaller number ends the search sooner and gives the same best answers,
        also with patience.
    patience: end the search of a row when patience * beam_size answers have ended among its beam_size best candidates
        (Kasai et al. 2022, A Call for Clarity in Beam Search, algorithm 1), even if a better one is possible. By default
        the search continues while any hypothesis can win.
    """

    kind: Literal["beam"] = "beam"
    beam_size: int = Field(5, ge=1)  # hypotheses kept per row
    length_penalty: float = Field(1.0, ge=0)  # alpha: 0 favours short answers, larger values long ones
    coverage_penalty: float = Field(0.0, ge=0)
    n_best: int | None = Field(None, ge=1)
    patience: float | None = Field(None, gt=0)

    @model_validator(mode="after")
    def answers_fit(self):
        if self.n_best is not None and self.n_best > self.beam_size:
            raise ValueError(f"n_best = {self.n_best} is more than beam_size = {self.beam_size}; raise beam_size")
        return self


def decode(model, inputs, config, options=None, *, codec=None):
    """The n_best best answers found for each row, best first, in graph.

    inputs {field: [B, T]} -> {"ids": [B, N, U] int32, "scores": [B, N], "log_probs": [B, N], "attention": [B, N, U, T]}

    With answers of U tokens, their end_id included, and log_probs the natural logarithm of their probability, scores is

        log_probs / ((5 + U) / 6) ** length_penalty
        + coverage_penalty * sum over source tokens i of ln(min(sum over j of attention[j, i], 1))

    (Wu et al. 2016, equations 14 and 15). Both penalties rank finished answers and do not guide the search. A finished hypothesis leaves the beam. The search of a
    row ends when no live hypothesis can overtake the worst answer kept, or when its patience is exhausted; the row then
    leaves the batch. If fewer answers are found, the rest is padding with score and log_prob -1e9.

    options: {name of OPTIONS: scalar tensor} and {name of TEXTS: [B] or [1] string}, override the config's fields.
    codec: the target's, for texts and rules.
    """
    import tensorflow as tf

    from textpipe.decoding._compact import search
    from textpipe.decoding._search import Rules, with_options

    config = with_options(config, options, OPTIONS, TEXTS)
    rules = Rules(config.rules, codec, config.prefix)
    answers = config.beam_size if config.n_best is None else tf.minimum(config.n_best, config.beam_size)
    return search(model, inputs, config, rules, answers=answers)
