"""Hashed n-grams as sparse rows, as TensorFlow ops.

Weinberger et al. (2009), Feature Hashing for Large Scale Multitask Learning, without the sign hash: buckets seen in
training get a column of their own, the others are dropped, so a row is as wide as the training text asks for.

Shapes: N texts, G n-grams of a text, D columns.
"""

from typing import Any

import tensorflow as tf

from textpipe.text import words

# Equal strings of different families (the word "in", the characters "in") must not share a bucket.
FAMILY_OFFSETS = {"words": 0, "characters": 0x3C6EF372, "pieces": 0x2545F491}


def buckets(text: tf.Tensor, config: Any, codec: Any = None) -> tf.RaggedTensor:
    """The bucket of every n-gram asked for, repeats included: [N] string -> [N, G] int64 below config.total_buckets."""
    families = []
    if config.words:
        families.append(
            hash_to_buckets(word_ngrams(text, config.words, punctuation=config.punctuation), "words", config)
        )
    if config.characters:
        families.append(hash_to_buckets(character_ngrams(text, config.characters), "characters", config))
    if config.pieces:
        families.append(hash_to_buckets(piece_ngrams(codec.encode(text), config.pieces), "pieces", config))
    if config.separate_families:
        families = [found + number * config.num_buckets for number, found in enumerate(families)]
    return families[0] if len(families) == 1 else tf.concat(families, axis=1)


def word_ngrams(text: tf.Tensor, sizes: tuple[int, int], *, punctuation: bool) -> tf.RaggedTensor:
    """Runs of words, from sizes[0] to sizes[1] long: [N] string -> [N, G] string.

    ["a red fox"], (1, 2) -> [["a", "red", "fox", "a red", "red fox"]]
    """
    return tf.strings.ngrams(words.split(text, punctuation=punctuation), list(range(sizes[0], sizes[1] + 1)))


def character_ngrams(text: tf.Tensor, sizes: tuple[int, int]) -> tf.RaggedTensor:
    """Runs of characters inside words that are padded with a blank on both sides: [N] string -> [N, G] string.

    A padded word shorter than sizes[0] counts once as it is. scikit-learn's analyzer "char_wb".

    ["fox"], (3, 4) -> [[" fo", "fox", "ox ", " fox", "fox "]]
    """
    separate = words.blank_separated(text)
    characters = tf.strings.unicode_split(tf.strings.join([" ", separate.flat_values, " "]), "UTF-8")
    ngrams = tf.strings.ngrams(
        characters, list(range(sizes[0], sizes[1] + 1)), separator="", preserve_short_sequences=True
    )
    return separate.with_values(ngrams).merge_dims(1, 2)


def piece_ngrams(ids: tf.RaggedTensor, sizes: tuple[int, int]) -> tf.RaggedTensor:
    """Runs of token ids: [N, None] int32 -> [N, G] string.

    [[7, 8]], (1, 2) -> [["7", "8", "7 8"]]
    """
    spelled = ids.with_flat_values(tf.strings.as_string(ids.flat_values))
    return tf.strings.ngrams(spelled, list(range(sizes[0], sizes[1] + 1)))


def hash_to_buckets(ngrams: tf.RaggedTensor, family: str, config: Any) -> tf.RaggedTensor:
    """The bucket of each n-gram: [N, G] string -> [N, G] int64."""
    found = tf.strings.to_hash_bucket_fast(ngrams.flat_values, config.num_buckets)
    return ngrams.with_flat_values((found + FAMILY_OFFSETS[family]) % config.num_buckets)


def count_columns(columns: tf.RaggedTensor, dim: int, *, binary: bool = False) -> tf.SparseTensor:
    """How often each column occurs in each row: [N, G] int64 below dim -> [N, D] float32, indices in canonical order.

    [[4, 1, 4]] -> {(0, 1): 1, (0, 4): 2}
    """
    splits = columns.row_splits
    found = tf.raw_ops.RaggedCountSparseOutput(
        splits=tf.concat([splits, splits[-1:]], axis=0),  # one empty row more: the op refuses to count no rows
        values=columns.flat_values,
        weights=tf.zeros([0], tf.float32),
        minlength=dim,
        maxlength=dim,
        binary_output=binary,
    )
    return tf.SparseTensor(found.output_indices, found.output_values, tf.stack([columns.nrows(), dim]))


class Columns(tf.Module):
    """The columns of the buckets seen in training. seen: these buckets, ascending [D]; a bucket's column is its place
    there.
    """

    def __init__(self, seen):
        super().__init__(name="columns")
        self.dim = len(seen)
        # Sorted and searched, not a table of all buckets: 300 kB instead of 4 MB in each exported model, and as quick.
        self.seen = tf.constant(seen, tf.int64)

    def __call__(self, found: tf.RaggedTensor) -> tf.RaggedTensor:
        """Buckets to columns, unseen ones dropped: [N, G] int64 -> [N, None] int64."""
        place = tf.searchsorted(self.seen, found.flat_values, out_type=tf.int64)
        place = tf.minimum(place, self.dim - 1)
        known = tf.gather(self.seen, place) == found.flat_values
        # tf.ragged.boolean_mask would take memory for all rows at the width of the longest.
        before = tf.concat([[0], tf.cumsum(tf.cast(known, tf.int64))], axis=0)
        return tf.RaggedTensor.from_row_splits(
            tf.boolean_mask(place, known), tf.gather(before, found.row_splits), validate=False
        )


def scale_counts(counts: tf.SparseTensor, frequency: str) -> tf.SparseTensor:
    """Counts as they are ("raw"), 1 for each ("binary", already so), or 1 + ln(count) ("log")."""
    if frequency != "log":
        return counts
    # In float64, whose last digit depends on the value's place in the batch; rounded to float32 it no longer does.
    return counts.with_values(tf.cast(1.0 + tf.math.log(tf.cast(counts.values, tf.float64)), tf.float32))


def l2_normalize(rows: tf.SparseTensor, family: tf.Tensor | None = None) -> tf.SparseTensor:
    """Each row divided by its Euclidean length; an empty row stays empty.

    family: ascending [D] int64, from 0; each family's part of a row is then divided by the length of that part.
    """
    number = rows.indices[:, 0]
    if family is not None:
        number = number * (family[-1] + 1) + tf.gather(family, rows.indices[:, 1])  # ascending too
    squares = tf.math.segment_sum(tf.square(rows.values), number)  # [N] or fewer, where the last rows are empty
    # Square root and division round as IEEE 754 says; the quicker rsqrt makes a row depend on the rows beside it.
    return rows.with_values(rows.values / tf.gather(tf.sqrt(squares), number))
