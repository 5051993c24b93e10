"""Answers as integers, in the graph.   Shapes: N answers, I items.

A row is [I + 1, bits of the number or of NaN, the key of each item, END].
"""

from typing import Any

import tensorflow as tf

from textpipe.features._packed import Packed, from_records, join
from textpipe.text import table_text


class Denotation(Packed):
    """[N] string -> [N, T] int32."""

    def __init__(self, config: Any):
        super().__init__(name="denotation")
        self.options = lambda: config

    @property
    def size(self) -> dict:
        """The limits of the rows."""
        return {"kind": "denotation", "max_items": self.options().max_items, "key_words": self.options().key_words}

    def rows(self, text: tf.Tensor) -> tuple[tf.RaggedTensor, dict[str, tf.Tensor]]:
        """[N] string -> integers [N, None], and counts of items and of numbers. An answer with too many items has none."""
        config = self.options()
        items = tf.strings.split(text, "|")
        few = (items.row_lengths() <= config.max_items) & ~tf.strings.regex_full_match(text, r"\s*")
        items = tf.RaggedTensor.from_row_lengths(
            tf.boolean_mask(items.flat_values, tf.repeat(few, items.row_lengths())),
            tf.where(few, items.row_lengths(), 0),
            validate=False,
        )
        texts = table_text.unescape(items.flat_values)
        keys = table_text.keys(texts, config.key_words)[:, None]
        lengths = items.row_lengths()
        number = tf.where(lengths == 1, table_text.pure_numbers(text), float("nan"))
        head = tf.stack([tf.cast(lengths, tf.int32) + 1, table_text.float_bits(number)], axis=1)
        counts = {"items": tf.size(keys), "numbers": tf.math.count_nonzero(~tf.math.is_nan(number))}
        return join(tf.RaggedTensor.from_tensor(head), from_records(keys, lengths)), counts
