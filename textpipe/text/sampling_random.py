"""Counter-based random numbers, for many positions at once.

A draw is a function of key, row and position instead of a generator's state: it depends neither on earlier draws nor on
the order of rows, and an epoch can be drawn again when a run is resumed.

Shapes: N units.
"""

import numpy as np

# The increment of SplitMix64, from the golden ratio, and the two multipliers of its finalizer.
GOLDEN, FIRST, SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


def draw_key(seed: int, epoch: int, side: int) -> int:
    """The 64-bit key of a side's draws in an epoch."""
    # Trailing zeros do not count as entropy, so sides start at 1.
    return int(np.random.SeedSequence([seed, epoch, side + 1]).generate_state(1, np.uint64)[0])


def random_streams(key: int, rows: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """The random stream of each unit, from its row and its position in the row: uint64 [N]."""
    row_streams = splitmix64(rows.astype(np.uint64) * np.uint64(GOLDEN) + np.uint64(key))
    return splitmix64(positions.astype(np.uint64) * np.uint64(GOLDEN) + row_streams)


def random_bits(streams: np.ndarray, number: int) -> np.ndarray:
    """The number-th draw of each stream, uniform over 0 .. 2**32 - 1: uint64 [N]."""
    return splitmix64(streams + np.uint64((number + 1) * GOLDEN % 2**64)) >> np.uint64(32)


def splitmix64(counters: np.ndarray) -> np.ndarray:
    """SplitMix64's finalizer: uint64 [N] -> [N].   Steele, Lea and Flood (2014), figure 16."""
    counters = (counters ^ (counters >> np.uint64(30))) * np.uint64(FIRST)
    counters = (counters ^ (counters >> np.uint64(27))) * np.uint64(SECOND)
    return counters ^ (counters >> np.uint64(31))
