"""Segmentations by byte pair encoding with merges left out at random.   Provilkov et al. (2020), BPE-Dropout, algorithm 1.

Starting from characters, again and again: of all merges that are possible now, each is dropped with probability
`dropout`; of those left, the one learned first is done (the leftmost of equal ones); when none is left, the word is
done. Without dropout this is the codec's own encoding.
"""

import math
from collections.abc import Sequence

import numpy as np

from textpipe.text.ragged_arrays import RaggedArray, range_indices
from textpipe.text.sampling_random import random_bits
from textpipe.text.sentencepiece_model import Pieces

NO_MERGE = np.int32(2**31 - 1)  # the rank of a pair that does not merge
EMPTY = -1  # behind the last symbol of a unit


class Merges:
    """The merges of a BPE model, and the characters of each distinct unit.

    ranks: of the pieces that merges make, by score, the first learned is 0. A pair of symbols merges when the two,
    joined, are a piece.
    """

    def __init__(self, pieces: Pieces, units: Sequence[Sequence[int]], dropout: float):
        self.dropout = dropout
        known = pieces.ids()
        merged = sorted((name for name in known if len(name) > 1), key=lambda name: -pieces.scores[known[name]])
        pairs = {}
        for rank, name in enumerate(merged):
            for cut in range(1, len(name)):
                left, right = known.get(name[:cut]), known.get(name[cut:])
                if left is not None and right is not None:
                    pairs[left * len(pieces.names) + right] = rank
        self.size = len(pieces.names)
        self.made = np.array([known[name] for name in merged], np.int32)  # [merges]: the piece of each rank
        self.keys = np.array(sorted(pairs), np.int64)
        self.ranks = np.array([pairs[key] for key in self.keys.tolist()], np.int32)
        spelled = [split_characters(unit, pieces, known) for unit in units]
        self.own = RaggedArray(units)
        self.characters = RaggedArray(spelled)

    def draw(self, units: np.ndarray, streams: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Units [N] and their random streams [N] -> ids, unit after unit, and lengths [N].

        Most units lose no merge that they would do; those are the codec's own, and only the others are merged here.
        """
        lengths = self.own.lengths[units]
        num_merges = self.characters.lengths[units] - lengths
        changed = np.zeros(len(units), bool)
        active, step = np.flatnonzero(num_merges), 0
        while len(active):
            dropped = self.drops(streams[active], step) > 0
            changed[active[dropped]] = True
            step += 1
            active = active[~dropped & (num_merges[active] > step)]
        pools, starts = [self.own.values], self.own.starts[units]
        total = len(self.own.values)
        # Units of like length together: a table of symbols is as wide as its longest.
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

    def drops(self, streams: np.ndarray, step: int) -> np.ndarray:
        """How many of the possible merges, from the best on, are dropped before one is not: int64 [N].

        Dropping each with probability p and taking the best that is left is taking the g-th best with probability
        p**g (1 - p): one draw for a step, whatever number of merges is possible.
        """
        if self.dropout == 0:
            return np.zeros(len(streams), np.int64)
        share = (random_bits(streams, step).astype(np.float64) + 1) / 2**32  # in (0, 1]
        return np.floor(np.log(share) / math.log(self.dropout)).astype(np.int64)

    def merge(self, units: np.ndarray, streams: np.ndarray) -> np.ndarray:
        """Symbols [N, T] after merging, NONE behind the last."""
        lengths = self.characters.lengths[units]
        symbols = np.full((len(units), lengths.max()), EMPTY, np.int32)
        symbols[np.arange(symbols.shape[1]) < lengths[:, None]] = self.characters.values[
            range_indices(self.characters.starts[units], lengths)
        ]
        result = np.full_like(symbols, EMPTY)
        active, step = np.arange(len(units)), 0
        ranks = np.full(symbols.shape, NO_MERGE)  # of the pair that begins at a symbol
        ranks[:, :-1] = self.rank(symbols[:, :-1], symbols[:, 1:])
        columns = np.arange(symbols.shape[1])
        while len(active):
            drops = self.drops(streams[active], step)
            on = drops < (ranks != NO_MERGE).sum(axis=1)
            result[active[~on]] = symbols[~on]
            active, symbols, ranks, drops = active[on], symbols[on], ranks[on], drops[on]
            rows = np.arange(len(active))
            place = ranks.argmin(axis=1)
            some = np.flatnonzero(drops)
            # Stable: of equal merges the leftmost is the better one, as for argmin.
            place[some] = np.argsort(ranks[some], axis=1, kind="stable")[np.arange(len(some)), drops[some]]
            made = self.made[ranks[rows, place]]
            behind = np.minimum(columns + (columns > place[:, None]), len(columns) - 1)
            symbols = np.take_along_axis(symbols, behind, axis=1)
            ranks = np.take_along_axis(ranks, behind, axis=1)
            symbols[:, -1], ranks[:, -1] = EMPTY, NO_MERGE
            symbols[rows, place] = made
            after = symbols[rows, np.minimum(place + 1, len(columns) - 1)]
            ranks[rows, place] = self.rank(made, after)
            inner = np.flatnonzero(place)
            ranks[inner, place[inner] - 1] = self.rank(symbols[inner, place[inner] - 1], made[inner])
            step += 1
        return result

    def rank(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """The rank of merging two symbols, NEVER where they do not merge; of any shape."""
        keys = left.astype(np.int64) * self.size + right
        if not len(self.keys):
            return np.full(keys.shape, NO_MERGE)
        found = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return np.where((self.keys[found] == keys) & (right != EMPTY), self.ranks[found], NO_MERGE)


def split_characters(unit: Sequence[int], pieces: Pieces, known: dict[str, int]) -> Sequence[int]:
    """The characters of a unit as pieces; the unit itself where one of them is none."""
    if not pieces.plain[unit[0]]:
        return unit
    characters = [character for number in unit for character in pieces.names[number]]
    return [known[character] for character in characters] if known.keys() >= set(characters) else unit
