"""Recurrent layers over token embeddings, in one direction or both (Schuster & Paliwal 1997; Graves et al. 2013)."""

from typing import Any, Literal

from pydantic import Field, model_validator

from textpipe.config.sections import Section
from textpipe.layers.dropout_rate import Rate

READS = ("ids",)


class Config(Section):
    """cell: type of all layers. initialization: of the input kernels; recurrent kernels start orthogonal."""

    kind: Literal["recurrent"] = "recurrent"
    cell: Literal["gru", "lstm"] = "gru"
    direction: Literal["bidirectional", "forward"] = "bidirectional"  # whether the text is read in both directions
    units: int = Field(256, ge=1)  # of a layer, both directions together
    layers: int = Field(1, ge=1)  # number of stacked layers
    residual: bool = False  # each layer but the lowest adds its input to its output
    embedding_size: int = Field(128, ge=1)  # width of a token's embedding
    dropout: Rate = 0.0  # between layers
    embedding_dropout: Rate = 0.3  # drops single components of embeddings
    recurrent_dropout: Rate = 0.0  # of the state as the gates read it; one mask for all time steps
    dropout_kind: Literal["standard", "variational"] = "standard"  # variational: one mask per row for all positions
    word_dropout: Rate = 0.0  # drops the embeddings of whole words (Sennrich et al. 2016)
    initialization: Literal["glorot_uniform", "glorot_normal", "he_normal", "lecun_normal"] = "glorot_uniform"

    @model_validator(mode="after")
    def sizes_fit(self) -> "Config":
        if self.units % self.directions:
            raise ValueError(f"units = {self.units} must be even for two directions")
        if self.residual and self.layers == 1:
            raise ValueError("residual needs at least two layers, found layers = 1; raise it or leave residual out")
        return self

    @property
    def directions(self) -> int:
        return 2 if self.direction == "bidirectional" else 1

    @property
    def memory_size(self) -> int:
        return self.units


def build(config: Config, size: dict[str, Any], *, seed: int) -> Any:
    """The layer: ids [B, T] -> states [B, T, D], mask [B, T]."""
    from textpipe.nets.encoders import RecurrentEncoder

    return RecurrentEncoder(config, size["vocab_size"], seed=seed, name="encoder")
