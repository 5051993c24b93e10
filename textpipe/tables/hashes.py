"""Hashes of rows: where a row falls, and whether it was seen before, at 8 bytes a row."""

import hashlib
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def normal_form(text: str) -> str:
    """A text as it counts for splitting and leakage: compatibility form, case folded, single blanks.

    "  Hello\\u00a0World " -> "hello world"
    """
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    return " ".join(text.casefold().split())


def text_key(text: str) -> int:
    """64 bits of BLAKE2b (RFC 7693): the same on every machine and in every year."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


class KeySet:
    """A growing set of 64-bit keys, held as a few sorted arrays: 8 bytes a key, not the 60 and more of a Python set.

    Sorted runs of doubling sizes are merged as a binary counter carries, so n keys cost O(n log n) in all.
    """

    def __init__(self) -> None:
        self._runs: list[np.ndarray] = []

    def __len__(self) -> int:
        return sum(len(run) for run in self._runs)

    def contains(self, keys: "np.ndarray") -> "np.ndarray":
        """[N] bool: which of the keys [N] uint64 are in the set."""
        import numpy as np

        found = np.zeros(len(keys), bool)
        for run in self._runs:
            at = np.searchsorted(run, keys)
            at[at == len(run)] = 0
            found |= run[at] == keys
        return found

    def shared_with(self, other: "KeySet") -> int:
        """How many keys both sets hold."""
        return sum(int(other.contains(run).sum()) for run in self._runs)

    def add(self, keys: "np.ndarray") -> "np.ndarray":
        """Put keys [N] uint64 into the set; [N] bool: which were new, each key once.

        {7}.add([8, 7, 8]) -> [True, False, False]
        """
        import numpy as np

        new = np.zeros(len(keys), bool)
        unique, first = np.unique(keys, return_index=True)
        fresh = ~self.contains(unique)
        new[first[fresh]] = True
        if fresh.any():
            self._runs.append(unique[fresh])
        while len(self._runs) > 1 and len(self._runs[-2]) <= 2 * len(self._runs[-1]):
            merged = np.concatenate([self._runs.pop(), self._runs.pop()])
            merged.sort(kind="stable")
            self._runs.append(merged)
        return new
