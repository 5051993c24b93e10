"""The pooled classifier.   Shapes: B batch, T tokens, D states, J joined vector, H units, C logits."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import keras
from keras import ops

from textpipe.layers import pooling
from textpipe.layers.dropout import Dropout
from textpipe.layers.inputs import single_feature
from textpipe.nets.bag import Hidden, Linear


class PooledClassifier(keras.Model):
    """Logits from the pooled states of an encoder: {field: ids [B, T]} -> [B, C]; C = 1 for two classes."""

    fixed_widths = False  # one traced training step serves batches of any width

    def __init__(
        self,
        encoder: Any,
        num_logits: int,
        *,
        pool: str,
        attention_size: int,
        units: Sequence[int],
        activation: str,
        dropout: float,
        seed: int,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.num_logits = num_logits
        # The encoder's seeds start at seed * 100_003 and stay well below these.
        seeds = itertools.count(seed * 100_003 + 50_000)
        size = self.read_with(encoder, pool=pool, attention_size=attention_size, seeds=seeds)
        self.drop = Dropout(dropout, seed=next(seeds), name="drop")
        self.hidden = []
        for index, width in enumerate(units):
            layer_seed = next(seeds)  # the layer's dropout uses the next one
            next(seeds)
            self.hidden.append(
                Hidden(
                    size, width, activation=activation, normalization="none", dropout=dropout, seed=layer_seed,
                    name=f"hidden_{index}",
                )
            )  # fmt: skip
            size = width
        glorot = keras.initializers.GlorotUniform(seed=next(seeds))
        # Logits are computed in the variables' dtype: float32 even where the encoder computes in bfloat16.
        precise = keras.config.dtype_policy().variable_dtype
        self.output_linear = Linear(size, num_logits, initializer=glorot, dtype=precise, name="output_linear")

    def read_with(self, encoder: Any, *, pool: str, attention_size: int, seeds: Iterator[int]) -> int:
        """Creates the layers that read the only field; returns the width of the vector that they give."""
        self.encoder = encoder
        self.pooling = pooling_of(encoder, pool, attention_size, seeds)
        return encoder.state_size

    @property
    def readers(self) -> list[Any]:
        """The layers that read the fields, in the order in which they are built."""
        return [self.encoder, self.pooling]

    def build(self, input_shape: Any = None) -> None:
        for layer in (*self.readers, self.drop, *self.hidden, self.output_linear):
            if not layer.built:
                layer.build()
        self.bias = self.add_weight(shape=(self.num_logits,), initializer="zeros", autocast=False, name="bias")
        self.built = True

    def call(self, inputs: Any, training: bool = False) -> Any:
        return self.classify(self.represent(inputs, training=training), training=training)

    def represent(self, inputs: Any, training: bool = False) -> Any:
        """The pooled vector [B, D]."""
        states, mask = self.encoder(single_feature(inputs), training=training)
        return self.drop(self.pooling(states, mask), training=training)

    def classify(self, vectors: Any, training: bool = False) -> Any:
        """Logits [B, C] of pooled vectors."""
        for layer in self.hidden:
            vectors = layer(vectors, training=training)
        return self.output_linear(vectors) + self.bias


class Fields(NamedTuple):
    """What a FieldsClassifier reads.

    encoders: {field: encoder} of the fields of ids; fields that share an encoder have the same object. ngrams: {field: dim} of the sparse
    fields. ngram_embedding: width of their embeddings; None adds a linear map of the n-grams to the logits instead (Cheng et al. 2016,
    Wide & Deep Learning). numbers: names of the fields of numbers.
    """

    encoders: Mapping[str, Any]
    ngrams: Mapping[str, int]
    ngram_embedding: int | None
    numbers: Sequence[str]


class FieldsClassifier(PooledClassifier):
    """Logits from several fields: {field: ids [B, T], sparse rows [B, D] or numbers [B]} -> [B, C].

    The pooled vectors of texts, the embeddings of n-grams and the numbers are joined into one vector. encoder: a Fields.
    """

    def read_with(self, encoder: Fields, *, pool: str, attention_size: int, seeds: Iterator[int]) -> int:
        """Creates the layers that read the fields; returns the width of the joined vector."""
        encoders = tuple(encoder.encoders.values())
        self.texts, self.ngrams, self.numbers = tuple(encoder.encoders), tuple(encoder.ngrams), tuple(encoder.numbers)
        self.wide = bool(self.ngrams) and encoder.ngram_embedding is None
        self.shared = encoders[0] if len(encoders) > 1 and all(one is encoders[0] for one in encoders) else None
        self.fields = [
            TextField(
                one,
                pooling_of(one, pool, attention_size, seeds),
                owns_encoder=self.shared is None,
                name=f"field_{name}",
            )
            for name, one in zip(self.texts, encoders, strict=True)
        ]
        width = encoder.ngram_embedding or self.num_logits
        precise = keras.config.dtype_policy().variable_dtype if self.wide else None
        self.maps = []
        for name, dim in encoder.ngrams.items():
            uniform = keras.initializers.RandomUniform(seed=next(seeds))
            initializer = "zeros" if self.wide else uniform
            self.maps.append(Linear(dim, width, initializer=initializer, dtype=precise, name=f"field_{name}"))
        embedded = len(self.ngrams) * (encoder.ngram_embedding or 0)
        return sum(one.state_size for one in encoders) + embedded + len(self.numbers)

    @property
    def readers(self) -> list[Any]:
        """The layers that read the fields, in the order in which they are built."""
        return [*([self.shared] if self.shared is not None else []), *self.fields, *self.maps]

    def represent(self, inputs: Any, training: bool = False) -> Any:
        """The joined vector [B, J]; with linear maps of n-grams, also the sum of those, [B, C]."""
        vectors = [layer(inputs[name], training=training) for name, layer in zip(self.texts, self.fields, strict=True)]
        mapped = [layer(inputs[name]) for name, layer in zip(self.ngrams, self.maps, strict=True)]
        if not self.wide:
            vectors += mapped
        joined = self.drop(ops.concatenate(vectors, axis=-1), training=training)
        numbers = [ops.cast(inputs[name], joined.dtype)[:, None] for name in self.numbers]
        joined = ops.concatenate([joined, *numbers], axis=-1)
        return (joined, sum(mapped)) if self.wide else joined

    def classify(self, vectors: Any, training: bool = False) -> Any:
        """Logits [B, C] of what `represent` gives."""
        if isinstance(vectors, tuple):
            joined, linear = vectors
            return super().classify(joined, training=training) + linear
        return super().classify(vectors, training=training)


class TextField(keras.layers.Layer):
    """A field's encoder and pooling: ids [B, T] -> [B, D]. owns_encoder: the encoder belongs to this field alone, and is built with it."""

    def __init__(self, encoder: Any, pooling: Any, *, owns_encoder: bool, **options: Any) -> None:
        super().__init__(**options)
        self.owns_encoder = owns_encoder
        if owns_encoder:
            self.encoder = encoder
        else:
            self.encode = lambda *arguments, **settings: encoder(*arguments, **settings)  # not tracked twice
        self.pooling = pooling

    def build(self, input_shape: Any = None) -> None:
        for layer in (*([self.encoder] if self.owns_encoder else []), self.pooling):
            layer.build()
        self.built = True

    def call(self, ids: Any, training: bool = False) -> Any:
        states, mask = (self.encoder if self.owns_encoder else self.encode)(ids, training=training)
        return self.pooling(states, mask)


def pooling_of(encoder: Any, kind: str, attention_size: int, seeds: Iterator[int]) -> Any:
    """The pooling of an encoder's states."""
    backward_size = getattr(encoder, "backward_size", 0)
    return pooling.KINDS[kind](
        encoder.state_size, attention_size=attention_size, backward_size=backward_size, seeds=seeds, name="pooling"
    )
