"""Questions as integers, in the graph.   Shapes: N questions, Q words.

A row is [Q + 1, then (hash, bits of the number or of NaN, RARE or COMMON) for each word, END].
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from textpipe.features._packed import Packed, from_records, join
from textpipe.text import table_text

COMMON, RARE = 1, 2
WIDTH = 3  # integers per word


class Question(Packed):
    """[N] string -> [N, T] int32."""

    def __init__(self, config: Any, words: Sequence[str], common: Sequence[str]):
        super().__init__(name="question")
        self.options = lambda: config
        self.words = lambda: list(words)
        self.common = np.array(table_text.word_hashes(tf.constant(list(common), tf.string)).numpy())
        self.known = np.sort(table_text.word_hashes(tf.constant(list(words), tf.string)).numpy())

    @property
    def size(self) -> dict:
        """Adds the words with an embedding of their own."""
        return {"kind": "question", "words": self.words(), "max_words": self.options().max_words}

    def is_known(self, hashes: tf.Tensor) -> tf.Tensor:
        """Which words have an embedding of their own: hashes [...] int32 -> [...] bool."""
        return tf.reshape(is_in(tf.reshape(hashes, [-1]), self.known), tf.shape(hashes))

    def rows(self, text: tf.Tensor) -> tuple[tf.RaggedTensor, dict[str, tf.Tensor]]:
        """[N] string -> integers [N, None], and counts of words, unknown words and cut questions."""
        config = self.options()
        full = table_text.words(text)
        tokens = full[:, : config.max_words]
        flat, lengths = tokens.flat_values, tokens.row_lengths()
        hashes = table_text.word_hashes(flat)
        numbers = table_text.numbers_of(flat)
        for number, word in enumerate(config.number_words):
            numbers = tf.where(flat == word, float(number), numbers)
        kind = tf.where(is_in(hashes, self.common), COMMON, RARE)
        records = tf.stack([hashes, table_text.float_bits(numbers), kind], axis=1)
        count = tf.RaggedTensor.from_tensor(tf.cast(lengths, tf.int32)[:, None] + 1)
        counts = {
            "words": tf.size(flat),
            "unknown": tf.math.count_nonzero(~is_in(hashes, self.known)),
            "cut": tf.math.count_nonzero(full.row_lengths() > config.max_words),
        }
        return join(count, from_records(records, lengths)), counts


def is_in(values: tf.Tensor, known: np.ndarray) -> tf.Tensor:
    """Which integers [M] are among `known` [K]."""
    if not len(known):
        return tf.zeros_like(values, tf.bool)
    ascending = tf.constant(np.sort(known))
    index = tf.minimum(tf.searchsorted(ascending, values), len(known) - 1)
    return tf.gather(ascending, index) == values
