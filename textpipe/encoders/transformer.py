"""The encoder of a transformer (Vaswani et al. 2017): every token attends to every other."""

from typing import Any, Literal

from pydantic import Field, model_validator

from textpipe.config.sections import Section
from textpipe.layers.dropout_rate import Rate

READS = ("ids",)


class Config(Section):
    """The settings are those of the model "transformer"."""

    kind: Literal["transformer"] = "transformer"
    d_model: int = Field(128, ge=2)  # width of embeddings and of the blocks' outputs
    d_ff: int = Field(256, ge=1)  # width inside feed-forward blocks
    num_heads: int = Field(4, ge=1)  # of each attention layer
    layers: int = Field(2, ge=1)  # number of stacked blocks
    norm: Literal["pre", "post"] = "pre"  # normalize the input of each sublayer, or the residual sum after it
    positions: Literal["sinusoidal", "rotary"] = "sinusoidal"  # added to embeddings, or rotating queries and keys
    activation: Literal["relu", "gelu", "swiglu"] = "relu"  # inside feed-forward blocks
    dropout: Rate = 0.1  # of embeddings and of each sublayer's output
    attention_dropout: Rate = 0.0  # of attention weights
    activation_dropout: Rate = 0.0  # inside feed-forward blocks
    word_dropout: Rate = 0.0  # drops the embeddings of whole words (Sennrich et al. 2016)
    causal: bool = False  # a token attends only to itself and to those before it, as causal_language_model needs

    @model_validator(mode="after")
    def sizes_fit(self) -> "Config":
        size, heads = self.d_model, self.num_heads
        if size % 2:
            raise ValueError(f"d_model = {size} must be even: the position encoding pairs a sine with a cosine")
        if size % heads:
            raise ValueError(f"d_model = {size} is not a multiple of num_heads = {heads}; change one of them")
        if self.positions == "rotary" and size // heads % 2:
            raise ValueError(
                f"positions = 'rotary' rotates pairs of features, but the width of a head is {size // heads}, which is odd; "
                "use fewer heads or a larger d_model"
            )
        return self


def build(config: Config, size: dict[str, Any], *, seed: int) -> Any:
    """The layer: ids [B, T] -> states [B, T, D], mask [B, T]."""
    from textpipe.nets.encoders import TransformerEncoder

    return TransformerEncoder(config, size["vocab_size"], seed=seed, name="encoder")
