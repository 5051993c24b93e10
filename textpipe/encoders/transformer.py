"""The encoder of a transformer (Vaswani et al. 2017): every token attends to every other."""

from typing import Any, Literal

from pydantic import Field, model_validator

from textpipe.config.sections import Section
from textpipe.layers.dropout_rate import Rate

READS = ("ids",)


class Config(Section):
    """Settings are those of the model "transformer"."""

    kind: Literal["transformer"] = "transformer"
    d_model: int = Field(128, ge=2)  # width of embeddings and of what blocks hand on
    d_ff: int = Field(256, ge=1)  # width inside the feed-forward block
    num_heads: int = Field(4, ge=1)  # of each attention
    layers: int = Field(2, ge=1)  # blocks, one above the other
    norm: Literal["pre", "post"] = "pre"  # what is normalized: what a block reads, or the sum it gives
    positions: Literal["sinusoidal", "rotary"] = "sinusoidal"  # added to embeddings, or turning queries and keys
    activation: Literal["relu", "gelu", "swiglu"] = "relu"  # inside the feed-forward block
    dropout: Rate = 0.1  # of embeddings and of what each block adds
    attention_dropout: Rate = 0.0  # of attention weights
    activation_dropout: Rate = 0.0  # inside the feed-forward block
    word_dropout: Rate = 0.0  # of whole words' embeddings (Sennrich et al. 2016)

    @model_validator(mode="after")
    def sizes_fit(self) -> "Config":
        size, heads = self.d_model, self.num_heads
        if size % 2:
            raise ValueError(f"d_model = {size} must be even: half of the position's features are sines")
        if size % heads:
            raise ValueError(f"d_model = {size} cannot be cut into num_heads = {heads} equal parts; make it a multiple")
        if self.positions == "rotary" and size // heads % 2:
            raise ValueError(
                f"positions = 'rotary' turns pairs of features, but a head has {size // heads}; "
                "use fewer heads or a larger d_model"
            )
        return self


def build(config: Config, size: dict[str, Any], *, seed: int) -> Any:
    """The layer: ids [B, T] -> states [B, T, D], mask [B, T]."""
    from textpipe.nets.encoders import TransformerEncoder

    return TransformerEncoder(config, size["vocab_size"], seed=seed, name="encoder")
