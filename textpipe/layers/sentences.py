"""Vectors of sentences from rows of token ids in which every sentence ends with the end id.

Shapes: B batch, T tokens, S sentences, D vector, V vocabulary.
"""

from typing import Any, NamedTuple

import keras
from keras import ops

PAD_ID, END_ID = 0, 3


class Sentences(NamedTuple):
    """How a row of ids is made of sentences.

    members: [B, S, T] 1 where a token, but no end, belongs to a sentence. position: [B, T] of a token in its sentence, from 0.
    real: [B, S] whether there is such a sentence. age: [B, S] int32, 1 for the last sentence of a row; 0 or less for none.
    """

    members: Any
    position: Any
    real: Any
    age: Any


def split(ids: Any, dtype: str) -> Sentences:
    """The sentences of ids [B, T].

    [[7, 8, 3, 9, 3, 0]] -> members [[[1, 1, 0, 0, 0, 0], [0, 0, 0, 1, 0, 0]]], position [[0, 1, 2, 0, 1, 0]], age [[2, 1]]
    """
    ends = ops.cast(ops.equal(ids, END_ID), "int32")
    number = ops.cumsum(ends, axis=1) - ends  # [B, T], of the sentence that a token belongs to
    count = ops.sum(ends, axis=1)  # [B]
    order = ops.arange(ops.max(count), dtype="int32")  # [S]
    inside = ops.cast(ops.equal(number[:, None], order[:, None]), "int32")  # [B, S, T]
    before = ops.sum(ops.cast(ops.less(number[:, None], order[:, None]), "int32"), axis=2)  # [B, S], tokens before a sentence
    start = ops.sum(inside * before[:, :, None], axis=1)  # [B, T]
    position = ops.arange(ops.shape(ids)[1], dtype="int32") - start
    word = ops.logical_and(ops.not_equal(ids, END_ID), ops.not_equal(ids, PAD_ID))
    age = count[:, None] - order
    return Sentences(
        ops.cast(inside, dtype) * ops.cast(word, dtype)[:, None], ops.maximum(position, 0) * ops.cast(word, "int32"), age > 0, age
    )


class PositionEncoding(keras.layers.Layer):
    """Sums the vectors of a sentence's words, weighted by their positions: [B, T, D] -> [B, S, D].

    Sukhbaatar et al. 2015, section 4.1, as in their program: entry i of word j, both from 1, of a vector of size D in sentences of at most
    J words is weighted by 1 + 4 (i - (D + 1) / 2) (j - (J + 1) / 2) / (D J). This is 1 + a_i b_j, so the sum is that of the vectors plus
    a times the sum weighted by b. J: max_words; later words are weighted as word J. size: D of one vector; several, side by side, are encoded alike.
    """

    def __init__(self, size: int, max_words: int, **options: Any) -> None:
        super().__init__(**options)
        self.size, self.max_words = size, max_words

    def call(self, vectors: Any, sentences: Sentences) -> Any:
        dtype = vectors.dtype
        entry = ops.arange(1, self.size + 1, dtype=dtype)
        across = 4 * (entry - (self.size + 1) / 2) / self.size  # [D]
        across = ops.tile(across, [vectors.shape[-1] // self.size])
        word = ops.minimum(ops.cast(sentences.position, dtype) + 1, self.max_words)  # [B, T]
        along = (word - (self.max_words + 1) / 2) / self.max_words
        members = sentences.members
        plain = ops.matmul(members, vectors)  # [B, S, D]
        return plain + across * ops.matmul(members * along[:, None], vectors)
