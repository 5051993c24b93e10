"""Vectors of sentences from rows of token ids in which every sentence ends with the end id.

Shapes: B batch, T tokens, S sentences, D vector, V vocabulary.
"""

from typing import Any, NamedTuple

import keras
from keras import ops

PAD_ID, END_ID = 0, 3


class Sentences(NamedTuple):
    """How a row of ids is made of sentences.

    segment: [B T] int32 the sentence of each token, counted over all rows, row * S + number; -1 for ends and padding.
    position: [B, T] int32 of a token in its sentence, from 0. real: [B, S] whether there is such a sentence.
    age: [B, S] int32, 1 for the last sentence of a row; 0 or less for none.
    """

    segment: Any
    position: Any
    real: Any
    age: Any


def split(ids: Any) -> Sentences:
    """The sentences of ids [B, T].

    [[7, 8, 3, 9, 3, 0]] -> segment [0, 0, -1, 1, -1, -1], position [[0, 1, 2, 0, 1, 0]], age [[2, 1]]
    """
    ends = ops.cast(ops.equal(ids, END_ID), "int32")
    number = ops.cumsum(ends, axis=1) - ends  # [B, T], of the sentence that a token belongs to
    count = ops.sum(ends, axis=1)  # [B]
    num_rows, width = ops.shape(ids)[0], ops.shape(ids)[1]
    most = ops.max(count)  # S
    order = ops.arange(most, dtype="int32")
    row = ops.arange(num_rows, dtype="int32")[:, None] * most  # [B, 1]
    word = ops.logical_and(ops.not_equal(ids, END_ID), ops.not_equal(ids, PAD_ID))
    segment = ops.reshape(ops.where(word, row + number, -1), [-1])
    at = ops.arange(width, dtype="int32")
    # Where a sentence begins: behind the last end before it.
    begin = ops.reshape(ops.where(ends > 0, row + number, -1), [-1])
    behind = ops.reshape(ops.broadcast_to(at + 1, (num_rows, width)), [-1])
    end = ops.reshape(ops.segment_sum(behind, begin, num_segments=num_rows * most), (num_rows, most))  # [B, S]
    start = ops.concatenate([ops.zeros((num_rows, 1), "int32"), end], axis=1)  # [B, S + 1]
    position = at - ops.take_along_axis(start, ops.minimum(number, most), axis=1)
    age = count[:, None] - order
    return Sentences(segment, ops.where(word, position, 0), age > 0, age)


def sum_words(vectors: Any, sentences: Sentences) -> Any:
    """Adds the vectors of each sentence's words: [B, T, D] -> [B, S, D]."""
    num_rows, most = ops.shape(sentences.age)[0], ops.shape(sentences.age)[1]
    size = vectors.shape[-1]
    summed = ops.segment_sum(ops.reshape(vectors, (-1, size)), sentences.segment, num_segments=num_rows * most)
    return ops.reshape(summed, (num_rows, most, size))


class PositionEncoding(keras.layers.Layer):
    """Sums the vectors of a sentence's words, weighted by their positions: [B, T, D] -> [B, S, D].

    Sukhbaatar et al. 2015, section 4.1, as in their program: entry i of word j, both from 1, of a vector of size D in sentences of at most
    J words is weighted by 1 + 4 (i - (D + 1) / 2) (j - (J + 1) / 2) / (D J). J: max_words; later words are weighted as word J. size: D of one
    vector; several, side by side, are encoded alike.
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
        return sum_words(vectors * (1 + along[:, :, None] * across), sentences)
