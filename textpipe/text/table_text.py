"""Words, numbers and keys of table cells and of questions about them, as TensorFlow ops.

The same code makes training features and runs in the exported graph.   Shapes: N texts.
"""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf
import tensorflow_text

from textpipe.data.table_syntax import MONTHS

NONE = 1  # a hash of no word, and of a text without words: hashes of words are larger
NUM_HASHES = 2**31 - 4
MULTIPLIER = 1_000_003  # of the hash of a sequence
NUMBER = r"\d{1,15}(?:\.\d{1,15})?"
DOT = "\x02"  # a decimal point while other punctuation is removed


def replace_all(text: tf.Tensor, rules: Sequence[tuple[str, str]]) -> tf.Tensor:
    """Apply (RE2 pattern, rewrite) one after another."""
    for pattern, rewrite in rules:
        text = tf.strings.regex_replace(text, pattern, rewrite)
    return text


def unescape(cells: tf.Tensor) -> tf.Tensor:
    r"""[N] -> [N]: the text of escaped cells, "a\\nb" -> "a", line feed, "b"."""
    return replace_all(cells, [(r"\\\\", "\x01"), (r"\\n", "\n"), (r"\\t", "\t"), (r"\\p", "|"), ("\x01", r"\\")])


def fold(text: tf.Tensor) -> tf.Tensor:
    """[N] -> [N]: without case, accents and compatibility forms, "Łódź Café №5" -> "łodz cafe no5"."""
    text = tensorflow_text.normalize_utf8(tensorflow_text.case_fold_utf8(text), "NFKD")
    return tf.strings.regex_replace(text, r"\p{Mn}+", "")


def words(text: tf.Tensor) -> tf.RaggedTensor:
    """[N] -> [N, None]: folded words and numbers, without punctuation and thousands separators.

    "The team's 1st win: 12,467 (3.5km)" -> the, team, s, 1, win, 12467, 3.5, km
    """
    rules = [
        (r"(\d),(\d{3})", r"\1\2"),
        (r"(\d),(\d{3})", r"\1\2"),
        (r"(\d)(?:st|nd|rd|th)\b", r"\1"),
        (r"(\d)\.(\d)", rf"\1{DOT}\2"),
        (rf"[^\p{{L}}\p{{N}}{DOT}]+", " "),
        (r"([\p{N}])([\p{L}])", r"\1 \2"),
        (DOT, "."),
    ]
    return tf.strings.split(replace_all(fold(text), rules))


def numbers_of(tokens: tf.Tensor) -> tf.Tensor:
    """The values of words that are numbers, NaN for others: [N] string -> [N] float32."""
    return tf.strings.to_number(tf.where(tf.strings.regex_full_match(tokens, NUMBER), tokens, "nan"))


def word_hashes(tokens: tf.Tensor) -> tf.Tensor:
    """[N] string -> [N] int32 above NONE."""
    return tf.cast(tf.strings.to_hash_bucket_fast(tokens, NUM_HASHES), tf.int32) + (NONE + 1)


def texts(values: Sequence[str]) -> tf.Tensor:
    """Strings as a tensor [N], which may be empty."""
    return tf.constant(list(values), tf.string)


def powers(count: int) -> np.ndarray:
    """The first powers of MULTIPLIER modulo 2 ** 32, as int32."""
    values = [pow(MULTIPLIER, exponent, 2**32) for exponent in range(count)]
    return np.array(values, np.uint32).view(np.int32)


def sequence_hashes(hashes: tf.RaggedTensor, longest: int) -> tf.Tensor:
    """The hash of each row of word hashes: sum of hash * MULTIPLIER ** place, modulo 2 ** 32; [N, None] -> [N] int32, never 0.

    NONE for rows without words and for those longer than `longest`, so that they equal no part of a question.
    """
    lengths = hashes.row_lengths()
    padded = hashes[:, :longest].to_tensor(0, shape=[None, longest])  # [N, L]
    total = tf.reduce_sum(padded * powers(longest), axis=1)
    return tf.where((lengths == 0) | (lengths > longest) | (total == 0), NONE, total)


def without_details(text: tf.Tensor) -> tf.Tensor:
    """[N] -> [N]: without footnotes, marks and parentheses at the end, "Jan Ullrich (GER)[2]*" -> "Jan Ullrich"."""
    return tf.strings.regex_replace(text, r"(.)(?:\s*(?:\([^()]*\)|\[[^\[\]]*\]|[*†‡♦•#+^]))+\s*$", r"\1")


