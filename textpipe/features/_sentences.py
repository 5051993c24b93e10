"""Sentences as TensorFlow ops and as Arrow columns.   Shapes: N stories, S sentences, T tokens."""

from collections import Counter
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import pyarrow as pa
import tensorflow as tf

from textpipe.data import arrow


class SentenceIds(tf.Module):
    """Token ids of sentences, each followed by the end id.

    codec: a codec.Codec; max_sentences: the last ones are kept; max_words: maximum number of tokens of a sentence, without its end;
    longest: {"words", "sentences"} of train.
    """

    MAXIMA = ("longest",)

    def __init__(self, codec: Any, max_sentences: int, max_words: int, longest: Mapping[str, int] | None = None):
        super().__init__(name="sentence_ids")
        self.codec = codec
        self.max_sentences, self.max_words = max_sentences, max_words
        self.train_words, self.train_sentences = (longest or {}).get("words", 0), (longest or {}).get("sentences", 0)

    @property
    def size(self) -> dict:
        """The size table: that of ids, with the limits, the longest of train, and the vocabulary's tokens."""
        tokens = self.codec.pieces(tf.range(self.codec.vocab_size)[None])[0].numpy().tolist()
        return {
            "kind": "ids",
            "vocab_size": self.codec.vocab_size,
            "max_length": self.max_sentences * (self.max_words + 1),
            "max_sentences": self.max_sentences,
            "max_words": self.max_words,
            "train_words": self.train_words,
            "train_sentences": self.train_sentences,
            "tokens": [token.decode("utf-8", errors="replace") for token in tokens],
        }

    def __call__(self, text: tf.Tensor) -> tf.Tensor:
        """[N] string -> [N, T] int32; a blank story is one empty sentence, which has the end id alone."""
        return self.rows(text)[0].to_tensor(self.codec.pad_id)

    def parts(self, text: tf.Tensor) -> tf.RaggedTensor:
        """The sentences that are kept, the newest of the non-blank lines: [N] string -> [N, None] string. A blank story has one, "".

        ["to be\\n\\nor not", " "] -> [["to be", "or not"], [""]]
        """
        return self.split(text)[0]

    def split(self, text: tf.Tensor) -> tuple[tf.RaggedTensor, tf.Tensor]:
        """The sentences that are kept [N, None] string, and the number of all non-blank lines [N]."""
        lines = tf.strings.split(text, "\n")
        blank = tf.strings.regex_full_match(lines.flat_values, r"[\s\p{Z}\p{Cc}\p{Cf}]*")
        sentences = tf.ragged.boolean_mask(lines, lines.with_flat_values(~blank))
        counts = sentences.row_lengths()
        # So that every row has a token.
        filler = tf.RaggedTensor.from_row_lengths(
            tf.fill([tf.math.count_nonzero(counts == 0)], ""), tf.cast(counts == 0, tf.int64)
        )
        return tf.concat([sentences[:, -self.max_sentences :], filler], axis=1), counts

    def rows(self, text: tf.Tensor) -> tuple[tf.RaggedTensor, tf.Tensor, tf.Tensor]:
        """[N] string -> ids without padding [N, None] int32, sentences kept per row [N], and how many rows and sentences were cut [2]."""
        newest, counts = self.split(text)
        encoded = self.codec.encode(newest.flat_values)  # [sentences, None]
        ends = tf.fill([encoded.nrows(), 1], self.codec.end_id)
        ids = tf.concat([encoded[:, : self.max_words], ends], axis=1)
        nested = tf.RaggedTensor.from_row_splits(ids, newest.row_splits)  # [N, None, None]
        cut = tf.stack(
            [
                tf.math.count_nonzero(counts > self.max_sentences),
                tf.math.count_nonzero(encoded.row_lengths() > self.max_words),
            ]
        )
        return nested.merge_dims(1, 2), newest.row_lengths(), cut

    def longest(self, text: tf.Tensor) -> tf.Tensor:
        """The numbers of tokens of the longest sentence, without its end, and of sentences of the longest story: [2] int64."""
        ids, sentences, _ = self.traced(text)
        ends = tf.where(ids.flat_values == self.codec.end_id)[:, 0]
        lengths = ends - tf.concat([[tf.constant(-1, tf.int64)], ends[:-1]], axis=0) - 1
        return tf.stack([tf.reduce_max(lengths), tf.reduce_max(sentences)])

    @cached_property
    def traced(self) -> Any:
        """`rows` as a traced function."""
        return arrow.trace_text_function(self.rows)

    def schema(self, name: str) -> list[pa.Field]:
        """name: list<int32>."""
        return [arrow.int_list_field(name)]

    def arrays(self, text: tf.Tensor, stats: Counter) -> list[pa.Array]:
        """[N] string -> the columns of `schema`; updates sentences, tokens, truncated rows, cut sentences and longest row of stats."""
        ids, sentences, cut = self.traced(text)
        offsets = ids.row_splits.numpy()
        stats["tokens"] += int(offsets[-1])
        stats["sentences"] += int(sentences.numpy().sum())
        stats["truncated"] += int(cut[0])
        stats["cut"] += int(cut[1])
        stats["longest"] = max(stats["longest"], int((offsets[1:] - offsets[:-1]).max(initial=0)))
        return [arrow.to_int_lists(ids)]
