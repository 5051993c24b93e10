"""Where the n-grams of a text stand, and the contributions of columns spread over its characters.

The n-grams are those of text/ngrams.py; each is a run of units, which are words, or characters with the space before and after
their word.   Shapes: L characters of the text, U units, G n-grams, K columns of a row.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import tensorflow as tf

from textpipe.features._ngrams import FAMILIES
from textpipe.text import ngrams, words

PAIR = " ~ "  # between the words of a pair
NOWHERE = -1  # the position of a unit that is no part of the text


@dataclass(frozen=True)
class Units:
    """names [U]; start, end [U]: in characters, NOWHERE for the marks of a text and the spaces around a word; joined: how
    the name of an n-gram is made of its units."""

    names: Sequence[str]
    start: np.ndarray
    end: np.ndarray
    joined: str


@dataclass(frozen=True)
class Grams:
    """N-grams of one length. bucket [G]; first [G]: their first unit; size: number of units, of each n-gram [G]."""

    units: Units
    bucket: np.ndarray
    first: np.ndarray
    size: np.ndarray

    def name(self, at: int) -> str:
        """The n-gram as text."""
        return self.units.joined.join(self.units.names[self.first[at] : self.first[at] + self.size[at]])


def options(table: dict[str, Any]) -> SimpleNamespace:
    """The options of the n-grams, from the "features" of vocabulary.json."""
    return SimpleNamespace(
        **{"casefold": False, "marks": False, "pairs": 0, **table}, separate_families=table.get("norm") == "family"
    )


def of_text(text: str, config: SimpleNamespace) -> list[Grams]:
    """The n-grams of words and of characters of a normalized text, with the buckets of text/ngrams.py."""
    families = [name for name in FAMILIES if getattr(config, name)]
    of_family = {"words": of_words, "characters": of_characters, "pairs": of_pairs}
    grams: list[Grams] = []
    for number, family in enumerate(families):
        offset = number * config.num_buckets if config.separate_families else 0
        if family in of_family:
            grams += of_family[family](text, config, offset)
    return grams


def of_words(text: str, config: SimpleNamespace, offset: int) -> list[Grams]:
    """N-grams of words, of one Grams per length."""
    names = strings(words.split(tf.constant([text]), punctuation=config.punctuation))
    start, end = locate(text, names)
    plain = Units(names, start, end, " ")
    outside = np.array([NOWHERE])
    marked = Units(
        [ngrams.START, *names, ngrams.END], np.concatenate([outside, start, outside]),
        np.concatenate([outside, end, outside]), " ",
    )  # fmt: skip
    grams = []
    for size in range(config.words[0], config.words[1] + 1):
        units = marked if config.marks and size > 1 else plain
        counted = tf.strings.ngrams(
            tf.RaggedTensor.from_row_lengths(tf.constant(units.names, tf.string), [len(units.names)]), [size]
        )
        buckets = hashed(counted.flat_values, "words", config) + offset
        grams.append(Grams(units, buckets, np.arange(len(buckets)), np.full(len(buckets), size)))
    return grams


def of_characters(text: str, config: SimpleNamespace, offset: int) -> list[Grams]:
    """N-grams of characters inside words, of one Grams per length, and one of the words that are shorter than all."""
    tokens = strings(words.split_whitespace(tf.constant([text])))
    start, end = locate(text, tokens)
    lengths = (end - start).astype(np.int64)
    padded = lengths + 2
    bases = np.cumsum(padded) - padded  # the first unit of each word
    letters = "".join(f" {token} " for token in tokens)
    position = np.arange(len(letters)) - np.repeat(bases - start + 1, padded)
    outside = np.zeros(len(letters), bool)
    outside[bases], outside[bases + padded - 1] = True, True
    position[outside] = NOWHERE
    units = Units(letters, position, np.where(outside, NOWHERE, position + 1), "")
    shortest, longest = config.characters
    grams = []
    characters = tf.strings.unicode_split(tf.constant([f" {token} " for token in tokens], tf.string), "UTF-8")
    for size in range(shortest, longest + 1):
        counted = tf.strings.ngrams(characters, [size], separator="")
        first = runs(bases, np.maximum(padded - size + 1, 0))
        grams.append(
            Grams(
                units,
                hashed(counted.flat_values, "characters", config) + offset,
                first,
                np.full(len(first), size),
            )
        )
    short = np.flatnonzero(padded < shortest)
    padded_tokens = tf.constant([f" {tokens[at]} " for at in short], tf.string)
    grams.append(Grams(units, hashed(padded_tokens, "characters", config) + offset, bases[short], padded[short]))
    return grams


def of_pairs(text: str, config: SimpleNamespace, offset: int) -> list[Grams]:
    """Pairs of words. Each has two units of its own, as its words need not be neighbours."""
    split = words.split(tf.constant([text]), punctuation=config.punctuation)
    names = strings(split)
    start, end = locate(text, names)
    first, second, _ = ngrams.pair_positions(split, config.pairs)
    position = np.stack([first.numpy(), second.numpy()], axis=1).ravel()
    units = Units([names[at] for at in position], start[position], end[position], PAIR)
    buckets = ngrams.word_pairs(tf.constant([text]), config).flat_values.numpy() + offset
    return [Grams(units, buckets, np.arange(0, len(position), 2), np.full(len(buckets), 2))]


def strings(ragged: tf.RaggedTensor) -> list[str]:
    """The strings of a ragged tensor, one after the other."""
    return [value.decode("utf-8", errors="replace") for value in ragged.flat_values.numpy().tolist()]


def hashed(values: tf.Tensor, family: str, config: SimpleNamespace) -> np.ndarray:
    """The bucket of each n-gram [G], before the offset of its family."""
    rows = tf.RaggedTensor.from_row_lengths(values, [tf.size(values)])
    return ngrams.hash_to_buckets(rows, family, config).flat_values.numpy()


def locate(text: str, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """The first character of each part of a text, and the one after its last: the parts occur in this order."""
    start = np.zeros(len(names), np.int64)
    at = 0
    for number, name in enumerate(names):
        at = text.index(name, at)
        start[number] = at
        at += len(name)
    return start, start + np.array([len(name) for name in names], np.int64)


def runs(first: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Consecutive numbers: ([5, 9], [2, 3]) -> [5, 6, 9, 10, 11]."""
    ends = np.cumsum(counts)
    return np.arange(ends[-1] if len(ends) else 0) + np.repeat(first - (ends - counts), counts)