def dates(text: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """(value [N] float32, whether there is a date [N]) of folded texts: year + (month - 1) / 12 + (day - 1) / 372.

    "may 12, 2005" -> 2005.363; a date without year is a fraction of one: "12 may" -> 0.363.
    """
    text = replace_all(
        text, [(rf"\b(?:{'|'.join(names)})\b\.?", f"@{number:02d}") for number, names in enumerate(MONTHS, 1)]
    )
    day = r"(\d{1,2})(?:st|nd|rd|th)?"
    rules = [
        (rf"(?s)^.*?@(\d\d) ?{day},? (\d{{4}}).*$", r"D\3 \1 \2"),
        (rf"(?s)^.*?\b{day} (?:of )?@(\d\d),? ?(\d{{4}}).*$", r"D\3 \2 \1"),
        (r"(?s)^.*?\b(\d{4})-(\d{1,2})-(\d{1,2})\b.*$", r"D\1 \2 \3"),
        (r"(?s)^.*?@(\d\d),? ?(\d{4}).*$", r"D\2 \1 1"),
        (rf"(?s)^.*?@(\d\d) {day}\b.*$", r"D0 \1 \2"),
        (rf"(?s)^.*?\b{day} (?:of )?@(\d\d).*$", r"D0 \2 \1"),
    ]
    text = replace_all(text, rules)
    known = tf.strings.regex_full_match(text, r"D\d+ \d+ \d+")
    parts = tf.where(known, text, "D0 1 1")
    year, month, day_number = (
        tf.strings.to_number(tf.strings.regex_replace(parts, r"^D(\d+) (\d+) (\d+)$", rf"\{group}"))
        for group in (1, 2, 3)
    )
    return year + (month - 1) / 12 + (day_number - 1) / 372, known


def times(text: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """(seconds or minutes [N] float32, whether it is a time [N]): "1:25.3" -> 85.3, "2:01:05" -> 7265."""
    pattern = r"^\s*(?:(\d{1,6}):)?(\d{1,6}):(\d{2}(?:\.\d{1,9})?)\b.*$"
    known = tf.strings.regex_full_match(text, pattern)
    parts = [
        tf.strings.to_number(
            tf.strings.regex_replace(
                tf.where(known, tf.strings.regex_replace(text, pattern, rf"\{group}"), "0"), "^$", "0"
            )
        )
        for group in (1, 2, 3)
    ]
    return parts[0] * 3600 + parts[1] * 60 + parts[2], known


def values(text: tf.Tensor) -> tf.Tensor:
    """The number in each cell, NaN without one: [N] -> [N] float32.

    A date as a year with a fraction, a time in seconds, else the first number: "$ 1,234.5 m" -> 1234.5, "−7" -> -7.
    """
    text = replace_all(fold(text), [(r"(\d),(\d{3})", r"\1\2"), (r"(\d),(\d{3})", r"\1\2")])
    date, is_date = dates(text)
    time, is_time = times(text)
    pattern = rf"(?s)^[^\d]*?(-|−)?({NUMBER}).*$"
    has_number = tf.strings.regex_full_match(text, pattern)
    number = tf.strings.to_number(tf.where(has_number, tf.strings.regex_replace(text, pattern, r"\2"), "nan"))
    negative = tf.strings.regex_full_match(text, r"(?s)^\s*[-−]\s?\d.*$")
    number = tf.where(negative, -number, number)
    number = tf.where(is_time, time, number)
    return tf.where(is_date, date, number)


def pure_numbers(text: tf.Tensor) -> tf.Tensor:
    """The value of texts that are a number and nothing else, NaN for others: [N] -> [N] float32."""
    text = replace_all(tf.strings.strip(text), [(r"(\d),(\d{3})", r"\1\2"), (r"(\d),(\d{3})", r"\1\2")])
    return tf.strings.to_number(tf.where(tf.strings.regex_full_match(text, "-?" + NUMBER), text, "nan"))


def float_bits(values: tf.Tensor) -> tf.Tensor:
    """float32 as int32 that is never 0: 0.0 becomes -0.0."""
    return tf.bitcast(tf.where(values == 0, tf.constant(-0.0), values), tf.int32)


def keys(text: tf.Tensor, longest: int) -> tf.Tensor:
    """What is compared of cells, answers and parts of a question: the hash of their words without details, [N] -> [N] int32."""
    short = words(without_details(text))
    full = words(text)
    use_short = short.row_lengths() > 0
    return tf.where(use_short, sequence_hashes(hashed(short), longest), sequence_hashes(hashed(full), longest))


def hashed(tokens: tf.RaggedTensor) -> tf.RaggedTensor:
    """Words as hashes: [N, None] string -> [N, None] int32."""
    return tokens.with_flat_values(word_hashes(tokens.flat_values))
