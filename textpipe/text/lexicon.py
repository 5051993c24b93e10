"""A bilingual lexicon from parallel sentences: the target word that each source word is most often aligned with.

IBM Model 1 (Brown et al. 1993, section 4.1) in both directions; only alignments in which both directions agree count
(Och & Ney 2003, section 2.2), because Model 1 aligns rare words with target words that have no other translation.

Shapes: S source words of all rows, E pairs of positions within a row, over all rows, P distinct pairs of words.
"""

from collections.abc import Iterable, Sequence

import numpy as np

ITERATIONS = 5
NULL = ""  # a word of every source, for target words that translate nothing
MAX_SENTENCE_LENGTH = 80  # words per side; longer rows say little about their words and have most of the pairs
MAX_PAIRS = 10_000_000  # position pairs in memory, about 500 MB; with more, only every second, third ... row is used


def learn(rows: Iterable[tuple[Sequence[str], Sequence[str]]]) -> dict[str, str]:
    """{source word: target word} from pairs of word lists; words without an agreed alignment are left out.

    [("a dog", "ein Hund"), ("a cat", "eine Katze"), ("the dog", "der Hund")], split into words -> {"dog": "Hund", ...}
    """
    pairs = [
        (source, target)
        for source, target in rows
        if 0 < len(source) <= MAX_SENTENCE_LENGTH and 0 < len(target) <= MAX_SENTENCE_LENGTH
    ]
    if not pairs:
        return {}
    pairs = pairs[:: -(-sum(len(source) * len(target) for source, target in pairs) // MAX_PAIRS)]
    sources, source_ids, source_lengths = index_words([source for source, _ in pairs])
    targets, target_ids, target_lengths = index_words([target for _, target in pairs])
    source_position, target_position = position_pairs(source_lengths, target_lengths)
    agreed = best_alignments(source_ids, target_ids, source_position, target_position)
    agreed &= best_alignments(target_ids, source_ids, target_position, source_position)
    keys = source_ids[source_position[agreed]].astype(np.int64) * len(targets) + target_ids[target_position[agreed]]
    keys, counts = np.unique(keys, return_counts=True)
    # Most frequent last, because a dictionary keeps the last; of equal counts, the alphabetically first target word.
    order = np.lexsort((-(keys % len(targets)), counts))
    lexicon = {sources[key // len(targets)]: targets[key % len(targets)] for key in keys[order]}
    return dict(sorted(lexicon.items()))


def index_words(texts: list[Sequence[str]]) -> tuple[list[str], np.ndarray, np.ndarray]:
    """The sorted vocabulary, the index of each word of all texts [S], and the length of each text [rows]."""
    words = sorted({word for text in texts for word in text})
    indices = {word: index for index, word in enumerate(words)}
    lengths = np.array([len(text) for text in texts])
    return words, np.fromiter((indices[word] for text in texts for word in text), np.int32, lengths.sum()), lengths


def position_pairs(source_lengths: np.ndarray, target_lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Every source position of a row paired with every target position: two [E], counted over all rows.

    [2], [1] -> [0, 1], [0, 0]
    """
    sizes = source_lengths * target_lengths
    row = np.repeat(np.arange(len(sizes)), sizes)
    inside = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    first_source, first_target = (np.cumsum(lengths) - lengths for lengths in (source_lengths, target_lengths))
    width = source_lengths[row]
    return first_source[row] + inside % width, first_target[row] + inside // width


def best_alignments(
    source: np.ndarray, target: np.ndarray, source_position: np.ndarray, target_position: np.ndarray
) -> np.ndarray:
    """True for pairs whose source position is the most probable alignment of the target position: [E] bool.

    Model 1 aligns each target word with one source word of its row or with NULL.
    """
    size = int(target.max()) + 1
    keys, pair = np.unique(
        source[source_position].astype(np.int64) * size + target[target_position], return_inverse=True
    )
    source_word = keys // size  # [P]
    probability = np.full(len(keys), 1 / size)
    null = np.full(size, 1 / size)  # p(target word | NULL)
    for _ in range(ITERATIONS):
        share = probability[pair]  # [E]
        total = np.bincount(target_position, share, len(target)) + null[target]
        counts: np.ndarray = np.bincount(pair, share / total[target_position], len(keys))
        probability = counts / np.bincount(source_word, counts)[source_word]
        null = np.bincount(target, null[target] / total, size)
        null = null / null.sum()
    share = probability[pair]
    largest = null[target].copy()
    np.maximum.at(largest, target_position, share)
    return (share == largest[target_position]) & (share > null[target][target_position])
