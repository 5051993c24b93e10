"""A bag of tokens: embeddings alone, whose order pooling forgets (Joulin et al. 2017; Iyyer et al. 2015)."""

from typing import Any, Literal

from pydantic import Field

from textpipe.config.sections import Section
from textpipe.layers.dropout_rate import Rate

READS = ("ids",)


class Config(Section):
    """A state is the token's embedding and nothing else."""

    kind: Literal["bag"] = "bag"
    embedding_size: int = Field(128, ge=1)  # width of a token's embedding
    embedding_dropout: Rate = 0.0  # of single numbers of embeddings
    word_dropout: Rate = 0.0  # of whole words' embeddings (Sennrich et al. 2016)


def build(config: Config, size: dict[str, Any], *, seed: int) -> Any:
    """The layer: ids [B, T] -> states [B, T, D], mask [B, T]."""
    from textpipe.nets.encoders import BagEncoder

    return BagEncoder(config, size["vocab_size"], seed=seed, name="encoder")
