"""What a sentencepiece model knows: its pieces by id."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

SPACE_SYMBOL = "▁"


class Pieces:
    """The pieces of a sentencepiece model: `names`, `scores` [V], and `plain` [V], true of pieces that spell text.

    `opens` [V]: pieces that begin a unit, those with a blank in front; none does where a piece holds a blank elsewhere.
    """

    def __init__(self, names: Sequence[str], scores: Sequence[float], plain: Sequence[bool]):
        self.names, self.scores = list(names), np.asarray(scores, np.float64)
        self.plain = np.asarray(plain, bool)
        across = any(SPACE_SYMBOL in name[1:] for name, spells in zip(self.names, self.plain, strict=True) if spells)
        self.opens = np.array([not across and name.startswith(SPACE_SYMBOL) for name in self.names], bool) & self.plain

    @classmethod
    def read(cls, path: Path) -> "Pieces":
        """From a .model file of the unigram or the BPE codec."""
        import sentencepiece

        model = sentencepiece.SentencePieceProcessor(model_proto=path.read_bytes())
        ids = range(model.get_piece_size())
        special = (model.is_control, model.is_unknown, model.is_byte, model.is_unused)
        return cls(
            [model.id_to_piece(number) for number in ids],
            [model.get_score(number) for number in ids],
            [not any(of(number) for of in special) for number in ids],
        )

    def ids(self) -> dict[str, int]:
        """The plain pieces by name."""
        return {name: number for number, name in enumerate(self.names) if self.plain[number]}
