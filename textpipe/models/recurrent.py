"""Recurrent sequence-to-sequence model with attention (Sutskever et al. 2014; Bahdanau et al. 2015; Luong et al. 2015).

A bidirectional encoder reads the source; a decoder reads the target so far; attention is asked by the decoder's lowest
layer and its context goes to the layers above and to the readout (as in Wu et al. 2016), never back into the lowest
layer. So every layer runs over all target positions at once when it is trained.
"""

from typing import Any, Literal

from pydantic import Field, model_validator

from textpipe.config import Section
from textpipe.errors import ConfigError
from textpipe.fields import Sizes

INPUT = ("ids",)
OUTPUT = "text"


class Config(Section):
    """[model] kind = "recurrent"."""

    kind: Literal["recurrent"] = "recurrent"
    cell: Literal["gru", "lstm"] = "gru"
    units: int = Field(256, ge=1)  # of the decoder; of the encoder's two directions together
    encoder_units: int | None = Field(None, ge=1)  # of each direction, when not units / number of directions
    encoder: Literal["bidirectional", "forward"] = "bidirectional"
    layers: int = Field(1, ge=1)
    decoder_layers: int | None = Field(None, ge=1)  # when not `layers`
    embedding_size: int = Field(256, ge=1)
    attention: Literal["none", "dot", "general", "additive"] = "additive"
    attention_size: int = Field(128, ge=1)  # of additive attention
    dropout: float = Field(0.3, ge=0, lt=1)  # on the readout and between layers
    embedding_dropout: float = Field(0.3, ge=0, lt=1)
    tie_embeddings: bool = True  # the target embedding is the softmax weight
    share_embeddings: bool = False  # source and target use one embedding; needs a joint vocabulary
    initialization: Literal["glorot_uniform", "glorot_normal", "he_normal", "lecun_normal"] = "glorot_uniform"

    @model_validator(mode="after")
    def sizes_fit(self):
        if self.encoder == "bidirectional" and self.encoder_units is None and self.units % 2:
            raise ValueError(f"units = {self.units} cannot be halved for two directions; give encoder_units too")
        if self.attention == "dot" and self.memory_size != self.units:
            raise ValueError(
                f"attention = 'dot' needs a memory as wide as units = {self.units}, found {self.memory_size}; "
                "leave encoder_units out or use 'general'"
            )
        return self

    @property
    def directions(self) -> int:
        return 2 if self.encoder == "bidirectional" else 1

    @property
    def memory_size(self) -> int:
        return (self.encoder_units or self.units // self.directions) * self.directions


def build(config: Config, sizes: Sizes, *, seed: int) -> Any:
    """The model with all its variables; raises ConfigError when the features do not fit.

    The result is called as model(source [B, T], target_in [B, U], training=...) -> logits [B, U, V].
    """
    for side, size in (("source", sizes.source), ("target", sizes.target)):
        if size["kind"] != "ids":
            raise ConfigError(f"[model] recurrent: needs {side} features of kind 'ids', found {size['kind']!r}")
    if config.share_embeddings and sizes.source["vocab_size"] != sizes.target["vocab_size"]:
        raise ConfigError(
            "[model] share_embeddings: needs one vocabulary for both sides, found "
            f"{sizes.source['vocab_size']} and {sizes.target['vocab_size']} pieces; "
            'set [tokenize] vocabulary = "joint"'
        )
    from textpipe.layers.recurrent import RecurrentModel

    model = RecurrentModel(config, sizes.source["vocab_size"], sizes.target["vocab_size"], seed=seed)
    model.build()
    return model
