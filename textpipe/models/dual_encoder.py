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

    A reply fits a message as their vectors' dot product says. Each message field of text has towers of its own, and a further pair stands
    on them all, and on the fields that are numbers.
    similarity: "cosine" of the vectors, times a learned scale, or their "dot" product.
    initializer: the kernels of towers at first, "glorot_uniform" or "identity"; with identity and shared embeddings, a reply fits a message
    at first as far as they hold the same n-grams.
    embedding_stddev: standard deviation of the embeddings at first. Small, so that n-grams seen once or twice, whose embeddings hardly
    learn, do not drown those that did.
    """

    kind: Literal["dual_encoder"] = "dual_encoder"
    embedding_size: int = Field(256, ge=1)  # width of an n-gram's or token's embedding
    units: tuple[PositiveInt, ...] = Field(
        (256,), min_length=1
    )  # widths of a tower's layers; the last is that of the vectors
    activation: Literal["relu", "tanh", "gelu", "silu", "elu", "sigmoid"] = "tanh"  # between a tower's layers
    dropout: Rate = 0.0  # in front of each layer of a tower
    similarity: Literal["cosine", "dot"] = "cosine"
    embedding_stddev: float = Field(0.05, gt=0, le=1)
    initializer: Literal["glorot_uniform", "identity"] = "glorot_uniform"
    share_embeddings: bool = False  # one embedding for messages and replies; needs a joint vocabulary


def build(config: Config, sizes: Sizes, *, seed: int) -> Any:
    """The keras.Model: ({field: sparse [B, F] or ids [B, T]}, reply) -> vectors; see nets/dual_encoder.py.

    Raises ConfigError for a reply that is neither n-grams nor ids, for messages without text, and for embeddings to share between fields
    of different vocabularies.
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
        share_embeddings=config.share_embeddings,
        identity=config.initializer == "identity",
        embedding_stddev=config.embedding_stddev,
        seed=seed,
    )
    model.build()
    return model


def check_joint(texts: dict[str, Any], sizes: Sizes) -> None:
    """Raises ConfigError for a message field whose n-grams or tokens are not numbered as those of the reply."""
    keys = ("kind", "dim", "vocab_size", "joint")
    target = {key: sizes.target.get(key) for key in keys}
    for name, size in texts.items():
        if {key: size.get(key) for key in keys} != target or (size["kind"] == "sparse" and not size.get("joint")):
            raise ConfigError(
                f"[model] share_embeddings: needs one vocabulary for {name!r} and {sizes.target_name!r}, found separate ones; give both "
                'the same features and set vocabulary = "joint", for n-grams in [vectorize], for ids in [tokenize], or set '
                "share_embeddings = false"
            )
