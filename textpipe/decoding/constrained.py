"""Beam search for answers that hold given words or phrases."""

from typing import Annotated, Literal

from pydantic import AfterValidator

from textpipe.decoding import beam

OPTIONS = beam.OPTIONS
BOUNDS = beam.BOUNDS
TEXTS = ("constraints", *beam.TEXTS)


def one_line(phrase: str) -> str:
    """Refuses what cannot be told from nothing, or from two phrases."""
    if not phrase.strip() or len(phrase.splitlines()) > 1:
        raise ValueError("expected a word or a phrase on one line; drop it or split it")
    return phrase


class Config(beam.Config):
    """[decode] kind = "constrained". For one call the phrases are a text, a phrase a line."""

    kind: Literal["constrained"] = "constrained"
    constraints: list[Annotated[str, AfterValidator(one_line)]] = []  # what every answer must hold


def decode(model, inputs, config, options=None, *, codec=None):
    """The n_best best answers found that hold every phrase of their row, best first, in graph.

    inputs {field: [B, T]} -> {"ids": [B, N, U] int32, "scores": [B, N], "log_probs": [B, N], "attention": [B, N, U, T]}

    Post and Vilar (2018), Fast Lexically Constrained Decoding with Dynamic Beam Allocation: besides the likeliest tokens
    each hypothesis looks at those that go on with its phrases, hypotheses stand in banks by how many tokens of their
    phrases they have, and the beam is shared among the banks that are not empty; what one does not need goes to the
    likeliest of the others. Unlike there, phrases may share tokens ("in the park" and "park is"), and a row's longest
    answer is never less than its phrases and the end take, so that there always is an answer unless a rule bars a
    phrase. A row without phrases is searched as beam search does.

    A phrase is held as the pieces it is encoded to: it begins a word, and its last word may go on ("Haus" is held by
    "Hausboot"). Scores are as in beam search.

    options: {name of OPTIONS: scalar tensor} and {name of TEXTS: [B] or [1] string}, in place of the config's fields.
    codec: the target's, for texts and rules.
    """
    from textpipe.decoding._banks import BankCandidates, Phrases
    from textpipe.decoding._beam import search
    from textpipe.decoding._search import Rules, settings

    if not config.constraints and "constraints" not in (options or {}):
        return beam.decode(model, inputs, config, options, codec=codec)
    config = settings(config, options, OPTIONS, TEXTS)
    rules = Rules(config.rules, codec, config.prefix)
    rules.rules.append(Phrases.from_texts(config.constraints, codec, rules.prefix_lengths()))
    found = search(model, inputs, config, rules, BankCandidates(), beam=config.beam_size)
    return {name: part[:, : config.n_best] for name, part in found.items()}
