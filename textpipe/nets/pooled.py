"""The pooled classifier.   Shapes: B batch, T tokens, D states, H units, C logits."""

import itertools
from collections.abc import Sequence
from typing import Any

import keras

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
        self.encoder = encoder
        size = encoder.state_size
        self.pooling = pooling.KINDS[pool](
            size,
            attention_size=attention_size,
            backward_size=getattr(encoder, "backward_size", 0),
            seeds=seeds,
            name="pooling",
        )
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

    def build(self, input_shape: Any = None) -> None:
        for layer in (self.encoder, self.pooling, self.drop, *self.hidden, self.output_linear):
            if not layer.built:
                layer.build()
        self.bias = self.add_weight(shape=(self.num_logits,), initializer="zeros", autocast=False, name="bias")
        self.built = True

    def ids_of(self, inputs: Any) -> Any:
        """The token ids [B, T] of the only field."""
        return single_feature(inputs)

    def call(self, inputs: Any, training: bool = False) -> Any:
        states, mask = self.encoder(self.ids_of(inputs), training=training)
        hidden = self.drop(self.pooling(states, mask), training=training)  # [B, D]
        for layer in self.hidden:
            hidden = layer(hidden, training=training)
        return self.output_linear(hidden) + self.bias
