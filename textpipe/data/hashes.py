"""Hashes of rows: where a row falls, and whether it was seen before, at 8 bytes a row."""

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


SEPARATOR = "\0"  # parts texts that are handled as one string; ingest has removed it from them
ASCII_SKELETON = bytes(
    code if code > 127 or chr(code).isalnum() or chr(code) == SEPARATOR else 32 for code in range(256)
)


def normal_forms(texts: Sequence[str]) -> list[bytes]:
    """Texts as they count for splitting and leakage: letters, marks and digits alone, compatibility form, case folded.

    ["  Hello,\u00a0WORLD!", "?!"] -> [b"hello world", b"?!"]; one without letters and digits keeps all but white space.
    """
    whole = SEPARATOR.join(texts)
    if not whole.isascii():
        whole = unicodedata.normalize("NFKC", whole)
        # Marks stay, for the vowels of many scripts are marks.
        odd = [letter for letter in set(whole) if letter > "\x7f" and unicodedata.category(letter)[0] in "PSZC"]
        if odd:
            whole = re.sub(f"[{re.escape(''.join(odd))}]", " ", whole)
    data = whole.casefold().encode().translate(ASCII_SKELETON)
    while b"  " in data:
        data = data.replace(b"  ", b" ")
    forms = data.replace(b" \0", b"\0").replace(b"\0 ", b"\0").strip(b" ").split(b"\0")
    if not all(forms):
        forms = [form or " ".join(text.split()).encode() for form, text in zip(forms, texts, strict=True)]
    return forms


def text_keys(texts: Iterable[bytes]) -> "np.ndarray":
    """[N] uint64: 64 bits of BLAKE2b (RFC 7693) of each text, the same on every machine and in every year."""
    import numpy as np

    return np.frombuffer(b"".join([hashlib.blake2b(text, digest_size=8).digest() for text in texts]), "<u8")


def process_keys(rows: Iterable[tuple[object, ...]]) -> "np.ndarray":
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
