"""A multi-layer perceptron over a bag of features, or over averaged token embeddings (Iyyer et al., 2015)."""

import itertools
from typing import Literal

from pydantic import Field, PositiveInt, model_validator

from textpipe.config.sections import Section
from textpipe.errors import ConfigError
from textpipe.features._classes import num_logits
from textpipe.layers.dropout_rate import Rate

READS = ("sparse", "ids", "scalar")
GIVES = "logits"


class Config(Section):
    """units: width of each hidden layer, first to last.

    embedding: width of the token embeddings, for ids only. ngram_embedding: width of the embeddings of n-grams, summed per field
    (Kannan et al., 2016, Smart Reply, section 4); if left out, n-gram counts are fed to the first hidden layer directly.
    normalization: "batch" normalizes each hidden layer over the batch (Ioffe and Szegedy, 2015), "layer" over its units (Ba et al.,
    2016). initializer: distribution of the kernels of hidden layers: "glorot" (2010), "he" (2015, for relu) or "lecun" (for selu, as
    normal distributions). residual: adds the input of a hidden layer to its output, where both are of equal width (He et al., 2016).
    dropout: after each hidden layer. l1, l2: as in logistic_regression.
    """

    kind: Literal["feed_forward"] = "feed_forward"
    units: tuple[PositiveInt, ...] = Field(default=(256,), min_length=1)
    activation: Literal["relu", "tanh", "gelu", "silu", "elu", "selu", "sigmoid"] = "relu"  # after each hidden layer
    normalization: Literal["none", "batch", "layer"] = "none"
    initializer: Literal["glorot", "he", "lecun"] = "glorot"
    residual: bool = False
    dropout: Rate = 0.2
    embedding: int = Field(default=128, ge=1)
    ngram_embedding: PositiveInt | None = None
    l1: float = Field(default=0.0, ge=0)
    l2: float = Field(default=0.0, ge=0)

    @model_validator(mode="after")
    def residual_has_layers(self) -> "Config":
        if self.residual and all(size != next_size for size, next_size in itertools.pairwise(self.units)):
            raise ValueError(
                f"residual: needs two consecutive layers of equal width, found units = {list(self.units)}; "
                "set units = [256, 256], for example, or leave residual out"
            )
        return self


def build(config: Config, sizes, *, seed: int):
    """The keras.Model: {field: sparse rows [B, D], ids [B, T] or numbers} -> logits [B, C].

    Raises ConfigError for ngram_embedding without a field of n-grams.
    """
    from textpipe.layers.inputs import dim_of
    from textpipe.nets.bag import FeedForward

    embeddings = {name: config.embedding for name, size in sizes.inputs.items() if "vocab_size" in size}
    if config.ngram_embedding is not None:
        ngrams = [name for name, size in sizes.inputs.items() if size["kind"] == "sparse"]
        if not ngrams:
            raise ConfigError(
                "[model] ngram_embedding: applies to fields of n-grams (hashed, counts, tfidf), and there are none; leave it out"
            )
        embeddings |= dict.fromkeys(ngrams, config.ngram_embedding)
    model = FeedForward(
        {name: dim_of(size) for name, size in sizes.inputs.items()},
        num_logits(sizes.target),
        units=config.units,
        embeddings=embeddings,
        activation=config.activation,
        normalization=config.normalization,
        initializer=config.initializer,
        residual=config.residual,
        dropout=config.dropout,
        l1=config.l1,
        l2=config.l2,
        seed=seed,
    )
    model.build()
    return model
