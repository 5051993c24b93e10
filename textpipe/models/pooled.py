"""A classifier over an encoder: a vector for each token, pooled into one, and a linear layer."""

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, PositiveInt

from textpipe.config import plugins
from textpipe.config.fields import Sizes
from textpipe.config.sections import Plugin, Section
from textpipe.errors import ConfigError
from textpipe.features._classes import num_logits
from textpipe.layers.dropout_rate import Rate

READS = ("ids",)
GIVES = "logits"

if TYPE_CHECKING:
    Encoder = Any
else:
    Encoder = Plugin.of("encoders")


class Config(Section):
    """[model] kind = "pooled".

    pooling: how the tokens' vectors become one: "max" takes the maximum of each feature (Kim 2014), "mean" the mean, "last"
        the final state, "attention" a sum weighted by one learned query (Yang et al. 2016; Lin et al. 2017).
    units: width of each hidden layer between pooling and logits, first to last; none by default.
    """

    kind: Literal["pooled"] = "pooled"
    encoder: Encoder = Field(default="convolution", validate_default=True)  # computes a vector for each token
    pooling: Literal["max", "mean", "last", "attention"] = "max"
    attention_size: int = Field(128, ge=1)  # width of the hidden layer of attention pooling
    units: tuple[PositiveInt, ...] = ()
    activation: Literal["relu", "tanh", "gelu", "silu", "elu", "sigmoid"] = "relu"  # after each hidden layer
    dropout: Rate = 0.5  # of the pooled vector and after each hidden layer


def unused(config: Config) -> dict[str, str]:
    """Fields without effect given the others, and why."""
    reasons = {}
    if config.pooling != "attention":
        reasons["attention_size"] = f"pooling = {config.pooling!r} has none"
    if not config.units:
        reasons["activation"] = "there are no hidden layers, since units is empty"
    return reasons


def build(config: Config, sizes: Sizes, *, seed: int) -> Any:
    """The keras.Model: {field: ids [B, T]} -> logits [B, C]; raises ConfigError when the encoder cannot read the features."""
    module, (name, size) = plugins.find("encoders", config.encoder.kind), sizes.single_input
    if size["kind"] not in module.READS:
        raise ConfigError(
            f"[model] encoder {config.encoder.kind}: expects {' or '.join(module.READS)} features, found {size['kind']} "
            f"for {name!r}"
        )
    from textpipe.nets.pooled import PooledClassifier

    model = PooledClassifier(
        module.build(config.encoder, size, seed=seed),
        num_logits(sizes.target),
        pool=config.pooling,
        attention_size=config.attention_size,
        units=config.units,
        activation=config.activation,
        dropout=config.dropout,
        seed=seed,
    )
    model.build()
    return model
