"""Hashed n-grams as sparse rows, as TensorFlow ops.

Weinberger et al. (2009), Feature Hashing for Large Scale Multitask Learning, without the sign hash: each bucket that
occurs in training has a column, all others are dropped, so the number of columns depends on the training text.

Shapes: N texts, G n-grams of a text, D columns.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from textpipe.text import words
from textpipe.text.steps import casefold

# Never equal to a word of a text, because `words.split` splits at brackets.
START, END = "<s>", "</s>"
# Equal strings of different families (the word "in", the characters "in") must not share a bucket.
FAMILY_OFFSETS = {"words": 0, "characters": 0x3C6EF372, "pieces": 0x2545F491, "pairs": 0x1B873593}
# A pair is hashed by (lower * PAIR_FACTOR + higher) % PAIR_PRIME, where both are hashes of words below WORD_HASHES.
WORD_HASHES, PAIR_FACTOR, PAIR_PRIME = 2**30, 0x2C1B3C6D, 2**31 - 1


def buckets(
    text: tf.Tensor,
    config: Any,
    codec: Any = None,
    select: Callable[[tf.RaggedTensor], tf.RaggedTensor] = lambda buckets: buckets,
) -> tf.RaggedTensor:
    """The bucket of every n-gram, with repeats: [N] string -> [N, G] int64 below config.total_buckets.

    select: a function of the buckets of some n-grams, such as Columns, that is applied to all of them: [R, G] -> [R, None].
    """
    families: list[tf.RaggedTensor] = []

    def hashed(ngrams: tf.RaggedTensor, family: str) -> tf.RaggedTensor:
        return placed(hash_to_buckets(ngrams, family, config))

    def placed(ids: tf.RaggedTensor) -> tf.RaggedTensor:
        return select(ids + len(families) * config.num_buckets if config.separate_families else ids)

    if config.casefold:
        text = casefold.apply(text, None)
    if config.words:
        counted = word_ngrams(text, config.words, punctuation=config.punctuation, marks=config.marks)
        families.append(hashed(counted, "words"))
    if config.characters:
        # Each different word once: a batch repeats most of its words.
        tokens = words.split_whitespace(text)
        distinct, number = tf.unique(tokens.flat_values)
        ids = hashed(word_character_ngrams(distinct, config.characters), "characters")
        families.append(tokens.with_values(tf.gather(ids, number)).merge_dims(1, 2))
    if config.pieces:
        families.append(hashed(piece_ngrams(codec.encode(text), config.pieces), "pieces"))
    if config.pairs:
        families.append(placed(word_pairs(text, config)))
    return families[0] if len(families) == 1 else tf.concat(families, axis=1)


def word_ngrams(text: tf.Tensor, sizes: tuple[int, int], *, punctuation: bool, marks: bool = False) -> tf.RaggedTensor:
    """N-grams of sizes[0] to sizes[1] words: [N] string -> [N, G] string.

    marks: n-grams of two or more words are taken from START, the words, END.

    ["a red fox"], (1, 2) -> [["a", "red", "fox", "a red", "red fox"]]
    """
    split = words.split(text, punctuation=punctuation)
    lengths = list(range(sizes[0], sizes[1] + 1))
    if not marks:
        return tf.strings.ngrams(split, lengths)
    start, end = (tf.fill([split.nrows(), 1], mark) for mark in (START, END))
    marked = tf.strings.ngrams(tf.concat([start, split, end], axis=1), [length for length in lengths if length > 1])
    return tf.concat([split, marked], axis=1) if 1 in lengths else marked


def character_ngrams(text: tf.Tensor, sizes: tuple[int, int]) -> tf.RaggedTensor:
    """Character n-grams inside words, each padded with a space on both sides: [N] string -> [N, G] string.

    A padded word shorter than sizes[0] counts once, unchanged. Equal to scikit-learn's analyzer "char_wb".

    ["fox"], (3, 4) -> [[" fo", "fox", "ox ", " fox", "fox "]]
    """
    tokens = words.split_whitespace(text)
    return tokens.with_values(word_character_ngrams(tokens.flat_values, sizes)).merge_dims(1, 2)


def word_character_ngrams(tokens: tf.Tensor, sizes: tuple[int, int]) -> tf.RaggedTensor:
    """Character n-grams of words: [T] string -> [T, G] string."""
    characters = tf.strings.unicode_split(tf.strings.join([" ", tokens, " "]), "UTF-8")
    return tf.strings.ngrams(
        characters, list(range(sizes[0], sizes[1] + 1)), separator="", preserve_short_sequences=True
    )


def piece_ngrams(ids: tf.RaggedTensor, sizes: tuple[int, int]) -> tf.RaggedTensor:
    """N-grams of token ids: [N, None] int32 -> [N, G] string.

    [[7, 8]], (1, 2) -> [["7", "8", "7 8"]]
    """
    names = ids.with_flat_values(tf.strings.as_string(ids.flat_values))
    return tf.strings.ngrams(names, list(range(sizes[0], sizes[1] + 1)))


def word_pairs(text: tf.Tensor, config: Any) -> tf.RaggedTensor:
    """The buckets of pairs of words at most config.pairs words apart, in either order: [N] string -> [N, G] int64.

    Skip-grams (Guthrie et al., 2006, A Closer Look at Skip-gram Modelling) without their order.

    ["a red fox"] with pairs = 2 -> the buckets of {a, red}, {a, fox}, {red, fox}
    """
    split = words.split(text, punctuation=config.punctuation)
    first, second, splits = pair_positions(split, config.pairs)
    hashes = tf.strings.to_hash_bucket_fast(split.flat_values, WORD_HASHES)
    one, other = tf.gather(hashes, first), tf.gather(hashes, second)
    return tf.RaggedTensor.from_row_splits(pair_buckets(one, other, config.num_buckets), splits, validate=False)


def pair_positions(split: tf.RaggedTensor, distance: int) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """The first and the second word of each pair, as positions in the flat words [T], and the row splits [N + 1] of the pairs [G]."""
    count = tf.shape(split.flat_values, tf.int64)[0]
    end = tf.gather(split.row_limits(), split.value_rowids())  # [T]
    first = tf.range(count)[:, None] + tf.zeros([distance], tf.int64)  # [T, distance]
    second = first + tf.range(1, distance + 1, dtype=tf.int64)
    inside = second < end[:, None]
    num_before = tf.concat([[0], tf.cumsum(tf.reduce_sum(tf.cast(inside, tf.int64), axis=1))], axis=0)
    return tf.boolean_mask(first, inside), tf.boolean_mask(second, inside), tf.gather(num_before, split.row_splits)


def pair_buckets(one: tf.Tensor, other: tf.Tensor, num_buckets: int) -> tf.Tensor:
    """The bucket of each pair of words, from their hashes [G] int64, whichever comes first."""
    mixed = tf.minimum(one, other) * PAIR_FACTOR + tf.maximum(one, other)  # below 2**60
    return (mixed % PAIR_PRIME + FAMILY_OFFSETS["pairs"]) % num_buckets


def hash_to_buckets(ngrams: tf.RaggedTensor, family: str, config: Any) -> tf.RaggedTensor:
    """The bucket of each n-gram: [N, G] string -> [N, G] int64."""
    hashes = tf.strings.to_hash_bucket_fast(ngrams.flat_values, config.num_buckets)
    return ngrams.with_flat_values((hashes + FAMILY_OFFSETS[family]) % config.num_buckets)


def count_columns(columns: tf.RaggedTensor, dim: int, *, binary: bool = False) -> tf.SparseTensor:
    """The count of each column in each row: [N, G] int64 below dim -> [N, D] float32, indices in canonical order.

    [[4, 1, 4]] -> {(0, 1): 1, (0, 4): 2}
    """
    splits = columns.row_splits
    counts = tf.raw_ops.RaggedCountSparseOutput(
        splits=tf.concat([splits, splits[-1:]], axis=0),  # an extra empty row: the op fails without rows
        values=columns.flat_values,
        weights=tf.zeros([0], tf.float32),
        minlength=dim,
        maxlength=dim,
        binary_output=binary,
    )
    return tf.SparseTensor(counts.output_indices, counts.output_values, tf.stack([columns.nrows(), dim]))


class Columns(tf.Module):
    """Maps buckets to columns. buckets: those of the training text, ascending [D]; a bucket's index is its column.

    A set of bits says which buckets have a column, and the number of bits set before a bucket is its column (Jacobson 1989,
    Space-efficient Static Trees and Graphs): a quarter of the time of a binary search among 165,000 buckets.
    """

    def __init__(self, buckets):
        super().__init__(name="columns")
        self.buckets, self.dim = np.asarray(buckets, np.int64), len(buckets)
        words, before = rank_index(self.buckets)
        self.words, self.before = tf.constant(words), tf.constant(before)

    def __call__(self, buckets: tf.RaggedTensor) -> tf.RaggedTensor:
        """Buckets to columns, without unknown buckets: [N, G] int64 -> [N, None] int64."""
        bitwise = tf.bitwise
        values = buckets.flat_values
        word_index = tf.minimum(bitwise.right_shift(values, 6), len(self.words) - 1)
        bit = bitwise.left_shift(tf.ones_like(values), bitwise.bitwise_and(values, 63))
        word = tf.gather(self.words, word_index)
        known = tf.not_equal(bitwise.bitwise_and(word, bit), 0)
        lower = tf.raw_ops.PopulationCount(x=bitwise.bitwise_and(word, bit - 1))
        column = tf.cast(tf.gather(self.before, word_index) + tf.cast(lower, tf.int32), tf.int64)
        # tf.ragged.boolean_mask would pad all rows to the longest.
        num_before = tf.concat([[0], tf.cumsum(tf.cast(known, tf.int64))], axis=0)
        return tf.RaggedTensor.from_row_splits(
            tf.boolean_mask(column, known), tf.gather(num_before, buckets.row_splits), validate=False
        )


def rank_index(numbers: Any) -> tuple[Any, Any]:
    """A set of ascending numbers [D] as bits, 64 to an int64, and how many numbers are below those of each: [W] int64, [W] int32.

    The last 64 bits are 0, for all larger numbers.
    """
    words = np.zeros((int(numbers[-1]) >> 6) + 2 if len(numbers) else 1, np.uint64)
    np.bitwise_or.at(words, numbers >> 6, np.uint64(1) << (numbers & 63).astype(np.uint64))
    before = np.searchsorted(numbers, np.arange(len(words)) * 64).astype(np.int32)
    return words.view(np.int64), before


def scale_counts(counts: tf.SparseTensor, frequency: str) -> tf.SparseTensor:
    """Counts unchanged ("raw", and "binary", whose counts are 1 already), or 1 + ln(count) ("log")."""
    if frequency != "log":
        return counts
    # The last bits of the log depend on the value's position in the batch: compute in float64 and round to float32.
    return counts.with_values(tf.cast(1.0 + tf.math.log(tf.cast(counts.values, tf.float64)), tf.float32))


def l2_normalize(rows: tf.SparseTensor, family: tf.Tensor | None = None) -> tf.SparseTensor:
    """Divide each row by its Euclidean length; empty rows stay empty.

    family: the family of each column, ascending [D] int64, from 0; each family of a row is then normalized separately.
    """
    segment = rows.indices[:, 0]
    if family is not None:
        segment = segment * (family[-1] + 1) + tf.gather(family, rows.indices[:, 1])  # ascending too
    squares = tf.math.segment_sum(tf.square(rows.values), segment)  # [N], or fewer if the last rows are empty
    # sqrt and division are exactly rounded; with the faster rsqrt a row would depend on the other rows of the batch.
    return rows.with_values(rows.values / tf.gather(tf.sqrt(squares), segment))
