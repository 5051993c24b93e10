"""Count words or characters of a stream in bounded memory."""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice

from textpipe.errors import DataError

MAX_ITEMS = 2_000_000  # different items held at once
BATCH_SIZE = 4096


def count(groups: Iterable[Iterable[str]]) -> Counter[str]:
    """How often each item occurs over all groups (a string is a group of characters).

    When more than MOST different items are held, those seen least are dropped, as in lossy counting: Manku and
    Motwani (2002). Counts of frequent items stay within the number of drops of the truth.
    """
    counter: Counter[str] = Counter()
    seldom = 1
    for group in groups:
        counter.update(group)
        while len(counter) > MAX_ITEMS:
            counter = Counter({item: seen for item, seen in counter.items() if seen > seldom})
            seldom += 1
    return counter


def select_vocabulary(counter: Counter[str], config) -> list[str]:
    """At most config.vocab_size - 4 items seen config.min_count times or more, frequent first, then by code point.

    Raises DataError when none is left.
    """
    found = most_common(counter, config.vocab_size - 4, min_count=config.min_count)
    if not found:
        raise DataError(
            f"[tokenize] codec {config.kind!r}: nothing in the training text occurs {config.min_count} times; "
            "lower min_count, or check that the rows are not empty"
        )
    return found


def most_common(counter: Counter[str], size: int, *, min_count: int = 1) -> list[str]:
    """At most `size` items seen min_count times or more, frequent first, then by code point."""
    enough = [(item, seen) for item, seen in counter.items() if seen >= min_count]
    enough.sort(key=lambda pair: (-pair[1], pair[0]))
    return [item for item, _ in enough[:size]]


def iter_words(lines: Iterable[str]) -> Iterator[list[str]]:
    """The words of some thousand lines at a time, cut by the very op that encodes."""
    import tensorflow as tf

    from textpipe.text import words

    spec = tf.TensorSpec([None], tf.string)
    split = tf.function(
        lambda text: words.split(text).flat_values, input_signature=[spec], autograph=False
    ).get_concrete_function()
    lines = iter(lines)
    while batch := list(islice(lines, BATCH_SIZE)):
        yield [word.decode() for word in split(tf.constant(batch)).numpy()]