def spread(grams: Sequence[Grams], columns: np.ndarray, shares: np.ndarray, length: int) -> tuple[np.ndarray, float]:
    """The contribution of each character [L], and the rest that belongs to no character.

    columns [K]: buckets of the row's columns, ascending; shares [K]: what one occurrence contributes. An n-gram is shared equally by its
    units that are in the text, a unit equally by its characters, so that the sum over characters and rest is that of all n-grams.
    """
    totals, rest = np.zeros(length + 1), 0.0  # differences: a character's value is the sum up to it
    for gram, share in with_shares(grams, columns, shares):
        units = gram.units
        inside = units.start != NOWHERE
        per_unit = np.zeros(len(units.start))
        before = np.concatenate([[0], np.cumsum(inside)])
        last = gram.first + gram.size
        num_inside = before[last] - before[gram.first]
        rest += float(share[num_inside == 0].sum())
        value = np.where(num_inside > 0, share / np.maximum(num_inside, 1), 0.0)
        edges = np.zeros(len(units.start) + 1)
        np.add.at(edges, gram.first, value)
        np.add.at(edges, last, -value)
        per_unit = np.cumsum(edges)[:-1][inside]
        start, end = units.start[inside], units.end[inside]
        per_character = per_unit / (end - start)
        np.add.at(totals, start, per_character)
        np.add.at(totals, end, -per_character)
    return np.cumsum(totals)[:length], rest


def with_shares(grams: Sequence[Grams], columns: np.ndarray, shares: np.ndarray) -> Iterator[tuple[Grams, np.ndarray]]:
    """The n-grams that have a column, and what each of them contributes."""
    for gram in grams:
        at = np.minimum(np.searchsorted(columns, gram.bucket), max(len(columns) - 1, 0))
        known = columns[at] == gram.bucket if len(columns) else np.zeros(len(gram.bucket), bool)
        yield Grams(gram.units, gram.bucket[known], gram.first[known], gram.size[known]), shares[at[known]]


def count(grams: Sequence[Grams], columns: np.ndarray) -> np.ndarray:
    """How often each column occurs [K]."""
    counts = np.zeros(len(columns), np.int64)
    for gram, at in with_shares(grams, columns, np.arange(len(columns))):
        assert len(gram.bucket) == len(at)
        np.add.at(counts, at, 1)
    return counts
