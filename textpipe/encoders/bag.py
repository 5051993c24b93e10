"""A bag of tokens: embeddings only, so that pooling ignores word order (Joulin et al. 2017; Iyyer et al. 2015)."""

from typing import Any, Literal

from pydantic import Field

from textpipe.config.sections import Section
from textpipe.layers.dropout_rate import Rate

READS = ("ids",)


class Config(Section):
    """The state of a token is its embedding."""

    kind: Literal["bag"] = "bag"
    embedding_size: int = Field(128, ge=1)  # width of a token's embedding
    embedding_dropout: Rate = 0.0  # drops single components of embeddings
    word_dropout: Rate = 0.0  # drops the embeddings of whole words (Sennrich et al. 2016)


def build(config: Config, size: dict[str, Any], *, seed: int) -> Any:
    """The layer: ids [B, T] -> states [B, T, D], mask [B, T]."""
    from textpipe.nets.encoders import BagEncoder

    return BagEncoder(config, size["vocab_size"], seed=seed, name="encoder")
