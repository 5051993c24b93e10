"""Transformer (Vaswani et al. 2017): attention and feed-forward blocks only, all positions in parallel."""

from typing import Any, Literal

from pydantic import Field, model_validator

from textpipe.config.fields import Sizes
from textpipe.config.sections import Section
from textpipe.errors import ConfigError
from textpipe.layers.dropout_rate import Rate

READS = ("ids",)
GIVES = "tokens"


class Config(Section):
    """[model] kind = "transformer". The defaults are a small model, for some ten thousand sentence pairs.

    norm: "pre" normalizes the input of each sublayer (Xiong et al. 2020) and trains stably at any learning rate; "post", the
    original, normalizes the residual sum and needs a warm-up. positions: "sinusoidal" are added to the embeddings, "rotary"
    rotate the queries and keys of self-attention. activation: inside feed-forward blocks; swiglu has two matrices of d_ff
    columns where relu and gelu have one.
    """

    kind: Literal["transformer"] = "transformer"
    d_model: int = Field(128, ge=2)  # width of embeddings and of the blocks' outputs
    d_ff: int = Field(256, ge=1)  # width inside feed-forward blocks
    num_heads: int = Field(4, ge=1)  # of each attention layer
    layers: int = Field(4, ge=1)  # of the encoder and of the decoder
    encoder_layers: int | None = Field(None, ge=1)  # by default `layers`
    decoder_layers: int | None = Field(None, ge=1)  # by default `layers`
    norm: Literal["pre", "post"] = "pre"
    positions: Literal["sinusoidal", "rotary"] = "sinusoidal"
    activation: Literal["relu", "gelu", "swiglu"] = "relu"
    dropout: Rate = 0.3  # of embeddings and of each sublayer's output
    attention_dropout: Rate = 0.0  # of attention weights
    activation_dropout: Rate = 0.0  # inside feed-forward blocks
    word_dropout: Rate = 0.0  # drops the embeddings of whole words (Sennrich et al. 2016)
    tie_embeddings: bool = True  # use the target embedding as the softmax weight
    share_embeddings: bool = False  # one embedding for source and target; needs a joint vocabulary

    @model_validator(mode="after")
    def sizes_fit(self):
        if self.d_model % 2:
            raise ValueError(f"d_model = {self.d_model} must be even: the position encoding pairs a sine with a cosine")
        if self.d_model % self.num_heads:
            divisors = [heads for heads in range(1, self.d_model + 1) if self.d_model % heads == 0]
            nearest = min(divisors, key=lambda heads: abs(heads - self.num_heads))
            raise ValueError(
                f"d_model = {self.d_model} is not a multiple of num_heads = {self.num_heads}; use {nearest} heads"
            )
        if self.positions == "rotary" and self.d_model // self.num_heads % 2:
            raise ValueError(
                f"positions = 'rotary' rotates pairs of features, but the width of a head is {self.d_model // self.num_heads}, which is odd; "
                "use fewer heads or a larger d_model"
            )
        return self


def unused(config: Config) -> dict[str, str]:
    """Fields without effect given the others, and why."""
    return (
        {"layers": "encoder_layers and decoder_layers are both set"}
        if config.encoder_layers and config.decoder_layers
        else {}
    )


def build(config: Config, sizes: Sizes, *, seed: int) -> Any:
    """The built model; raises ConfigError when the features do not fit.

    The result is called as model({field: ids [B, T]}, target_in [B, U], training=...) -> logits [B, U, V].
    """
    _, source = sizes.single_input
    for side, size in (("source", source), ("target", sizes.target)):
        if size["kind"] != "ids":
            raise ConfigError(f"[model] transformer: needs {side} features of kind 'ids', found {size['kind']!r}")
    if config.share_embeddings and source["vocab_size"] != sizes.target["vocab_size"]:
        raise ConfigError(
            "[model] share_embeddings: needs one vocabulary for both sides, found "
            f"{source['vocab_size']} and {sizes.target['vocab_size']} pieces; "
            'set [tokenize] vocabulary = "joint"'
        )
    from textpipe.nets.transformer import TransformerModel

    model = TransformerModel(config, source["vocab_size"], sizes.target["vocab_size"], seed=seed)
    model.build()
    return model
