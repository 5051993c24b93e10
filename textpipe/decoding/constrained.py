"""Beam search for answers that contain given words or phrases."""

from typing import Annotated, Literal

from pydantic import AfterValidator

from textpipe.decoding import beam

OPTIONS = beam.OPTIONS
BOUNDS = beam.BOUNDS
TEXTS = ("constraints", *beam.TEXTS)


def one_line(phrase: str) -> str:
    """Refuses blank phrases and phrases of several lines."""
    if not phrase.strip() or len(phrase.splitlines()) > 1:
        raise ValueError("expected a word or a phrase on a single line; remove a blank one, or split it into several")
    return phrase


class Config(beam.Config):
    """[decode] kind = "constrained". As an option of a call, the phrases are a text with a phrase per line."""

    kind: Literal["constrained"] = "constrained"
    constraints: list[Annotated[str, AfterValidator(one_line)]] = []  # words or phrases that every answer must contain


def decode(model, inputs, config, options=None, *, codec=None):
    """The n_best best answers found that contain every phrase of their row, best first, in graph.

    inputs {field: [B, T]} -> {"ids": [B, N, U] int32, "scores": [B, N], "log_probs": [B, N], "attention": [B, N, U, T]}

    Post and Vilar (2018), Fast Lexically Constrained Decoding with Dynamic Beam Allocation: each hypothesis considers,
    besides its likeliest tokens, those that continue its phrases. Hypotheses are grouped in banks by the number of their
    phrase tokens, and the beam is divided among the non-empty banks; slots that a bank does not need go to the likeliest
    hypotheses of the others. Unlike there, phrases may share tokens ("in the park" and "park is"), and the maximum length
    of a row leaves room for its phrases and the end, so there always is an answer unless a rule disallows a phrase. A row
    without phrases is searched as in beam search.

    A phrase is matched as the pieces it is encoded to: it starts a word, and its last word may be extended ("Hausboot"
    contains "Haus"). Scores are as in beam search.

    options: {name of OPTIONS: scalar tensor} and {name of TEXTS: [B] or [1] string}, override the config's fields.
    codec: the target's, for texts and rules.
    """
    from textpipe.decoding._banks import BankCandidates, Phrases
    from textpipe.decoding._beam import search
    from textpipe.decoding._search import Rules, with_options

    if not config.constraints and "constraints" not in (options or {}):
        return beam.decode(model, inputs, config, options, codec=codec)
    config = with_options(config, options, OPTIONS, TEXTS)
    rules = Rules(config.rules, codec, config.prefix)
    rules.rules.append(Phrases.from_texts(config.constraints, codec, rules.prefix_lengths()))
    outputs = search(model, inputs, config, rules, BankCandidates(), beam=config.beam_size)
    return {name: part[:, : config.n_best] for name, part in outputs.items()}
