"""Hashes of rows, for assigning splits and finding duplicates at 8 bytes per row."""

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


SEPARATOR = "\0"  # between texts joined into one string; ingest removes it from the texts
ASCII_SKELETON = bytes(
    code if code > 127 or chr(code).isalnum() or chr(code) == SEPARATOR else 32 for code in range(256)
)


def normal_forms(texts: Sequence[str]) -> list[bytes]:
    """Normalize texts for splitting and leak detection: NFKC, case folded, only letters, marks and digits.

    ["  Hello,\u00a0WORLD!", "?!"] -> [b"hello world", b"?!"]; a text without letters and digits keeps its other symbols.
    """
    joined = SEPARATOR.join(texts)
    if not joined.isascii():
        joined = unicodedata.normalize("NFKC", joined)
        # Marks are kept because they are the vowels of many scripts.
        symbols = [letter for letter in set(joined) if letter > "\x7f" and unicodedata.category(letter)[0] in "PSZC"]
        if symbols:
            joined = re.sub(f"[{re.escape(''.join(symbols))}]", " ", joined)
    data = joined.casefold().encode().translate(ASCII_SKELETON)
    while b"  " in data:
        data = data.replace(b"  ", b" ")
    forms = data.replace(b" \0", b"\0").replace(b"\0 ", b"\0").strip(b" ").split(b"\0")
    if not all(forms):
        forms = [form or " ".join(text.split()).encode() for form, text in zip(forms, texts, strict=True)]
    return forms


def text_keys(texts: Iterable[bytes]) -> "np.ndarray":
    """Return [N] uint64: 64 bits of BLAKE2b (RFC 7693) of each text, stable across machines and versions."""
    import numpy as np

    return np.frombuffer(b"".join([hashlib.blake2b(text, digest_size=8).digest() for text in texts]), "<u8")


def process_keys(rows: Iterable[tuple[object, ...]]) -> "np.ndarray":
    """Return [N] uint64: Python's hash of each row; fast, but only valid within this process."""
    import numpy as np

    return np.array(list(map(hash, rows)), np.int64).view(np.uint64)


def stable_keys(rows: Iterable[tuple[object, ...]]) -> "np.ndarray":
    """Return [N] uint64: a hash of each row that is the same in every process; slower than process_keys."""
    return text_keys(repr(row).encode("utf-8", "surrogatepass") for row in rows)


class KeySet:
    """A growing set of 64-bit keys in a few sorted arrays: 8 bytes per key, where a Python set takes 60 or more.

    Sorted runs of doubling sizes are merged like the carries of a binary counter, so n keys cost O(n log n) in total.
    """

    def __init__(self) -> None:
        self._runs: list[np.ndarray] = []

    def __len__(self) -> int:
        return sum(len(run) for run in self._runs)

    def contains(self, keys: "np.ndarray") -> "np.ndarray":
        """Return [N] bool: which of the keys [N] uint64 are in the set. Fastest when the keys are sorted."""
        import numpy as np

        contained = np.zeros(len(keys), bool)
        for run in self._runs:
            at = np.searchsorted(run, keys)
            at[at == len(run)] = 0
            contained |= run[at] == keys
        return contained

    def add(self, keys: "np.ndarray") -> "np.ndarray":
        """Add keys [N] uint64; return [N] bool: the first occurrence of each key that was not in the set.

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
