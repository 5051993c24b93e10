"""Random numbers that are a function of where they are used, for many places at once.

Counters instead of a generator's state: what a unit of a row gets depends neither on the units before it nor on how
rows are put together, and an epoch can be drawn again from the middle of a run.

Shapes: N units.
"""

import numpy as np

# Multipliers that spread counters over 64 bits: the golden ratio's, as in SplitMix64, and two of its finalizer.
GOLDEN, FIRST, SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


def key_of(seed: int, epoch: int, side: int) -> int:
    """The 64-bit key of one side's draws in one epoch."""
    # Entropy that ends in zeros counts as shorter: sides are numbered from 1.
    return int(np.random.SeedSequence([seed, epoch, side + 1]).generate_state(1, np.uint64)[0])


def random_streams(key: int, rows: np.ndarray, places: np.ndarray) -> np.ndarray:
    """A random stream for each unit, by its row and its place in it: uint64 [N]."""
    of_rows = splitmix64(rows.astype(np.uint64) * np.uint64(GOLDEN) + np.uint64(key))
    return splitmix64(places.astype(np.uint64) * np.uint64(GOLDEN) + of_rows)


def random_bits(streams: np.ndarray, number: int) -> np.ndarray:
    """The number-th draw of each stream, even over 0 .. 2**32 - 1: uint64 [N]."""
    return splitmix64(streams + np.uint64((number + 1) * GOLDEN % 2**64)) >> np.uint64(32)


def splitmix64(counters: np.ndarray) -> np.ndarray:
    """SplitMix64's finalizer: uint64 [N] -> [N].   Steele, Lea and Flood (2014), figure 16."""
    counters = (counters ^ (counters >> np.uint64(30))) * np.uint64(FIRST)
    counters = (counters ^ (counters >> np.uint64(27))) * np.uint64(SECOND)
    return counters ^ (counters >> np.uint64(31))
