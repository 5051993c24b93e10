"""Beam search with length normalization and n-best answers."""

from typing import Literal

from pydantic import Field

from textpipe.decoding import greedy

OPTIONS = {"beam_size": "int32", **greedy.OPTIONS}
TEXTS = greedy.TEXTS


class Config(greedy.Config):
    """[decode] kind = "beam". Lengths count tokens of the answer with its end_id."""

    kind: Literal["beam"] = "beam"
    beam_size: int = Field(5, ge=1)
    length_penalty: float = Field(1.0, ge=0)  # alpha: 0 favours short answers, larger ones long answers


def decode(model, source, config, options=None, *, codec=None):
    """The beam_size best answers found for each row, best first, in graph.

    source [B, T] -> {"ids": [B, N, U] int32, "scores": [B, N], "log_probs": [B, N], "attention": [B, N, U, T]}

    scores is log_probs / ((5 + length) / 6) ** length_penalty (Wu et al. 2016, equation 14), log_probs the natural
    logarithm of the answer's probability, its end_id included. A finished hypothesis leaves the beam and is kept apart.
    A row is done when no living hypothesis can overtake the worst kept one. Where fewer than beam_size
    answers exist, the rest are all padding with score and log_prob -1e9.

    options: {name of OPTIONS: scalar tensor} and {name of TEXTS: [B] or [1] string}, in place of the config's fields.
    codec: the target's, for texts and rules.
    """
    from textpipe.decoding._beam import Best, search
    from textpipe.decoding._search import Rules, settings

    config = settings(config, options, OPTIONS, TEXTS)
    rules = Rules(config.rules, codec, config.prefix)
    return search(model, source, config, rules, Best(), beam=config.beam_size)
