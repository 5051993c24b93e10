"""Align the words of a normalized text with those of the text as it was given."""

import bisect
import difflib
import re
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

TOKEN = re.compile(r"[^\W_]+(?:['’_][^\W_]+)*|[^\w\s]|_")
MAX_EXACT = 3000  # tokens; longer texts are aligned from left to right
MAX_SKIPPED = 2000  # tokens that a step may have removed at one place of a longer text


class Span(NamedTuple):
    """Characters start to end of the given text; None if nothing of it corresponds. first, last: of the normalized text."""

    start: int | None
    end: int | None
    first: int
    last: int


def tokens(text: str) -> list[tuple[int, int]]:
    """The words and punctuation marks of a text, as characters start to end."""
    return [match.span() for match in TOKEN.finditer(text)]


def align(original: str, normalized: str) -> list[Span]:
    """The words and punctuation marks of the normalized text with their place in the given one, in order.

    Words are compared after NFKC and case folding. Where a step replaced some, all of the replacement is one span:
    ("See https://a.b now", "see <url> now") -> "see", "<url>" as "https://a.b", "now".
    """
    normalized_spans, original_spans = tokens(normalized), tokens(original)
    first, second = (
        [fold(text[a:b]) for a, b in spans]
        for text, spans in ((normalized, normalized_spans), (original, original_spans))
    )
    longest = max(len(first), len(second))
    blocks = matching_blocks(first, second) if longest <= MAX_EXACT else matching_in_order(first, second)
    spans: list[Span] = []
    i = j = 0
    for at, other, size in [*blocks, (len(first), len(second), 0)]:
        if at > i and other > j and is_replacement(at - i, other - j):
            spans.append(
                Span(
                    original_spans[j][0],
                    original_spans[other - 1][1],
                    normalized_spans[i][0],
                    normalized_spans[at - 1][1],
                )
            )
        else:
            spans += [Span(None, None, *normalized_spans[k]) for k in range(i, at)]
        spans += [Span(*original_spans[other + k], *normalized_spans[at + k]) for k in range(size)]
        i, j = at + size, other + size
    return spans


def is_replacement(inserted: int, removed: int) -> bool:
    """Whether a run of other words is what a step replaced, rather than a long passage that it cut."""
    return removed <= 40 and inserted <= 40


def fold(word: str) -> str:
    return unicodedata.normalize("NFKC", word).casefold()


def matching_blocks(first: Sequence[str], second: Sequence[str]) -> list[tuple[int, int, int]]:
    """Longest matching blocks, as difflib's: (start in first, start in second, length)."""
    if first == second:
        return [(0, 0, len(first))]
    return [
        (block.a, block.b, block.size)
        for block in difflib.SequenceMatcher(None, first, second, autojunk=False).get_matching_blocks()
        if block.size
    ]


def matching_in_order(first: Sequence[str], second: Sequence[str]) -> list[tuple[int, int, int]]:
    """As matching_blocks, in one pass: each word is matched with its next occurrence within MAX_SKIPPED words."""
    positions: dict[str, list[int]] = defaultdict(list)
    for at, word in enumerate(second):
        positions[word].append(at)
    blocks: list[tuple[int, int, int]] = []
    at = 0
    for number, word in enumerate(first):
        known = positions.get(word, [])
        nearest = bisect.bisect_left(known, at)
        if nearest == len(known) or known[nearest] - at > MAX_SKIPPED:
            continue
        position = known[nearest]
        # A word alone is weak evidence that everything before it was removed.
        if position > at and first[number + 1 : number + 2] != second[position + 1 : position + 2]:
            continue
        if blocks and blocks[-1][0] + blocks[-1][2] == number and blocks[-1][1] + blocks[-1][2] == position:
            blocks[-1] = (*blocks[-1][:2], blocks[-1][2] + 1)
        else:
            blocks.append((number, position, 1))
        at = position + 1
    return blocks
