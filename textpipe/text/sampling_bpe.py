"""Sample segmentations by byte pair encoding with dropped merges.   Provilkov et al. (2020), BPE-Dropout, algorithm 1.

Starting from characters, each step drops each possible merge with probability `dropout` and applies the earliest
learned of the remaining ones (the leftmost of equal ones). A word is finished when no merge remains. Without dropout
this is the codec's own encoding.
"""

import math
from collections.abc import Sequence

import numpy as np

from textpipe.text.ragged_arrays import RaggedArray, range_indices
from textpipe.text.sampling_random import random_bits
from textpipe.text.sentencepiece_model import Pieces

NO_MERGE = np.int32(2**31 - 1)  # the rank of a pair that cannot merge
EMPTY = -1  # after the last symbol of a unit


class Merges:
    """The merges of a BPE model, and the characters of each distinct unit.

    Merged pieces are ranked by score; the first learned one has rank 0. A pair of symbols can merge if their
    concatenation is a piece.
    """

    def __init__(self, pieces: Pieces, units: Sequence[Sequence[int]], dropout: float):
        self.dropout = dropout
        known = pieces.ids()
        merged = sorted((name for name in known if len(name) > 1), key=lambda name: -pieces.scores[known[name]])
        pairs = {}
        for rank, name in enumerate(merged):
            for split_at in range(1, len(name)):
                left, right = known.get(name[:split_at]), known.get(name[split_at:])
                if left is not None and right is not None:
                    pairs[left * len(pieces.names) + right] = rank
        self.size = len(pieces.names)
        self.merged_ids = np.array([known[name] for name in merged], np.int32)  # [merges]: the resulting piece by rank
        self.keys = np.array(sorted(pairs), np.int64)
        self.ranks = np.array([pairs[key] for key in self.keys.tolist()], np.int32)
        characters = [split_characters(unit, pieces, known) for unit in units]
        self.codec_ids = RaggedArray(units)
        self.characters = RaggedArray(characters)

    def draw(self, units: np.ndarray, streams: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Units [N] and their random streams [N] -> the concatenated ids, and the lengths [N].

        Most units drop none of the merges that they need and keep the codec's ids; only the others are merged here.
        """
        lengths = self.codec_ids.lengths[units]
        num_merges = self.characters.lengths[units] - lengths
        changed = np.zeros(len(units), bool)
        active, step = np.flatnonzero(num_merges), 0
        while len(active):
            dropped = self.num_dropped(streams[active], step) > 0
            changed[active[dropped]] = True
            step += 1
            active = active[~dropped & (num_merges[active] > step)]
        pools, starts = [self.codec_ids.values], self.codec_ids.starts[units]
        total = len(self.codec_ids.values)
        # Group units of similar length, because a table of symbols is as wide as its longest unit.
        size = self.characters.lengths[units]
        for low in (1 << np.arange(32)).tolist():
            members = np.flatnonzero(changed & (size > low) & (size <= 2 * low))
            if len(members):
                symbols = self.merge(units[members], streams[members])
                lengths[members] = (symbols != EMPTY).sum(axis=1)
                starts[members] = total + np.arange(len(members)) * symbols.shape[1]
                pools.append(symbols.ravel())
                total += symbols.size
            elif low > size.max(initial=0):
                break
        return np.concatenate(pools)[range_indices(starts, lengths)], lengths

    def num_dropped(self, streams: np.ndarray, step: int) -> np.ndarray:
        """The number of dropped merges before the first that is applied, from the best on: int64 [N].

        Dropping each merge with probability p and applying the best of the rest applies the g-th best with probability
        p**g (1 - p), so one draw per step is enough for any number of possible merges.
        """
        if self.dropout == 0:
            return np.zeros(len(streams), np.int64)
        uniform = (random_bits(streams, step).astype(np.float64) + 1) / 2**32  # in (0, 1]
        return np.floor(np.log(uniform) / math.log(self.dropout)).astype(np.int64)

    def merge(self, units: np.ndarray, streams: np.ndarray) -> np.ndarray:
        """Symbols [N, T] after merging, EMPTY after the last."""
        lengths = self.characters.lengths[units]
        symbols = np.full((len(units), lengths.max()), EMPTY, np.int32)
        symbols[np.arange(symbols.shape[1]) < lengths[:, None]] = self.characters.values[
            range_indices(self.characters.starts[units], lengths)
        ]
        result = np.full_like(symbols, EMPTY)
        active, step = np.arange(len(units)), 0
        ranks = np.full(symbols.shape, NO_MERGE)  # of the pair that begins at each symbol
        ranks[:, :-1] = self.rank(symbols[:, :-1], symbols[:, 1:])
        columns = np.arange(symbols.shape[1])
        while len(active):
            dropped = self.num_dropped(streams[active], step)
            can_merge = dropped < (ranks != NO_MERGE).sum(axis=1)
            result[active[~can_merge]] = symbols[~can_merge]
            active, symbols, ranks = active[can_merge], symbols[can_merge], ranks[can_merge]
            dropped = dropped[can_merge]
            rows = np.arange(len(active))
            position = ranks.argmin(axis=1)
            some = np.flatnonzero(dropped)
            # Stable: of equal merges the leftmost comes first, as with argmin.
            position[some] = np.argsort(ranks[some], axis=1, kind="stable")[np.arange(len(some)), dropped[some]]
            merged = self.merged_ids[ranks[rows, position]]
            shifted = np.minimum(columns + (columns > position[:, None]), len(columns) - 1)
            symbols = np.take_along_axis(symbols, shifted, axis=1)
            ranks = np.take_along_axis(ranks, shifted, axis=1)
            symbols[:, -1], ranks[:, -1] = EMPTY, NO_MERGE
            symbols[rows, position] = merged
            following = symbols[rows, np.minimum(position + 1, len(columns) - 1)]
            ranks[rows, position] = self.rank(merged, following)
            inner = np.flatnonzero(position)
            ranks[inner, position[inner] - 1] = self.rank(symbols[inner, position[inner] - 1], merged[inner])
            step += 1
        return result

    def rank(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """The rank of merging two symbols, NO_MERGE where they cannot merge; any shape."""
        keys = left.astype(np.int64) * self.size + right
        if not len(self.keys):
            return np.full(keys.shape, NO_MERGE)
        index = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return np.where((self.keys[index] == keys) & (right != EMPTY), self.ranks[index], NO_MERGE)


def split_characters(unit: Sequence[int], pieces: Pieces, known: dict[str, int]) -> Sequence[int]:
    """The ids of a unit's characters; the unit itself if one of them is not a piece."""
    if not pieces.plain[unit[0]]:
        return unit
    characters = [character for number in unit for character in pieces.names[number]]
    return [known[character] for character in characters] if known.keys() >= set(characters) else unit
