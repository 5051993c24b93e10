"""Recurrent sequence-to-sequence model with attention (Sutskever et al. 2014; Bahdanau et al. 2015; Luong et al. 2015).

A bidirectional encoder reads the source; a decoder reads the target so far; the decoder's lowest layer queries the
attention, whose context goes to the layers above and to the readout (as in Wu et al. 2016). Nothing is fed back into the
lowest layer without `input_feeding`, so in training each layer runs over all target positions at once. With input feeding
or coverage each position depends on the one before, in training too.
"""

from typing import Any, Literal

from pydantic import Field, model_validator

from textpipe.config.fields import Sizes
from textpipe.config.sections import Section
from textpipe.errors import ConfigError
from textpipe.layers.dropout_rate import Rate

READS = ("ids",)
GIVES = "tokens"


class Config(Section):
    """[model] kind = "recurrent".

    embedding_dropout: of single components of embeddings. initialization: of the weight matrices.
    """

    kind: Literal["recurrent"] = "recurrent"
    cell: Literal["gru", "lstm"] = "gru"  # of all recurrent layers
    units: int = Field(256, ge=1)  # of the decoder, and of both directions of the encoder together
    encoder_units: int | None = Field(None, ge=1)  # of each direction; by default units / number of directions
    encoder: Literal["bidirectional", "forward"] = "bidirectional"  # whether the source is read in both directions
    layers: int = Field(1, ge=1)  # of the encoder and of the decoder
    decoder_layers: int | None = Field(None, ge=1)  # by default `layers`
    embedding_size: int = Field(256, ge=1)  # width of a token's embedding
    residual: bool = False  # each layer but the lowest adds its input to its output
    attention: Literal["none", "dot", "scaled_dot", "general", "additive", "multi_head"] = "additive"  # over the source
    attention_size: int = Field(128, ge=1)  # of additive attention, or of all heads of multi_head together
    num_heads: int = Field(4, ge=1)  # of multi_head
    input_feeding: bool = False  # feed the readout into the next step (Luong et al. 2015, section 3.3)
    coverage: bool = False  # additive attention reads the sum of its past weights (Tu et al. 2016; See et al. 2017)
    bridge: Literal["dense", "copy", "zero"] = "dense"  # how the encoder's last state initializes the decoder
    dropout: Rate = 0.3  # of the readout and between layers
    embedding_dropout: Rate = 0.3
    recurrent_dropout: Rate = 0.0  # of the state as the gates read it; one mask for all time steps
    dropout_kind: Literal["standard", "variational"] = "standard"  # variational: one mask per row for all positions
    word_dropout: Rate = 0.0  # drops the embeddings of whole words, source and target
    tie_embeddings: bool = True  # use the target embedding as the softmax weight
    share_embeddings: bool = False  # one embedding for source and target; needs a joint vocabulary
    initialization: Literal["glorot_uniform", "glorot_normal", "he_normal", "lecun_normal"] = "glorot_uniform"

    @model_validator(mode="after")
    def sizes_fit(self):
        if self.encoder == "bidirectional" and self.encoder_units is None and self.units % 2:
            raise ValueError(f"units = {self.units} must be even for two directions; make it even or set encoder_units")
        if self.attention in ("dot", "scaled_dot") and self.memory_size != self.units:
            raise ValueError(
                f"attention = {self.attention!r} needs encoder states of width units = {self.units}, found "
                f"{self.memory_size}; leave encoder_units out or use 'general'"
            )
        if self.attention == "multi_head" and self.attention_size % self.num_heads:
            raise ValueError(
                f"attention_size = {self.attention_size} is not a multiple of num_heads = {self.num_heads}; "
                "change one of them"
            )
        if self.coverage and self.attention != "additive":
            raise ValueError(f"coverage needs attention = 'additive', found {self.attention!r}")
        if self.input_feeding and self.attention == "none":
            raise ValueError("input_feeding needs attention, found 'none'; choose one, 'additive' for example")
        decoder_layers = self.decoder_layers or self.layers
        if self.bridge == "copy" and (self.memory_size, self.layers) != (self.units, decoder_layers):
            raise ValueError(
                f"bridge = 'copy' needs encoder and decoder states of equal shape, found {self.layers} layers of "
                f"{self.memory_size} and {decoder_layers} of {self.units}; leave encoder_units and decoder_layers out "
                "or use 'dense'"
            )
        if self.residual and max(self.layers, self.decoder_layers or 1) == 1:
            raise ValueError("residual needs at least two layers, found layers = 1; raise it or leave residual out")
        return self

    @property
    def directions(self) -> int:
        return 2 if self.encoder == "bidirectional" else 1

    @property
    def memory_size(self) -> int:
        return (self.encoder_units or self.units // self.directions) * self.directions


def unused(config: Config) -> dict[str, str]:
    """Fields without effect given the others, and why."""
    why = f"attention = {config.attention!r} has none"
    names = {"attention_size": ("additive", "multi_head"), "num_heads": ("multi_head",)}
    return {name: why for name, kinds in names.items() if config.attention not in kinds}


def build(config: Config, sizes: Sizes, *, seed: int) -> Any:
    """The built model; raises ConfigError when the features do not fit.

    The result is called as model({field: ids [B, T]}, target_in [B, U], training=...) -> logits [B, U, V].
    """
    _, source = sizes.single_input
    for side, size in (("source", source), ("target", sizes.target)):
        if size["kind"] != "ids":
            raise ConfigError(f"[model] recurrent: needs {side} features of kind 'ids', found {size['kind']!r}")
    if config.share_embeddings and source["vocab_size"] != sizes.target["vocab_size"]:
        raise ConfigError(
            "[model] share_embeddings: needs one vocabulary for both sides, found "
            f"{source['vocab_size']} and {sizes.target['vocab_size']} pieces; "
            'set [tokenize] vocabulary = "joint"'
        )
    from textpipe.nets.recurrent import RecurrentModel

    model = RecurrentModel(config, source["vocab_size"], sizes.target["vocab_size"], seed=seed)
    model.build()
    return model
