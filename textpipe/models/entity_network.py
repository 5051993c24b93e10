"""The recurrent entity network: memory slots, each of which tracks an entity of a story (Henaff et al. 2017)."""

from typing import Any, Literal

from pydantic import Field

from textpipe.config.fields import Sizes
from textpipe.config.sections import Section
from textpipe.features._classes import num_logits
from textpipe.models._stories import story_fields

READS = ("ids",)
GIVES = "logits"


class Config(Section):
    """[model] kind = "entity_network"."""

    kind: Literal["entity_network"] = "entity_network"
    size: int = Field(100, ge=1, le=4096)  # of the vectors of words, sentences and slots
    slots: int = Field(20, ge=1, le=1000)  # number of entities that can be tracked: persons, things, places


def shared_sides(config: Config) -> tuple[str, ...]:
    """Story and question have the same tokens."""
    return ("source",)


def build(config: Config, sizes: Sizes, *, seed: int) -> Any:
    """The keras.Model: {story: ids [B, T], question: ids [B, Q]} -> logits [B, L]."""
    from textpipe.nets.entity_network import EntityNetwork

    fields = story_fields("entity_network", sizes)
    options = config.model_dump(exclude={"kind"})
    model = EntityNetwork(**fields._asdict(), num_logits=num_logits(sizes.target), seed=seed, **options)
    model.build()
    return model
