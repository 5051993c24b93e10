"""Pre-training of an encoder on texts without labels: it predicts hidden tokens from both sides (Devlin et al. 2019)."""

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from textpipe.config import plugins
from textpipe.config.fields import Sizes
from textpipe.config.sections import Plugin, Section
from textpipe.errors import ConfigError

READS = ("ids",)
GIVES = "masked"

if TYPE_CHECKING:
    Encoder = Any
else:
    Encoder = Plugin.of("encoders")


class Config(Section):
    """[model] kind = "masked_language_model"."""

    kind: Literal["masked_language_model"] = "masked_language_model"
    encoder: Encoder = Field(default="transformer", validate_default=True)  # the encoder to train

    @model_validator(mode="after")
    def reads_context(self) -> "Config":
        if self.encoder.kind == "bag":
            raise ValueError(
                "encoder: a bag encodes each token by itself and cannot predict a masked one; use another encoder"
            )
        return self


def shared_sides(config: Section) -> tuple[str, ...]:
    """Sides whose fields of ids must have the same tokens."""
    return "source", "target"


def build(config: Any, sizes: Sizes, *, seed: int, causal: bool = False) -> Any:
    """The keras.Model: ids [B, T] -> logits [B, T, V].

    Raises ConfigError for an encoder without a table of embeddings, and if source and target have different vocabularies.
    """
    from textpipe.nets.language_model import LanguageModel

    _, size = sizes.single_input
    if sizes.target.get("vocab_size") != size["vocab_size"]:
        raise ConfigError(
            f'[model] {config.kind}: expected one vocabulary for inputs and targets, found two; set [tokenize] vocabulary = "joint"'
        )
    encoder = plugins.find("encoders", config.encoder.kind).build(config.encoder, size, seed=seed)
    if not hasattr(encoder, "embedding"):
        raise ConfigError(
            f"[model] encoder {config.encoder.kind}: has no token embedding to tie the output weights to; use another encoder"
        )
    model = LanguageModel(encoder, causal=causal, seed=seed)
    model.build()
    return model
