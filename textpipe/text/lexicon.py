"""A lexicon from translated sentences: which target word a source word is most often aligned with.

IBM Model 1 (Brown et al. 1993, section 4.1) in both directions; an alignment counts where both agree (Och & Ney 2003,
section 2.2), so that a rare word is not made to translate what nothing else does.

Shapes: S source words of all rows, E pairs of places of one row, over all rows, P different pairs of words.
"""

from collections.abc import Iterable, Sequence

import numpy as np

ITERATIONS = 5
NULL = ""  # every row's source has it: target words that translate nothing come from it
MAX_SENTENCE_LENGTH = 80  # words of a side; longer rows say little of their words and have most of the pairs
MAX_PAIRS = (
    10_000_000  # pairs of places held at once, about 500 MB; of more, every second, third ... row is learned from
)


def learn(rows: Iterable[tuple[Sequence[str], Sequence[str]]]) -> dict[str, str]:
    """{source word: target word} of rows of words; a word whose alignments are never certain is left out.

    [("a dog", "ein Hund"), ("a cat", "eine Katze"), ("the dog", "der Hund")], each split -> {"dog": "Hund", ...}
    """
    kept = [
        (source, target)
        for source, target in rows
        if 0 < len(source) <= MAX_SENTENCE_LENGTH and 0 < len(target) <= MAX_SENTENCE_LENGTH
    ]
    if not kept:
        return {}
    kept = kept[:: -(-sum(len(source) * len(target) for source, target in kept) // MAX_PAIRS)]
    sources, source_ids, source_lengths = index_words([source for source, _ in kept])
    targets, target_ids, target_lengths = index_words([target for _, target in kept])
    source_place, target_place = position_pairs(source_lengths, target_lengths)
    agreed = best_alignments(source_ids, target_ids, source_place, target_place)
    agreed &= best_alignments(target_ids, source_ids, target_place, source_place)
    keys = source_ids[source_place[agreed]].astype(np.int64) * len(targets) + target_ids[target_place[agreed]]
    keys, counts = np.unique(keys, return_counts=True)
    # Most frequent last, so that it is the one a dictionary keeps; of equals, the one that comes first by its letters.
    order = np.lexsort((-(keys % len(targets)), counts))
    found = {sources[key // len(targets)]: targets[key % len(targets)] for key in keys[order]}
    return dict(sorted(found.items()))


def index_words(texts: list[Sequence[str]]) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Words in order, the number of each word of all texts [S], and how many each text has [rows]."""
    words = sorted({word for text in texts for word in text})
    numbers = {word: number for number, word in enumerate(words)}
    lengths = np.array([len(text) for text in texts])
    return words, np.fromiter((numbers[word] for text in texts for word in text), np.int32, lengths.sum()), lengths


def position_pairs(source_lengths: np.ndarray, target_lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Every place of a row's source with every place of its target: two [E], counted over all rows.

    [2], [1] -> [0, 1], [0, 0]
    """
    sizes = source_lengths * target_lengths
    row = np.repeat(np.arange(len(sizes)), sizes)
    inside = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    first_source, first_target = (np.cumsum(lengths) - lengths for lengths in (source_lengths, target_lengths))
    width = source_lengths[row]
    return first_source[row] + inside % width, first_target[row] + inside // width


def best_alignments(
    given: np.ndarray, wanted: np.ndarray, given_place: np.ndarray, wanted_place: np.ndarray
) -> np.ndarray:
    """Whether the first place of a pair is what the second is translated from: [E] bool.

    Each word of `wanted` comes from one word of `given` in its row or from NULL, whichever Model 1 holds most probable.
    """
    size = int(wanted.max()) + 1
    keys, pair = np.unique(given[given_place].astype(np.int64) * size + wanted[wanted_place], return_inverse=True)
    of_given = keys // size  # [P]
    probability = np.full(len(keys), 1 / size)
    null = np.full(size, 1 / size)  # of each word of `wanted`, given NULL
    for _ in range(ITERATIONS):
        share = probability[pair]  # [E]
        total = np.bincount(wanted_place, share, len(wanted)) + null[wanted]
        counts: np.ndarray = np.bincount(pair, share / total[wanted_place], len(keys))
        probability = counts / np.bincount(of_given, counts)[of_given]
        null = np.bincount(wanted, null[wanted] / total, size)
        null = null / null.sum()
    share = probability[pair]
    largest = null[wanted].copy()
    np.maximum.at(largest, wanted_place, share)
    return (share == largest[wanted_place]) & (share > null[wanted][wanted_place])
