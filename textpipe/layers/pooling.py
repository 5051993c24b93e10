"""Pooling: one vector for a sequence.   Shapes: B batch, T tokens, D states, A attention size.

Each layer is called as layer(states [B, T, D], mask [B, T]) -> [B, D]; states at padding are ignored. A sequence without
tokens gives zeros.
"""

from collections.abc import Iterator
from typing import Any

import keras
from keras import ops

from textpipe.layers.attention import MASKED, padding_bias
from textpipe.layers.normalization import softmax


class Pooling(keras.layers.Layer):
    """Base class.

    size: D. backward_size: how many of the last of the D features were read from the end of the sequence; see Last.
    """

    def __init__(
        self, size: int, *, attention_size: int = 0, backward_size: int = 0, seeds: Iterator[int], **options: Any
    ) -> None:
        super().__init__(**options)
        self.size, self.attention_size, self.backward_size = size, attention_size, backward_size
        self.seeds = seeds

    def build(self, *shapes: Any) -> None:
        self.built = True


class Max(Pooling):
    """The maximum of each feature over all tokens (Collobert et al. 2011; Kim 2014)."""

    def call(self, states: Any, mask: Any) -> Any:
        mask = mask[:, :, None]
        largest = ops.max(ops.where(mask, states, ops.cast(MASKED, states.dtype)), axis=1)
        return ops.where(ops.any(mask, axis=1), largest, ops.zeros_like(largest))


class Mean(Pooling):
    """The mean over all tokens."""

    def call(self, states: Any, mask: Any) -> Any:
        real = ops.cast(mask, states.dtype)[:, :, None]
        return ops.sum(states * real, axis=1) / ops.maximum(ops.sum(real, axis=1), 1)


class Last(Pooling):
    """The final state: at the last token, and for features read backward at the first."""

    def call(self, states: Any, mask: Any) -> Any:
        real = ops.cast(mask, states.dtype)
        ends = real - ops.pad(real[:, 1:], ((0, 0), (0, 1)))  # 1 at the last token
        last = ops.matmul(ends[:, None, :], states)[:, 0]
        if not self.backward_size:
            return last
        forward_size = self.size - self.backward_size
        return ops.concatenate([last[:, :forward_size], states[:, 0, forward_size:] * real[:, :1]], axis=-1)


class Attention(Pooling):
    """The states weighted by attention of one learned query (Yang et al. 2016, equations 5 to 7; Lin et al. 2017).

    score_t = query . tanh(W state_t + b);   weights = softmax(score);   pooled = sum_t weights_t state_t
    """

    def build(self, *shapes: Any) -> None:
        def glorot() -> Any:
            return keras.initializers.GlorotUniform(seed=next(self.seeds))

        shape = (self.size, self.attention_size)
        self.kernel = self.add_weight(shape=shape, initializer=glorot(), name="kernel")
        self.bias = self.add_weight(shape=(self.attention_size,), initializer="zeros", name="bias")
        self.query = self.add_weight(shape=(self.attention_size, 1), initializer=glorot(), name="query")
        self.built = True

    def call(self, states: Any, mask: Any) -> Any:
        real = ops.cast(mask, states.dtype)
        keys = ops.tanh(ops.matmul(states, self.kernel) + self.bias)  # [B, T, A]
        scores = ops.matmul(keys, self.query)[:, :, 0] + padding_bias(real)
        weights = softmax(scores) * real  # [B, T]; the product zeroes rows without tokens
        return ops.matmul(weights[:, None, :], states)[:, 0]


KINDS = {"max": Max, "mean": Mean, "last": Last, "attention": Attention}
