"""Pre-training of an encoder on texts without labels: it predicts each token from those before it (Howard and Ruder 2018)."""

from typing import TYPE_CHECKING, Any, Literal

from pydantic import model_validator

from textpipe.config.fields import Sizes
from textpipe.config.sections import Plugin, Section
from textpipe.models import masked_language_model

READS = ("ids",)
GIVES = "next"

if TYPE_CHECKING:
    Encoder = Any
else:
    Encoder = Plugin.of("encoders")


class Config(Section):
    """[model] kind = "causal_language_model"."""

    kind: Literal["causal_language_model"] = "causal_language_model"
    encoder: Encoder  # the encoder to train: one that reads only from left to right

    @model_validator(mode="after")
    def reads_forward(self) -> "Config":
        encoder = self.encoder
        if not (getattr(encoder, "direction", "") == "forward" or getattr(encoder, "causal", False)):
            raise ValueError(
                'encoder: sees the token that it has to predict; use { kind = "recurrent", direction = "forward" } or '
                '{ kind = "transformer", causal = true }, or the model masked_language_model'
            )
        return self


def shared_sides(config: Config) -> tuple[str, ...]:
    """Sides whose fields of ids must have the same tokens."""
    return masked_language_model.shared_sides(config)


def build(config: Config, sizes: Sizes, *, seed: int) -> Any:
    """The keras.Model: ids [B, T], shifted right -> logits [B, T, V]; raises ConfigError as masked_language_model.build."""
    return masked_language_model.build(config, sizes, seed=seed, causal=True)
