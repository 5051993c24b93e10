"""A classifier over an encoder: a vector for each token, pooled into one, and a linear layer. Several fields are joined after pooling."""

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, PositiveInt, model_validator

from textpipe.config import plugins
from textpipe.config.fields import Sizes
from textpipe.config.sections import Plugin, Section
from textpipe.errors import ConfigError, suggest
from textpipe.features._classes import num_logits
from textpipe.layers.dropout_rate import Rate

READS = ("ids",)
READS_BESIDE = ("sparse", "scalar")  # accepted beside a field of ids
GIVES = "logits"

SEED_STEP = 1_000_003  # encoders of one model start from different weights

if TYPE_CHECKING:
    Encoder = Any
else:
    Encoder = Plugin.of("encoders")


class Config(Section):
    """[model] kind = "pooled".

    pooling: how the tokens' vectors become one: "max" takes the maximum of each feature (Kim 2014), "mean" the mean, "last"
        the final state, "attention" a sum weighted by one learned query (Yang et al. 2016; Lin et al. 2017).
    units: width of each hidden layer between pooling and logits, first to last; none by default.
    encoder: computes a vector for each token, for all text fields that `encoders` does not name.
    encoders: encoders of single fields, { body = { kind = "recurrent" } }.
    share_encoder: one encoder reads all text fields; needs [tokenize] vocabulary = "joint".
    ngram_embedding: width of the embedding of a field of n-grams, joined to the pooled vectors; without it, n-grams have a linear map to the
        logits (Cheng et al. 2016, Wide & Deep Learning).
    """

    kind: Literal["pooled"] = "pooled"
    encoder: Encoder = Field(default="convolution", validate_default=True)
    encoders: dict[str, Encoder] = {}
    share_encoder: bool = False
    ngram_embedding: PositiveInt | None = None
    pooling: Literal["max", "mean", "last", "attention"] = "max"
    attention_size: int = Field(128, ge=1)  # width of the hidden layer of attention pooling
    units: tuple[PositiveInt, ...] = ()
    activation: Literal["relu", "tanh", "gelu", "silu", "elu", "sigmoid"] = "relu"  # after each hidden layer
    dropout: Rate = 0.5  # of the pooled vector and after each hidden layer

    @model_validator(mode="after")
    def one_encoder(self) -> "Config":
        if self.share_encoder and self.encoders:
            raise ValueError(
                "encoders: with share_encoder, one encoder reads all fields; give it as encoder, or leave share_encoder out"
            )
        return self


def unused(config: Config) -> dict[str, str]:
    """Fields without effect given the others, and why."""
    reasons = {}
    if config.pooling != "attention":
        reasons["attention_size"] = f"pooling = {config.pooling!r} has none"
    if not config.units:
        reasons["activation"] = "there are no hidden layers, since units is empty"
    return reasons


def shared_sides(config: Config) -> tuple[str, ...]:
    """Sides whose fields of ids must have the same tokens."""
    return ("source",) if config.share_encoder else ()


def build(config: Config, sizes: Sizes, *, seed: int) -> Any:
    """The keras.Model: {field: ids [B, T], sparse rows [B, D] or numbers [B]} -> logits [B, C].

    Raises ConfigError when an encoder cannot read its field's features, and for settings of fields that there are not.
    """
    from textpipe.nets.pooled import Fields, FieldsClassifier, PooledClassifier

    texts = check_fields(config, sizes)
    options: dict[str, Any] = {
        "pool": config.pooling,
        "attention_size": config.attention_size,
        "units": config.units,
        "activation": config.activation,
        "dropout": config.dropout,
        "seed": seed,
    }
    if len(sizes.inputs) == 1:
        (encoder,) = encoders(config, texts, seed=seed).values()
        model = PooledClassifier(encoder, num_logits(sizes.target), **options)
    else:
        fields = Fields(
            encoders(config, texts, seed=seed),
            ngrams={name: size["dim"] for name, size in sizes.inputs.items() if size["kind"] == "sparse"},
            ngram_embedding=config.ngram_embedding,
            numbers=[name for name, size in sizes.inputs.items() if size["kind"] == "scalar"],
        )
        model = FieldsClassifier(fields, num_logits(sizes.target), **options)
    model.build()
    return model


def encoders(config: Config, texts: dict[str, dict[str, Any]], *, seed: int) -> dict[str, Any]:
    """{field: encoder}; with share_encoder all fields have the same."""
    built: dict[str, Any] = {}
    for at, (name, size) in enumerate(texts.items()):
        if config.share_encoder and built:
            built[name] = next(iter(built.values()))
            continue
        section = encoder_of(config, name)
        module = plugins.find("encoders", section.kind)
        built[name] = module.build(section, size, seed=seed + at * SEED_STEP)
    return built


def encoder_of(config: Config, field: str) -> Any:
    """The settings of a field's encoder."""
    encoders: dict[str, Any] = config.encoders
    return encoders.get(field, config.encoder)


def check_fields(config: Config, sizes: Sizes) -> dict[str, dict[str, Any]]:
    """The size tables of the fields that are encoded; raises ConfigError for fields and settings that do not fit."""
    texts = {name: size for name, size in sizes.inputs.items() if size["kind"] not in READS_BESIDE}
    texts = texts or dict(sizes.inputs)
    for name in config.encoders:
        if name not in texts:
            raise ConfigError(f"[model] encoders.{name}: no text field has this name{suggest(name, list(texts))}")
    for name, size in texts.items():
        kind = encoder_of(config, name).kind
        reads = plugins.find("encoders", kind).READS
        if size["kind"] not in reads:
            raise ConfigError(
                f"[model] encoder {kind}: expects {' or '.join(reads)} features, found {size['kind']} for {name!r}"
            )
    if set(config.encoders) == set(texts) and "encoder" in config.model_fields_set:
        raise ConfigError("[model] encoder: has no effect, because encoders names every text field; leave encoder out")
    if config.share_encoder:
        if len(texts) == 1:
            raise ConfigError("[model] share_encoder: there is a single text field; leave share_encoder out")
        vocab_sizes = {name: size["vocab_size"] for name, size in texts.items()}
        if len(set(vocab_sizes.values())) > 1:
            counts = ", ".join(f"{name} {count:,}" for name, count in vocab_sizes.items())
            raise ConfigError(
                f"[model] share_encoder: the text fields must share a vocabulary, found sizes {counts}; set [tokenize] "
                'vocabulary = "joint", or leave share_encoder out'
            )
    if config.ngram_embedding is not None and all(size["kind"] != "sparse" for size in sizes.inputs.values()):
        raise ConfigError(
            "[model] ngram_embedding: applies to fields of n-grams (hashed, counts, tfidf), and there are none; leave it out"
        )
    return texts
