"""Token embeddings.   Shapes: B batch, T tokens, E embedding, V vocabulary."""

from collections.abc import Iterator
from typing import Any

import keras
from keras import ops

from textpipe.layers.dropout import Dropout

PAD_ID = 0


class Embedding(keras.layers.Layer):
    """Looks up tokens in a table [V, E]: ids -> vectors and a mask that is False at padding.

    stddev: standard deviation of the table's initial entries; scale: factor applied to the vectors that are looked up.
    word_dropout: share of tokens whose whole vector is dropped in training, each occurrence independently (Sennrich et al.
    2016, "Edinburgh Neural Machine Translation Systems for WMT 16").

    [[17, 3, 0]] -> [[table[17], table[3], table[0]]], [[True, True, False]]
    """

    def __init__(
        self,
        vocab_size: int,
        size: int,
        *,
        stddev: float = 0.1,
        scale: float = 1.0,
        word_dropout: float = 0.0,
        seeds: Iterator[int],
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.vocab_size, self.size, self.scale = vocab_size, size, scale
        self.initializer = keras.initializers.RandomNormal(stddev=stddev, seed=next(seeds))
        self.word_drop = Dropout(word_dropout, seed=next(seeds), name="word_drop")

    def build(self, input_shape: Any = None) -> None:
        shape = (self.vocab_size, self.size)
        self.table = self.add_weight(shape=shape, initializer=self.initializer, name="table")
        self.word_drop.build()
        self.built = True

    def call(self, ids: Any, training: bool = False) -> tuple[Any, Any]:
        """ids [B, T], or [T, B] -> vectors [B, T, E], mask [B, T]."""
        vectors = ops.take(self.table, ids, axis=0)
        if self.scale != 1:
            vectors = vectors * self.scale
        if training and self.word_drop.level:
            vectors = vectors * self.word_drop.mask((*ops.shape(ids), 1), vectors.dtype)
        return vectors, ops.not_equal(ids, PAD_ID)
