"""Features as dense rows, made of numbers only and with ops that are built into LiteRT: no strings, no sparse tensors.

The caller hashes the n-grams of a text and sends their buckets; the graph computes the rest of the feature: columns, counts, inverse
document frequency, norm.   Shapes: G n-grams of a text, D columns, T tokens.
"""

from typing import Any

import numpy as np
import tensorflow as tf

from textpipe.features._scalar import Scalar
from textpipe.features._text import Counts, Hashed, Ids, Tfidf
from textpipe.text import ngrams

NO_BUCKET = -1  # padding of buckets


def spec(feature: Any) -> tuple[str, tf.TensorSpec] | None:
    """The name and TensorSpec of what a caller sends for one cell; None for features that are not model inputs.

    n-grams: ("buckets", int32 [G]), one per n-gram, with repeats; ids: ("ids", int32 [T]); a number: ("number", float32 [1]).
    """
    if isinstance(feature, Counts):
        return "buckets", tf.TensorSpec([None], tf.int32)
    if isinstance(feature, Ids):
        return "ids", tf.TensorSpec([None], tf.int32)
    return ("number", tf.TensorSpec([1], tf.float32)) if isinstance(feature, Scalar) else None


def value(feature: Any, cell: tf.Tensor) -> Any:
    """What a caller sends for a normalized cell [1], as a NumPy array."""
    if isinstance(feature, Counts):
        buckets = ngrams.buckets(cell, feature.options(), feature.codec).flat_values.numpy()
        return buckets.astype("int32") if len(buckets) else tf.constant([NO_BUCKET]).numpy()
    return (feature(cell)[0] if isinstance(feature, Ids) else cell).numpy()


def row(feature: Any, sent: tf.Tensor) -> tf.Tensor:
    """The model input, [1, D], ids [1, T] or a number [1], from what a caller sent."""
    if isinstance(feature, Counts):
        return counts(feature, sent)[None]
    return sent[None] if isinstance(feature, Ids) else feature(sent)


def counts(feature: Counts, buckets: tf.Tensor) -> tf.Tensor:
    """The row of counts or TF-IDF of n-grams' buckets: int32 [G] -> float32 [D]; buckets without a column are ignored."""
    config, dim = feature.options(), feature.size["dim"]
    column, known = hashed_columns(dim, buckets) if isinstance(feature, Hashed) else learned_columns(feature, buckets)
    total = tf.scatter_nd(column[:, None], tf.cast(known, tf.float32), [dim])  # [D]
    if config.frequency == "binary":
        total = tf.minimum(total, 1.0)
    elif config.frequency == "log":
        total = tf.where(total > 0, 1.0 + tf.math.log(tf.maximum(total, 1.0)), 0.0)
    if isinstance(feature, Hashed):
        return total if config.norm == "none" else unit(total)
    if not isinstance(feature, Tfidf):
        return total
    weighted = total * feature.idf
    if config.norm == "none":
        return weighted
    ends = [dim] if feature.family is None else np.bincount(feature.family.numpy()).cumsum()
    starts = [0, *ends[:-1]]
    weights = config.family_weights if feature.family is not None else [1.0]
    return tf.concat(
        [
            unit(weighted[start:end]) * weight
            for start, end, weight in zip(starts, ends, weights, strict=False)
            if start < end
        ],
        axis=0,
    )


def hashed_columns(dim: int, buckets: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """(column [G], whether there is one [G]) where every bucket below dim is a column."""
    return tf.clip_by_value(buckets, 0, dim - 1), (buckets >= 0) & (buckets < dim)


def learned_columns(feature: Counts, buckets: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """(column [G], whether there is one [G]) by an unrolled binary search in the buckets that occur in train."""
    known_buckets, dim = tf.cast(feature.columns.buckets, tf.int32), feature.columns.dim
    column = tf.zeros_like(buckets)  # the last one whose bucket is not above
    step = 1 << (dim - 1).bit_length()
    while step := step >> 1:
        later = column + step
        above = (later >= dim) | (tf.gather(known_buckets, tf.minimum(later, dim - 1)) > buckets)
        column = tf.where(above, column, later)
    return column, tf.equal(tf.gather(known_buckets, column), buckets)


def unit(vector: tf.Tensor) -> tf.Tensor:
    """Divided by its Euclidean length; zeros stay zeros."""
    length = tf.sqrt(tf.reduce_sum(tf.square(vector)))
    return vector / tf.where(length > 0, length, 1.0)
