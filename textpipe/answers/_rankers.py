"""The ranker of a response set: by matching if the model gives vectors, by likelihood if it gives tokens.   Shapes: R responses."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from textpipe.answers._likelihood import Likelihood
from textpipe.answers._matching import Matching
from textpipe.answers._ranking_settings import MAX_EXACT, Config, Index
from textpipe.answers._reply_prior import PRIORS
from textpipe.answers._response_set import Response
from textpipe.errors import ConfigError
from textpipe.servable.tracing import Graph


def prior(responses: Sequence[Response], settings: Config, weight: float) -> np.ndarray:
    """What is added to the scores of the responses, [R]. weight: of the prior, unless the settings give another.

    Raises ConfigError for a language model of too many responses.
    """
    if settings.prior == "language_model" and len(responses) > MAX_EXACT:
        raise ConfigError(
            f'[answer] prior: "language_model" learns n-grams from at most {MAX_EXACT:,} responses, found {len(responses):,}; set prior to '
            '"frequency"'
        )
    return (weight if settings.prior_weight is None else settings.prior_weight) * PRIORS[settings.prior](responses)


def matching(graph: Graph, texts: tf.Tensor, prior: np.ndarray, settings: Config, *, width: int) -> Matching:
    """The ranker of a response set [R] with a model that gives vectors.

    width: the fewest candidates that a search returns. Raises ConfigError for settings of the other ranker.
    """
    refuse(("beam_size", "mutual_information"), settings, "likelihood", "matching")
    index = settings.index
    if index == "none" and len(texts) > MAX_EXACT:
        raise ConfigError(
            f'[answer] index: "none" compares at most {MAX_EXACT:,} responses with every message, found {len(texts):,}; leave index out'
        )
    chosen = index if isinstance(index, Index) else Index() if len(texts) > MAX_EXACT else None
    return Matching(graph, texts, prior, chosen, width=max(width, settings.candidates))


def likelihood(
    graph: Graph, texts: tf.Tensor, settings: Config, messages: Callable[[], Mapping[str, Any]] | None = None
) -> Likelihood:
    """The ranker of a response set [R] with a model that gives tokens.

    messages: returns the features of a sample of training messages, for mutual_information. Raises ConfigError for settings of the other
    ranker, and for a set that is too large.
    """
    refuse(("index",), settings, "matching", "likelihood")
    if len(texts) > MAX_EXACT:
        raise ConfigError(
            f"[responses] rankers by likelihood search at most {MAX_EXACT:,} responses, found {len(texts):,}; lower max_size, or use a "
            "[model] that gives vectors, such as dual_encoder"
        )
    weight = settings.mutual_information
    sample = messages() if weight and messages else None
    return Likelihood(graph, texts, beam=settings.beam_size, mutual_information=weight, messages=sample)


def refuse(names: Sequence[str], settings: Config, owner: str, ranker: str) -> None:
    """Raises ConfigError for settings that apply to rankers by another method."""
    for name in names:
        if name in settings.model_fields_set:
            raise ConfigError(
                f"[answer] {name}: applies to rankers by {owner}, but this model ranks by {ranker}; leave {name} out"
            )
