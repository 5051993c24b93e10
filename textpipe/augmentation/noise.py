"""Noise in the sources of synthetic rows.   Edunov, Ott, Auli and Grangier (2018), Understanding Back-Translation at Scale, section 3.

Words are deleted with a probability, replaced by a filler with another, and moved by at most some places.
"""

import hashlib

import numpy as np
from pydantic import Field, field_validator

from textpipe.config.sections import Section


class Noise(Section):
    """delete, fill: probability of a word; the paper has 0.1 for both. shuffle: the most places that a word moves, 3 in the paper. filler:
    the word that replaces others; it is frequent, so that a subword vocabulary has it as one piece.
    """

    delete: float = Field(default=0.0, ge=0, lt=1)
    fill: float = Field(default=0.0, ge=0, lt=1)
    shuffle: int = Field(default=0, ge=0, le=1_000_000)
    filler: str = "_"

    @field_validator("filler")
    @classmethod
    def is_a_word(cls, filler: str) -> str:
        if not filler or filler.split() != [filler]:
            raise ValueError(f"expected one word, found {filler!r}")
        return filler

    @property
    def changes(self) -> bool:
        """Whether there is any noise."""
        return bool(self.delete or self.fill or self.shuffle)

    def apply(self, text: str, seed: int) -> str:
        """The text with noise, which depends on the seed and the text alone; at least one word is left.

        "A dog runs fast ." -> "dog _ A fast ."
        """
        words = text.split()
        if not self.changes or not words:
            return text
        digest = hashlib.blake2b(
            text.encode("utf-8", "surrogatepass"), digest_size=8, salt=seed.to_bytes(8, "little")
        ).digest()
        random = np.random.Generator(np.random.PCG64(int.from_bytes(digest, "little")))
        keep_mask = random.random(len(words)) >= self.delete
        if not keep_mask.any():
            keep_mask[random.integers(len(words))] = True
        filled = random.random(len(words)) < self.fill
        words = [
            self.filler if fill else word for word, fill, keep in zip(words, filled, keep_mask, strict=True) if keep
        ]
        if self.shuffle:
            # A word overtakes another only if their keys differ by less than shuffle + 1 (Lample et al. 2018, section 2.3).
            keys = np.arange(len(words)) + random.random(len(words)) * (self.shuffle + 1)
            words = [words[index] for index in np.argsort(keys, kind="stable").tolist()]
        return " ".join(words)
