"""Two encoders of summed n-gram embeddings: one for messages, one for replies (Henderson et al., 2017)."""

from typing import Any, Literal

from pydantic import Field, PositiveInt

from textpipe.config.fields import Sizes
from textpipe.config.sections import Section
from textpipe.errors import ConfigError
from textpipe.layers.dropout_rate import Rate

READS = ("sparse", "ids", "scalar")
REPLY_READS = ("sparse", "ids")
GIVES = "vectors"


class Config(Section):
    """[model] kind = "dual_encoder".

    The score of a reply to a message is the dot product of their vectors. Each text field of the message has its own pair of towers; if
    there are several fields, another pair reads the outputs of all of them and the fields that are numbers.
    similarity: "cosine" of the vectors, times a learned scale, or their "dot" product.
    initializer: initial kernels of the towers, "glorot_uniform" or "identity"; with identity and shared embeddings, the initial score of
    a reply depends on the n-grams it shares with the message.
    loss: "replies" is the cross-entropy of a message's own reply among the replies of its batch (Henderson et al. 2017, equation 2);
    "symmetric" is the mean of this and of a reply's own message among the messages.
    embedding_stddev: standard deviation of the initial embeddings. Small, so that the barely trained embeddings of rare n-grams do not
    outweigh the others.
    """

    kind: Literal["dual_encoder"] = "dual_encoder"
    embedding_size: int = Field(256, ge=1)  # width of an n-gram's or token's embedding
    units: tuple[PositiveInt, ...] = Field(
        (256,), min_length=1
    )  # widths of a tower's layers; the last is that of the vectors
    activation: Literal["relu", "tanh", "gelu", "silu", "elu", "sigmoid"] = "tanh"  # between a tower's layers
    dropout: Rate = 0.0  # in front of each layer of a tower
    similarity: Literal["cosine", "dot"] = "cosine"
    loss: Literal["symmetric", "replies"] = "symmetric"
    embedding_stddev: float = Field(0.05, gt=0, le=1)
    initializer: Literal["glorot_uniform", "identity"] = "glorot_uniform"
    share_embeddings: bool = False  # one embedding for messages and replies; needs a joint vocabulary


def build(config: Config, sizes: Sizes, *, seed: int) -> Any:
    """The keras.Model: ({field: sparse [B, F] or ids [B, T]}, reply) -> vectors; see nets/dual_encoder.py.

    Raises ConfigError if the reply is neither n-grams nor ids, if no message field is a text, and for share_embeddings without a joint
    vocabulary.
    """
    from textpipe.layers.inputs import dim_of
    from textpipe.nets.dual_encoder import DualEncoder

    if sizes.target["kind"] not in REPLY_READS:
        raise ConfigError(
            f"[model] dual_encoder: expects {' or '.join(REPLY_READS)} features of the reply, found {sizes.target['kind']} for "
            f"{sizes.target_name!r}"
        )
    numbers = [name for name, size in sizes.inputs.items() if size["kind"] == "scalar"]
    if len(numbers) == len(sizes.inputs):
        raise ConfigError(f"[model] dual_encoder: expects a field of text, found only numbers: {', '.join(numbers)}")
    if config.share_embeddings:
        check_joint({name: size for name, size in sizes.inputs.items() if name not in numbers}, sizes)
    model = DualEncoder(
        {name: dim_of(size) for name, size in sizes.inputs.items() if name not in numbers},
        dim_of(sizes.target),
        numbers=numbers,
        embedding_size=config.embedding_size,
        units=config.units,
        activation=config.activation,
        dropout=config.dropout,
        cosine=config.similarity == "cosine",
        symmetric=config.loss == "symmetric",
        share_embeddings=config.share_embeddings,
        identity=config.initializer == "identity",
        embedding_stddev=config.embedding_stddev,
        seed=seed,
    )
    model.build()
    return model


def check_joint(texts: dict[str, Any], sizes: Sizes) -> None:
    """Raises ConfigError if a message field does not share its vocabulary with the reply."""
    keys = ("kind", "dim", "vocab_size", "joint")
    target = {key: sizes.target.get(key) for key in keys}
    for name, size in texts.items():
        if {key: size.get(key) for key in keys} != target or (size["kind"] == "sparse" and not size.get("joint")):
            raise ConfigError(
                f"[model] share_embeddings: needs a joint vocabulary of {name!r} and {sizes.target_name!r}, found separate ones; give both "
                'the same features and set vocabulary = "joint" (for n-grams in [vectorize], for ids in [tokenize]), or set '
                "share_embeddings = false"
            )
