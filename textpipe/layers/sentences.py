"""Vectors of sentences from rows of token ids in which every sentence ends with the end id.

Shapes: B batch, T tokens, S sentences, W words, D vector.
"""

from typing import Any, NamedTuple

import keras
from keras import ops

PAD_ID, END_ID = 0, 3
MASKED = -1e9


class Sentences(NamedTuple):
    """How rows of ids are made of sentences; W: the words of all rows, without ends and padding.

    ids: [W] int32. segment: [W] int32 the sentence of each word, counted over all rows: row * S + number. position: [W] int32 of a word in
    its sentence, from 0. real: [B, S] whether there is such a sentence. age: [B, S] int32, 1 for the last sentence of a row; 0 or less for none.
    """

    ids: Any
    segment: Any
    position: Any
    real: Any
    age: Any


def split(ids: Any) -> Sentences:
    """The sentences of ids [B, T].

    [[7, 8, 3, 9, 3, 0]] -> ids [7, 8, 9], segment [0, 0, 1], position [0, 1, 0], real [[True, True]], age [[2, 1]]
    """
    ends = ops.cast(ops.equal(ids, END_ID), "int32")
    number = ops.cumsum(ends, axis=1) - ends  # [B, T], of the sentence that a token belongs to
    count = ops.sum(ends, axis=1)  # [B]
    num_rows, width = ops.shape(ids)[0], ops.shape(ids)[1]
    most = ops.max(count)  # S
    row = ops.arange(num_rows, dtype="int32")[:, None] * most  # [B, 1]
    at = ops.arange(width, dtype="int32")
    # A sentence begins behind the end of the one before, so the starts are the sums of the only end of each sentence.
    behind = ops.reshape(ops.where(ends > 0, at + 1, 0), [-1])
    segment = ops.reshape(row + ops.minimum(number, most - 1), [-1])  # [B T]; padding counts to the last, with 0
    end = ops.reshape(ops.segment_sum(behind, segment, num_segments=num_rows * most), (num_rows, most))  # [B, S]
    start = ops.concatenate([ops.zeros((num_rows, 1), "int32"), end], axis=1)  # [B, S + 1]
    position = at - ops.take_along_axis(start, ops.minimum(number, most), axis=1)
    word = ops.logical_and(ops.not_equal(ids, END_ID), ops.not_equal(ids, PAD_ID))
    words = ops.nonzero(ops.reshape(word, [-1]))[0]  # [W]
    ids, segment, position = (ops.take(ops.reshape(values, [-1]), words) for values in (ids, segment, position))
    age = count[:, None] - ops.arange(most, dtype="int32")
    return Sentences(ids, segment, position, age > 0, age)


def sum_words(vectors: Any, sentences: Sentences) -> Any:
    """Adds the vectors of each sentence's words: [W, D] -> [B, S, D]."""
    num_rows, most = ops.shape(sentences.age)[0], ops.shape(sentences.age)[1]
    summed = ops.segment_sum(vectors, sentences.segment, num_segments=num_rows * most)
    return ops.reshape(summed, (num_rows, most, vectors.shape[-1]))


def softmax(scores: Any, real: Any, slots: int) -> Any:
    """Softmax over the S scores of a row where real is True, as if it had `slots` of them and the others were 0: [B, S], [B, S] -> [B, S].

    An empty memory has the score 0, so a row that selects nothing gives most of its weight to them.
    """
    scores = ops.where(real, scores, MASKED)
    number = ops.sum(ops.cast(real, scores.dtype), axis=1, keepdims=True)
    largest = ops.stop_gradient(ops.maximum(ops.max(scores, axis=1, keepdims=True), 0))
    exponents = ops.exp(scores - largest)
    empty = ops.maximum(slots - number, 0) * ops.exp(-largest)
    return exponents / (ops.sum(exponents, axis=1, keepdims=True) + empty)


class PositionEncoding(keras.layers.Layer):
    """Sums the vectors of a sentence's words, weighted by their positions: [W, D] -> [B, S, D].

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
        word = ops.minimum(ops.cast(sentences.position, dtype) + 1, self.max_words)  # [W]
        along = (word - (self.max_words + 1) / 2) / self.max_words
        return sum_words(vectors * (1 + along[:, None] * across), sentences)
