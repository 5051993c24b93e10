"""Text features, as TensorFlow ops and as Arrow columns.

Each feature is called with text [N] and has a `size`, its size table in features.json.

Shapes: N texts, T tokens, D columns.
"""

from collections import Counter
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import tensorflow as tf

from textpipe.data import arrow
from textpipe.text import ngrams


class Ids(tf.Module):
    """Token ids followed by the end id, padded to the longest row.

    codec: a codec.Codec; max_length: the maximum number of tokens, including the end.
    """

    MAXIMA = ("longest",)

    def __init__(self, codec: Any, max_length: int):
        super().__init__(name="ids")
        self.codec = codec
        self.max_length = max_length

    @property
    def size(self) -> dict:
        # Codecs may add entries for the models that read them: the hybrid codec adds num_words.
        codec_size = getattr(self.codec, "size", {})
        return {"kind": "ids", "vocab_size": self.codec.vocab_size, "max_length": self.max_length, **codec_size}

    def __call__(self, text: tf.Tensor) -> tf.Tensor:
        """[N] string -> [N, T] int32."""
        return self.rows(text)[0].to_tensor(self.codec.pad_id)

    def rows(self, text: tf.Tensor) -> tuple[tf.RaggedTensor, tf.Tensor]:
        """[N] string -> ids without padding [N, None] int32, and the number of truncated texts [] int64."""
        ids = self.codec.encode(text)
        truncated = ids[:, : self.max_length - 1]
        end = tf.fill([tf.shape(text)[0], 1], self.codec.end_id)
        return tf.concat([truncated, end], axis=1), tf.math.count_nonzero(ids.row_lengths() >= self.max_length)

    @cached_property
    def traced(self) -> Any:
        """`rows` as a traced function."""
        return arrow.trace_text_function(self.rows)

    def schema(self, name: str) -> list[pa.Field]:
        """name: list<int32>."""
        return [arrow.int_list_field(name)]

    def arrays(self, text: tf.Tensor, stats: Counter) -> list[pa.Array]:
        """[N] string -> the columns of `schema`; updates the tokens, truncated rows and longest row of stats."""
        ids, num_truncated = self.traced(text)
        offsets = ids.row_splits.numpy()
        stats["tokens"] += int(offsets[-1])
        stats["truncated"] += int(num_truncated)
        stats["longest"] = max(stats["longest"], int((offsets[1:] - offsets[:-1]).max()))
        return [arrow.to_int_lists(ids)]


class Counts(tf.Module):
    """N-gram counts. buckets: the hash buckets that have a column, ascending [D]."""

    def __init__(self, config: Any, buckets: Any, *, codec: Any = None):
        super().__init__(name="counts")
        self.options = lambda: config  # a closure: tf.Module would wrap the section's lists
        self.codec = codec if config.needs_codec else None
        self.columns = ngrams.Columns(buckets)

    @property
    def size(self) -> dict:
        return {"kind": "sparse", "dim": self.columns.dim}

    def __call__(self, text: tf.Tensor) -> tf.SparseTensor:
        """[N] string -> [N, D] float32, indices in canonical order."""
        config = self.options()
        columns = ngrams.buckets(text, config, self.codec, self.columns)
        counts = ngrams.count_columns(columns, self.columns.dim, binary=config.frequency == "binary")
        return ngrams.scale_counts(counts, config.frequency)

    @cached_property
    def traced(self) -> Any:
        """The feature as a traced function."""
        return arrow.trace_text_function(self.__call__)

    def schema(self, name: str) -> list[pa.Field]:
        """name.indices: list<int32>, name.values: list<float32>."""
        return [
            pa.field(f"{name}.indices", pa.list_(pa.int32())),
            pa.field(f"{name}.values", pa.list_(pa.float32())),
        ]

    def arrays(self, text: tf.Tensor, stats: Counter) -> list[pa.Array]:
        """[N] string -> the columns of `schema`; adds the numbers of entries and of empty rows to stats."""
        rows = self.traced(text)
        row, column = rows.indices.numpy().T
        lengths = np.bincount(row, minlength=int(text.shape[0]))
        offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())
        stats["nonzeros"] += len(column)
        stats["empty"] += int((lengths == 0).sum())
        indices, values = pa.array(column.astype(np.int32)), pa.array(rows.values.numpy())
        return [pa.ListArray.from_arrays(offsets, array) for array in (indices, values)]


class Tfidf(Counts):
    """N-gram counts times inverse document frequency (idf: [D]), normalized per row or per family of n-grams."""

    def __init__(self, config: Any, buckets: Any, idf: Any, *, codec: Any = None):
        super().__init__(config, buckets, codec=codec)
        self.idf = tf.constant(idf, tf.float32)
        self.family = tf.constant(self.columns.buckets // config.num_buckets) if config.separate_families else None

    def __call__(self, text: tf.Tensor) -> tf.SparseTensor:
        """[N] string -> [N, D] float32, indices in canonical order."""
        counts = super().__call__(text)
        rows = counts.with_values(counts.values * tf.gather(self.idf, counts.indices[:, 1]))
        if self.options().norm == "none":
            return rows
        rows = ngrams.l2_normalize(rows, self.family)
        if not self.options().weights:
            return rows
        weights = tf.gather(
            tf.constant(self.options().family_weights, tf.float32), tf.gather(self.family, rows.indices[:, 1])
        )
        return rows.with_values(rows.values * weights)


class Hashed(Counts):
    """N-gram counts with one column per hash bucket, optionally of unit length per row."""

    def __init__(self, config: Any, *, codec: Any = None):
        tf.Module.__init__(self, name="hashed")
        self.options = lambda: config
        self.codec = codec if config.needs_codec else None

    @property
    def size(self) -> dict:
        return {"kind": "sparse", "dim": self.options().total_buckets}

    def __call__(self, text: tf.Tensor) -> tf.SparseTensor:
        """[N] string -> [N, D] float32, indices in canonical order."""
        config = self.options()
        counts = ngrams.count_columns(
            ngrams.buckets(text, config, self.codec), config.total_buckets, binary=config.frequency == "binary"
        )
        rows = ngrams.scale_counts(counts, config.frequency)
        return rows if config.norm == "none" else ngrams.l2_normalize(rows)
