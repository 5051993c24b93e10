"""Convolution over token embeddings: filters of several sizes in parallel (Kim 2014)."""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from textpipe.config.sections import Section
from textpipe.layers.dropout_rate import Rate

READS = ("ids",)


class Config(Section):
    """One layer followed by max pooling is the text CNN of Kim (2014)."""

    kind: Literal["convolution"] = "convolution"
    embedding_size: int = Field(128, ge=1)  # width of a token's embedding
    filters: int = Field(128, ge=1)  # number of filters of each kernel size
    kernel_sizes: tuple[Annotated[int, Field(ge=1)], ...] = Field((2, 3, 4), min_length=1)  # filter widths in tokens
    layers: int = Field(1, ge=1)  # number of stacked convolution layers
    activation: Literal["relu", "tanh", "gelu", "silu", "elu", "sigmoid"] = "relu"  # after each layer
    dropout: Rate = 0.0  # between layers
    embedding_dropout: Rate = 0.0  # drops single components of embeddings
    word_dropout: Rate = 0.0  # drops the embeddings of whole words (Sennrich et al. 2016)

    @field_validator("kernel_sizes")
    @classmethod
    def sizes_differ(cls, kernel_sizes: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(kernel_sizes)) < len(kernel_sizes):
            raise ValueError(
                f"expected distinct sizes, found {list(kernel_sizes)}; raise filters to have more filters of each size"
            )
        return kernel_sizes


def build(config: Config, size: dict[str, Any], *, seed: int) -> Any:
    """The layer: ids [B, T] -> states [B, T, D], mask [B, T]."""
    from textpipe.nets.encoders import ConvolutionEncoder

    return ConvolutionEncoder(config, size["vocab_size"], seed=seed, name="encoder")
