"""The end-to-end memory network: a question selects sentences of a story in several hops (Sukhbaatar et al. 2015)."""

from typing import Any, Literal

from pydantic import Field

from textpipe.config.fields import Sizes
from textpipe.config.sections import Section
from textpipe.models._stories import class_words, story_fields

READS = ("ids",)
GIVES = "logits"


class Config(Section):
    """[model] kind = "memory_network".

    linear_start: number of first epochs without the softmax over the sentences (section 4.2 of the paper: 20 of 100, or 30 of 60 epochs).
    empty_memories: in training, up to this share of empty memories is inserted between the sentences.
    """

    kind: Literal["memory_network"] = "memory_network"
    size: int = Field(20, ge=1, le=4096)  # of the vectors of words and sentences
    hops: int = Field(3, ge=1, le=32)  # how often sentences are selected
    linear_start: int = Field(0, ge=0)
    empty_memories: float = Field(0.1, ge=0, le=1)


def shared_sides(config: Config) -> tuple[str, ...]:
    """Story and question have the same tokens."""
    return ("source",)


def build(config: Config, sizes: Sizes, *, seed: int) -> Any:
    """The keras.Model: {story: ids [B, T], question: ids [B, Q]} -> logits [B, L]."""
    from textpipe.nets.memory_network import MemoryNetwork

    fields = story_fields("memory_network", sizes)
    options = config.model_dump(exclude={"kind"})
    model = MemoryNetwork(**fields._asdict(), class_words=class_words(sizes), seed=seed, **options)
    model.build()
    return model
