"""The query-reduction network: the sentences of a story reduce a question to simpler ones (Seo et al. 2017)."""

from typing import Any, Literal

from pydantic import Field

from textpipe.config.fields import Sizes
from textpipe.config.sections import Section
from textpipe.features._classes import num_logits
from textpipe.models._stories import story_fields

READS = ("ids",)
GIVES = "logits"


class Config(Section):
    """[model] kind = "query_reduction".

    gates: "vector" has a gate for each entry of a state, "scalar" one for all.
    reset: a second gate decides how much of a candidate enters the state.
    bidirectional: all layers but the last also read the story from its end.
    l2: strength of the L2 penalty on all weights but biases: l2 / 2 times the sum of their squares, over the rows of train.
    """

    kind: Literal["query_reduction"] = "query_reduction"
    size: int = Field(50, ge=1, le=4096)  # of the vectors of words, sentences and states
    layers: int = Field(2, ge=1, le=32)  # passes over the story, each with its own weights
    gates: Literal["vector", "scalar"] = "vector"
    reset: bool = True
    bidirectional: bool = True
    gate_bias: float = -2.5  # initial bias of the gates; below 0 they start nearly closed
    l2: float = Field(0.0, ge=0)


def shared_sides(config: Config) -> tuple[str, ...]:
    """Story and question have the same tokens."""
    return ("source",)


def unused(config: Config) -> dict[str, str]:
    """Fields without effect given the others, and why."""
    return {"bidirectional": "the only layer runs forward"} if config.layers == 1 else {}


def build(config: Config, sizes: Sizes, *, seed: int) -> Any:
    """The keras.Model: {story: ids [B, T], question: ids [B, Q]} -> logits [B, L]."""
    from textpipe.nets.query_reduction import QueryReduction

    fields = story_fields("query_reduction", sizes)
    options = config.model_dump(exclude={"kind"})
    model = QueryReduction(**fields._asdict(), num_logits=num_logits(sizes.target), seed=seed, **options)
    model.build()
    return model
