"""The query-reduction network: the sentences of a story reduce a question to simpler ones (Seo et al. 2017)."""

from typing import Any, Literal

from pydantic import Field, field_validator

from textpipe.config.fields import Sizes
from textpipe.config.sections import Section
from textpipe.features._classes import num_logits
from textpipe.models._stories import story_fields

READS = ("ids",)
GIVES = "logits"


class Config(Section):
    """[model] kind = "query_reduction".

    gates: "vector" has a gate for each entry of a state, "scalar" one for all.
    reset: a second gate decides how much of a candidate enters the state. "directions" has one for each direction, and none in the last layer,
        as in the authors' program (github.com/uwnlp/qrn).
    tie_layers: all layers have the same weights.
    bidirectional: all layers but the last also read the story from its end.
    init_stddev: standard deviation of the initial embeddings and gate kernels; by default 1 / sqrt(size). Gates read the products of a sentence and a
        question: with small embeddings they start equal for all sentences, and some tasks are not learned. The authors' program has 1.
    sentence_scale: factor of the vectors of sentences and questions. The sums of their words' vectors are weighted by position as in the
        program of Sukhbaatar et al., with a mean weight of 1; 0.5 makes it that of their paper (section 4.1) but for terms of order 1 / max_words.
    l2: strength of the L2 penalty on all weights but biases: l2 / 2 times the sum of their squares, over the rows of train.
    """

    kind: Literal["query_reduction"] = "query_reduction"
    size: int = Field(50, ge=1, le=4096)  # of the vectors of words, sentences and states
    layers: int = Field(2, ge=1, le=32)  # passes over the story, each with its own weights unless they are tied
    gates: Literal["vector", "scalar"] = "vector"
    reset: bool | Literal["directions"] = True
    tie_layers: bool = False
    bidirectional: bool = True
    gate_bias: float = -2.5  # initial bias of the gates; below 0 they start nearly closed
    init_stddev: float | None = Field(None, gt=0, le=10)
    sentence_scale: float = Field(1.0, gt=0, le=10)
    l2: float = Field(0.0, ge=0)

    @field_validator("reset", mode="before")
    @classmethod
    def known_reset(cls, value: Any) -> Any:
        """One error in place of one for each type."""
        if not isinstance(value, bool) and value != "directions":
            raise ValueError(f'expected true, false or "directions", found {value!r}')
        return value


def shared_sides(config: Config) -> tuple[str, ...]:
    """Story and question have the same tokens."""
    return ("source",)


def unused(config: Config) -> dict[str, str]:
    """Fields without effect given the others, and why."""
    if config.layers > 1:
        return {}
    return {"bidirectional": "the only layer runs forward", "tie_layers": "there is one layer"}


def build(config: Config, sizes: Sizes, *, seed: int) -> Any:
    """The keras.Model: {story: ids [B, T], question: ids [B, Q]} -> logits [B, L]."""
    from textpipe.nets.query_reduction import QueryReduction

    fields = story_fields("query_reduction", sizes)
    options = config.model_dump(exclude={"kind"})
    model = QueryReduction(**fields._asdict(), num_logits=num_logits(sizes.target), seed=seed, **options)
    model.build()
    return model
