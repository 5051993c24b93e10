"""The pieces of a sentencepiece model."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

SPACE_SYMBOL = "▁"


class Pieces:
    """The pieces of a sentencepiece model by id: `names`, `scores` [V], and `plain` [V], true for pieces of text.

    `opens` [V]: true for pieces that begin a unit, those with a leading space. All false if any piece has a space
    elsewhere.
    """

    def __init__(self, names: Sequence[str], scores: Sequence[float], plain: Sequence[bool]):
        self.names, self.scores = list(names), np.asarray(scores, np.float64)
        self.plain = np.asarray(plain, bool)
        spans_words = any(
            SPACE_SYMBOL in name[1:] for name, is_plain in zip(self.names, self.plain, strict=True) if is_plain
        )
        self.opens = (
            np.array([not spans_words and name.startswith(SPACE_SYMBOL) for name in self.names], bool) & self.plain
        )

    @classmethod
    def read(cls, path: Path) -> "Pieces":
        """Read a .model file of the unigram or the BPE codec."""
        import sentencepiece

        model = sentencepiece.SentencePieceProcessor(model_proto=path.read_bytes())
        ids = range(model.get_piece_size())
        special = (model.is_control, model.is_unknown, model.is_byte, model.is_unused)
        return cls(
            [model.id_to_piece(number) for number in ids],
            [model.get_score(number) for number in ids],
            [not any(test(number) for test in special) for number in ids],
        )

    def ids(self) -> dict[str, int]:
        """{name: id} of the plain pieces."""
        return {name: number for number, name in enumerate(self.names) if self.plain[number]}
