"""The pieces of a sentencepiece model."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from textpipe.text.special_tokens import SPACE_SYMBOL


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
        from sentencepiece.sentencepiece_model_pb2 import ModelProto

        pieces = ModelProto.FromString(path.read_bytes()).pieces
        plain = ModelProto.SentencePiece.NORMAL  # not a control, unknown, byte, unused or reserved one
        return cls(
            [piece.piece for piece in pieces],
            [piece.score for piece in pieces],
            [piece.type == plain for piece in pieces],
        )

    def ids(self) -> dict[str, int]:
        """{name: id} of the plain pieces."""
        return {name: number for number, name in enumerate(self.names) if self.plain[number]}
