"""Transformer (Vaswani et al. 2017): attention and feed-forward blocks alone, all positions at once."""

from typing import Any, Literal

from pydantic import Field, model_validator

from textpipe.config.fields import Sizes
from textpipe.config.sections import Section
from textpipe.errors import ConfigError
from textpipe.layers.dropout_rate import Rate

READS = ("ids",)
GIVES = "tokens"


class Config(Section):
    """[model] kind = "transformer". The defaults are a small one, for some ten thousand sentence pairs.

    norm: "pre" normalizes what a block reads (Xiong et al. 2020) and trains steadily at any learning rate; "post", the
    original, normalizes the sum and needs a warm-up. positions: "sinusoidal" are added to the embeddings, "rotary" turn
    the queries and keys of self-attention. activation: inside the feed-forward block; swiglu has two matrices of d_ff
    columns where relu and gelu have one.
    """

    kind: Literal["transformer"] = "transformer"
    d_model: int = Field(128, ge=2)  # width of embeddings and of what blocks hand on
    d_ff: int = Field(256, ge=1)  # width inside the feed-forward block
    num_heads: int = Field(4, ge=1)  # of each attention
    layers: int = Field(4, ge=1)  # of the encoder and of the decoder
    encoder_layers: int | None = Field(None, ge=1)  # when not `layers`
    decoder_layers: int | None = Field(None, ge=1)  # when not `layers`
    norm: Literal["pre", "post"] = "pre"
    positions: Literal["sinusoidal", "rotary"] = "sinusoidal"
    activation: Literal["relu", "gelu", "swiglu"] = "relu"
    dropout: Rate = 0.3  # of embeddings and of what each block adds
    attention_dropout: Rate = 0.0  # of attention weights
    activation_dropout: Rate = 0.0  # inside the feed-forward block
    word_dropout: Rate = 0.0  # of whole words' embeddings (Sennrich et al. 2016)
    tie_embeddings: bool = True  # the target embedding is the softmax weight
    share_embeddings: bool = False  # source and target use one embedding; needs a joint vocabulary

    @model_validator(mode="after")
    def sizes_fit(self):
        if self.d_model % 2:
            raise ValueError(f"d_model = {self.d_model} must be even: half of the position's features are sines")
        if self.d_model % self.num_heads:
            near = [heads for heads in range(1, self.d_model + 1) if self.d_model % heads == 0]
            best = min(near, key=lambda heads: abs(heads - self.num_heads))
            raise ValueError(
                f"d_model = {self.d_model} cannot be cut into num_heads = {self.num_heads} equal parts; use {best} heads"
            )
        if self.positions == "rotary" and self.d_model // self.num_heads % 2:
            raise ValueError(
                f"positions = 'rotary' turns pairs of features, but a head has {self.d_model // self.num_heads}; "
                "use fewer heads or a larger d_model"
            )
        return self


def unused(config: Config) -> dict[str, str]:
    """Fields that have no effect beside the others, and why."""
    return (
        {"layers": "encoder_layers and decoder_layers say all"}
        if config.encoder_layers and config.decoder_layers
        else {}
    )


def build(config: Config, sizes: Sizes, *, seed: int) -> Any:
    """The model with all its variables; raises ConfigError when the features do not fit.

    The result is called as model({field: ids [B, T]}, target_in [B, U], training=...) -> logits [B, U, V].
    """
    _, source = sizes.one_input
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
