"""Count the words or characters of a stream in bounded memory."""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice

from textpipe.errors import DataError

MAX_ITEMS = 2_000_000  # distinct items in memory
BATCH_SIZE = 4096


def count(groups: Iterable[Iterable[str]]) -> Counter[str]:
    """The number of occurrences of each item over all groups (a string is a group of characters).

    With more than MAX_ITEMS distinct items, the rarest are dropped, as in lossy counting: Manku and Motwani (2002). The
    count of a frequent item is too low by at most the number of drops.
    """
    counter: Counter[str] = Counter()
    threshold = 1
    for group in groups:
        counter.update(group)
        while len(counter) > MAX_ITEMS:
            counter = Counter({item: number for item, number in counter.items() if number > threshold})
            threshold += 1
    return counter


def select_vocabulary(counter: Counter[str], config) -> list[str]:
    """At most config.vocab_size - 4 items with config.min_count occurrences or more, by frequency, then by code point.

    Raises DataError when there are none.
    """
    vocabulary = most_common(counter, config.vocab_size - 4, min_count=config.min_count)
    if not vocabulary:
        raise DataError(
            f"[tokenize] codec {config.kind!r}: nothing in the training text occurs {config.min_count} times; "
            "lower min_count, or check that the rows are not empty"
        )
    return vocabulary


def most_common(counter: Counter[str], size: int, *, min_count: int = 1) -> list[str]:
    """At most `size` items with min_count occurrences or more, by frequency, then by code point."""
    frequent = [(item, number) for item, number in counter.items() if number >= min_count]
    frequent.sort(key=lambda pair: (-pair[1], pair[0]))
    return [item for item, _ in frequent[:size]]


def iter_words(lines: Iterable[str]) -> Iterator[list[str]]:
    """The words of a few thousand lines at a time, split by the same op that encodes."""
    import tensorflow as tf

    from textpipe.text import words

    spec = tf.TensorSpec([None], tf.string)
    split = tf.function(
        lambda text: words.split(text).flat_values, input_signature=[spec], autograph=False
    ).get_concrete_function()
    lines = iter(lines)
    while batch := list(islice(lines, BATCH_SIZE)):
        yield [word.decode() for word in split(tf.constant(batch)).numpy()]
