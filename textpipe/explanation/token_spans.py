"""Where the tokens of a text stand, and their contributions spread over its characters.   Shapes: T tokens, L characters."""

import re
from collections.abc import Sequence

import numpy as np

SPACE = "▁"  # SentencePiece's mark of a space
BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")
MAX_SKIPPED = 64  # bytes between two tokens


def spread(
    text: str, pieces: Sequence[str], contributions: np.ndarray
) -> tuple[np.ndarray, float, list[tuple[str, float]]]:
    """The contribution of each character [L]; the rest, of special tokens; and the tokens that are not in the text, with theirs.

    A token is shared equally by its bytes. The tokens occur in the order of the text: "▁Hello", "<0xC3>", "<0xBC>" and "ello" alike.
    """
    data = text.encode()
    per_byte = np.zeros(len(data) + 1)
    rest, at = 0.0, 0
    unplaced: list[tuple[str, float]] = []
    for piece, value in zip(pieces, contributions.tolist(), strict=True):
        if piece in ("<pad>", "<s>", "</s>"):
            rest += value
            continue
        match = BYTE.fullmatch(piece)
        letters = bytes([int(match[1], 16)]) if match else piece.replace(SPACE, " ").encode()
        start = data.find(letters, at, at + len(letters) + MAX_SKIPPED)
        if start < 0 and letters.strip(b" "):
            letters = letters.strip(b" ")  # a space before the first word, or a line break that was read as one
            start = data.find(letters, at, at + len(letters) + MAX_SKIPPED)
        if start < 0:
            if letters.strip(b" "):
                unplaced.append((piece, value))
            else:
                per_byte[min(at, max(len(data) - 1, 0))] += value
            continue
        per_byte[start : start + len(letters)] += value / len(letters)
        at = start + len(letters)
    if not data:
        return np.zeros(0), rest + float(per_byte.sum()), unplaced
    starts = np.flatnonzero((np.frombuffer(data, np.uint8) & 0xC0) != 0x80)
    return np.add.reduceat(per_byte[: len(data)], starts), rest, unplaced
