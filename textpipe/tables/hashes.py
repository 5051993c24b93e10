"""Hashes of rows: where a row falls, and whether it was seen before, at 8 bytes a row."""

import hashlib
import unicodedata
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


class Skeleton(dict[int, int]):
    """A table for str.translate: punctuation, symbols, controls and separators become blanks. Filled as it is asked.

    Marks stay, for the vowels of many scripts are marks.
    """

    def __missing__(self, code: int) -> int:
        self[code] = 32 if unicodedata.category(chr(code))[0] in "PSZC" else code
        return self[code]


SKELETON = Skeleton()
ASCII_SKELETON = bytes(ord(chr(SKELETON[code]).lower()) for code in range(128)) + bytes(range(128, 256))


def normal_form(text: str) -> bytes:
    """A text as it counts for splitting and leakage: letters, marks and digits alone, compatibility form, case folded.

    "  Hello,\\u00a0WORLD!" -> b"hello world"; a text without letters and digits stays as it is, but for white space.
    """
    if text.isascii():
        words = text.encode().translate(ASCII_SKELETON).split()
    else:
        words = unicodedata.normalize("NFKC", text).casefold().translate(SKELETON).encode().split()
    return b" ".join(words or text.encode().split())


def text_keys(texts: Iterable[bytes]) -> "np.ndarray":
    """[N] uint64: 64 bits of BLAKE2b (RFC 7693) of each text, the same on every machine and in every year."""
    import numpy as np

    return np.frombuffer(b"".join([hashlib.blake2b(text, digest_size=8).digest() for text in texts]), "<u8")


def run_keys(rows: Iterable[tuple[object, ...]]) -> "np.ndarray":
    """[N] uint64: Python's own hash of each row, quick, and good within this process only."""
    import numpy as np

    return np.array(list(map(hash, rows)), np.int64).view(np.uint64)


class KeySet:
    """A growing set of 64-bit keys, held as a few sorted arrays: 8 bytes a key, not the 60 and more of a Python set.

    Sorted runs of doubling sizes are merged as a binary counter carries, so n keys cost O(n log n) in all.
    """

    def __init__(self) -> None:
        self._runs: list[np.ndarray] = []

    def __len__(self) -> int:
        return sum(len(run) for run in self._runs)

    def contains(self, keys: "np.ndarray") -> "np.ndarray":
        """[N] bool: which of the keys [N] uint64 are in the set. Quickest when the keys are sorted."""
        import numpy as np

        found = np.zeros(len(keys), bool)
        for run in self._runs:
            at = np.searchsorted(run, keys)
            at[at == len(run)] = 0
            found |= run[at] == keys
        return found

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
