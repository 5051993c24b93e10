"""Near-duplicate texts by MinHash and locality-sensitive hashing.   Shapes: N texts, S shingles of all texts, H hash functions.

A text is the set of its character 5-grams (shingles). Two texts are near duplicates if the Jaccard similarity of their sets is
at least a threshold. MinHash (Broder 1997, On the resemblance and containment of documents) makes candidates: each of H hash
functions maps a set to its smallest hash, and two sets have the same smallest hash with a probability equal to their similarity.
Bands of hashes select candidate pairs (Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, section 3.4), whose
similarity is then computed exactly: there are no false pairs, and a pair of similarity .8 is missed with probability .002.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

SHINGLE = 5  # characters
BANDS, BAND_ROWS = 20, 6  # H = 120: a pair of similarity s is a candidate with probability 1 - (1 - s**6)**20
THRESHOLD = 0.8
ALL_PAIRS = 8  # in a bucket of more texts, a text is compared with the first and with the one before it
MAX_CHARACTERS = 20_000  # of a text; the rest is not compared
CHUNK_SHINGLES = 1 << 16  # a chunk fits into a core's cache
CHUNK_PAIRS = 100_000
PRIME = np.uint64(0x9E3779B97F4A7C15)
COLUMNS = 2**31 - 1  # shingles are numbered modulo this


@dataclass(frozen=True)
class Pairs:
    """Pairs of near duplicates: first [P] < second [P], numbers of texts, and their similarity [P], 0 to 1."""

    first: np.ndarray
    second: np.ndarray
    similarity: np.ndarray


def near_duplicates(
    texts: Sequence[str],
    *,
    threshold: float = THRESHOLD,
    seed: int = 1,
    on_progress: Callable[[int, int], None] | None = None,
) -> Pairs:
    """Find pairs of distinct texts whose similarity is at least the threshold.

    texts: N distinct texts, the most important first: in a large bucket of candidates all are compared with the first.
    on_progress(done, N) is called after every chunk of texts.
    """
    random = np.random.default_rng(seed)
    count = BANDS * BAND_ROWS
    factors = random.integers(0, 2**64, count, np.uint64, endpoint=False) | np.uint64(1)
    offsets = random.integers(0, 2**64, count, np.uint64, endpoint=False)
    bands = np.empty((BANDS, len(texts)), np.uint64)
    columns, sizes = [], []
    done = 0
    for shingles, starts in chunks(texts):
        size = len(starts) - 1
        bands[:, done : done + size] = band_hashes(shingles, starts[:-1], factors, offsets)
        of_chunk, of_text = distinct_columns(shingles, starts)
        columns.append(of_chunk)
        sizes.append(of_text)
        done += size
        if on_progress is not None:
            on_progress(done, len(texts))
    if not done:
        return Pairs(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
    pointers = np.concatenate([[0], np.cumsum(np.concatenate(sizes))])
    indices = np.concatenate(columns)
    sets = sp.csr_matrix((np.ones(len(indices), np.int32), indices, pointers), shape=(len(texts), COLUMNS))
    sets.has_sorted_indices = sets.has_canonical_format = True
    first, second = candidates(bands)
    return verify(sets, first, second, threshold)


def chunks(texts: Sequence[str]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield (hashes of shingles [S] uint64, starts [n + 1]) of consecutive texts; every text has a shingle."""
    pending: list[str] = []
    characters = 0
    for text in texts:
        padded = f" {text[:MAX_CHARACTERS]} ".ljust(SHINGLE)
        pending.append(padded)
        characters += len(padded)
        if characters >= CHUNK_SHINGLES:
            yield shingle_hashes(pending)
            pending, characters = [], 0
    if pending:
        yield shingle_hashes(pending)


def shingle_hashes(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Hashes of all character 5-grams [S] uint64 of texts of at least five characters, and where each text starts [n + 1]."""
    lengths = np.array([len(text) for text in texts], np.int64)
    codes = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
    hashes = np.zeros(len(codes) - SHINGLE + 1, np.uint64)
    for offset in range(SHINGLE):
        hashes *= PRIME
        hashes += codes[offset : offset + len(hashes)]
    hashes ^= hashes >> np.uint64(29)
    hashes *= PRIME
    hashes ^= hashes >> np.uint64(32)
    ends = np.cumsum(lengths)
    inside = np.ones(len(codes), bool)
    for offset in range(1, SHINGLE):  # windows that reach into the next text
        inside[ends - offset] = False
    starts = np.concatenate([[0], np.cumsum(lengths - SHINGLE + 1)])
    return hashes[inside[: len(hashes)]], starts


def band_hashes(shingles: np.ndarray, starts: np.ndarray, factors: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """[BANDS, n] uint64: a hash of the smallest hashes of each band of each text."""
    bands = np.zeros((BANDS, len(starts)), np.uint64)
    values = np.empty_like(shingles)
    for number, (factor, offset) in enumerate(zip(factors, offsets, strict=True)):
        np.multiply(shingles, factor, out=values)
        np.add(values, offset, out=values)
        band = bands[number // BAND_ROWS]
        band *= PRIME
        band ^= np.minimum.reduceat(values, starts) >> np.uint64(7)
    return bands


def distinct_columns(shingles: np.ndarray, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct shingles of each text as sorted column numbers, int32, one text after the other, and their counts [n]."""
    rows = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    keys = np.unique((rows.astype(np.uint64) << np.uint64(32)) | (shingles % np.uint64(COLUMNS)))
    counts = np.bincount((keys >> np.uint64(32)).astype(np.int64), minlength=len(starts) - 1)
    return (keys & np.uint64(0xFFFFFFFF)).astype(np.int32), counts


def candidates(bands: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of texts that share a band, each once: first [P] < second [P]."""
    count = bands.shape[1]
    pairs = np.zeros(0, np.int64)
    for band in bands:
        order = np.argsort(band, kind="stable")  # texts of a bucket in increasing order
        values = band[order]
        begins = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]]))
        sizes = np.diff(np.concatenate([begins, [count]]))
        position = np.arange(count) - np.repeat(begins, sizes)  # in its bucket
        small = np.repeat(sizes <= ALL_PAIRS, sizes)
        pair_keys = [pairs]
        for back in range(1, ALL_PAIRS):
            later = np.flatnonzero((position >= back) & (small | (back == 1)))
            if not len(later):
                break
            pair_keys.append(order[later - back] * count + order[later])
        large = np.flatnonzero(~small & (position > 0))
        pair_keys.append(order[large - position[large]] * count + order[large])
        pairs = np.unique(np.concatenate(pair_keys))
    return pairs // max(count, 1), pairs % max(count, 1)


def verify(sets: sp.csr_matrix, first: np.ndarray, second: np.ndarray, threshold: float) -> Pairs:
    """Keep the pairs whose Jaccard similarity is at least the threshold; sets: the shingles of each text as a row of ones."""
    sizes = np.diff(sets.indptr).astype(np.int64)
    similarity = np.zeros(len(first))
    for start in range(0, len(first), CHUNK_PAIRS):
        chosen = slice(start, start + CHUNK_PAIRS)
        common = np.asarray(sets[first[chosen]].multiply(sets[second[chosen]]).sum(axis=1)).ravel()
        similarity[chosen] = common / (sizes[first[chosen]] + sizes[second[chosen]] - common)
    similar = similarity >= threshold
    return Pairs(first[similar], second[similar], similarity[similar])
