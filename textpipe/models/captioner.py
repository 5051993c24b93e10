"""Captions of pictures: an image encoder and a translation decoder that attends to regions (Xu et al. 2015)."""

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, ValidationError, model_validator

from textpipe.config import plugins
from textpipe.config.fields import Sizes
from textpipe.config.sections import Plugin, Section, describe_plugin_errors
from textpipe.errors import ConfigError, suggest

READS = ("pixels",)
GIVES = "tokens"
# Of models whose decoders are used: their settings without effect here, because the picture's encoder takes their place.
ENCODER_SETTINGS = {
    "recurrent": ("encoder", "encoder_units", "share_embeddings"),
    "transformer": ("encoder_layers", "share_embeddings"),
}

if TYPE_CHECKING:
    Encoder = Any
    Decoder = Any
else:
    Encoder, Decoder = Plugin.of("encoders"), Plugin.of("models")


class Config(Section):
    """[model] kind = "captioner".

    decoder: settings of the model recurrent or transformer without those of its encoder, { kind = "recurrent", units = 256 }; "layers"
        are the decoder's.
    """

    kind: Literal["captioner"] = "captioner"
    encoder: Encoder = Field(default="image", validate_default=True)  # a vector for each region of a picture
    decoder: Decoder = Field(default="recurrent", validate_default=True)

    @model_validator(mode="after")
    def parts_fit(self) -> "Config":
        if self.decoder.kind not in ENCODER_SETTINGS:
            raise ValueError(
                f"decoder: {self.decoder.kind!r} has no decoder{suggest(self.decoder.kind, ENCODER_SETTINGS)}"
            )
        for name in ENCODER_SETTINGS[self.decoder.kind]:
            if getattr(self.decoder, name) != type(self.decoder).model_fields[name].default:
                raise ValueError(f"decoder.{name}: applies to texts as sources; leave {name} out")
        if not set(READS) & set(plugins.find("encoders", self.encoder.kind).READS):
            raise ValueError(f"encoder: {self.encoder.kind!r} does not read pictures; use image")
        if getattr(self.decoder, "bridge", "") == "copy":
            raise ValueError('decoder.bridge: "copy" needs an encoder with recurrent layers; use "dense" or "zero"')
        return self

    @property
    def attention(self) -> str:
        """The kind of attention to regions, "none" for none."""
        return getattr(self.decoder, "attention", "multi_head")


def unused(config: Config) -> dict[str, str]:
    """Fields without effect given the others, and why."""
    named = plugins.find("models", config.decoder.kind).unused(config.decoder)
    ignored = [name for name in named if name in config.decoder.model_fields_set and name != "layers"]
    return {"decoder": f"its {ignored[0]} has no effect: {named[ignored[0]]}"} if ignored else {}


def build(config: Config, sizes: Sizes, *, seed: int) -> Any:
    """The built model; raises ConfigError when the features do not fit.

    The result is called as model({field: pixels [B, H, W, C]}, target_in [B, U], training=...) -> logits [B, U, V].
    """
    name, source = sizes.single_input
    if source["kind"] not in READS:
        raise ConfigError(f"[model] captioner: needs pixels of {name!r}, found {source['kind']!r} features")
    if sizes.target["kind"] != "ids":
        raise ConfigError(f"[model] captioner: needs target features of kind 'ids', found {sizes.target['kind']!r}")
    encoder = plugins.find("encoders", config.encoder.kind).build(config.encoder, source, seed=seed)
    from textpipe.nets import captioner

    networks = {"recurrent": captioner.RecurrentCaptioner, "transformer": captioner.TransformerCaptioner}
    section = over_regions(config.decoder, encoder.state_size)
    model = networks[config.decoder.kind](section, encoder, sizes.target["vocab_size"], seed=seed)
    model.build()
    return model


def over_regions(decoder: Section, width: int) -> Section:
    """The decoder's settings with a memory of this width; raises ConfigError where its attention cannot read that."""
    if "encoder_units" not in type(decoder).model_fields:
        return decoder
    table = {**decoder.model_dump(), "encoder": "forward", "encoder_units": width}
    try:
        return type(decoder)(**table)
    except ValidationError as error:
        problem = describe_plugin_errors(type(decoder), error)
        raise ConfigError(f"[model] decoder: for regions of width {width}: {problem}") from None
