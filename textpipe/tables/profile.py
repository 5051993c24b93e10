"""What a split looks like: lengths, scripts and labels, counted batch by batch in memory that does not grow with rows."""

import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from textpipe.fields import Field

PERCENTILES = (1, 5, 25, 50, 75, 95, 99)
MOST_CLASSES = 10_000  # a label column with more is no label column, and is no longer counted
# First word of a character's Unicode name -> script, where the two differ.
SCRIPTS = {"Cjk": "Han", "Ideographic": "Han", "Fullwidth": "Latin", "Feminine": "Latin", "Masculine": "Latin", "Kelvin": "Latin",
           "Angstrom": "Latin", "Micro": "Greek", "Ohm": "Greek", "Halfwidth": "Katakana"}  # fmt: skip


class TextProfile:
    """Lengths in characters and in words (parted by white space), and letters by script, of one text field."""

    def __init__(self) -> None:
        self.characters: Counter[int] = Counter()
        self.words: Counter[int] = Counter()
        self.longest = (-1, 0)  # characters, row
        self._ascii_letters = 0
        self._codes: Counter[int] = Counter()

    def add(self, rows: Sequence[int], texts: Sequence[str]) -> None:
        """Count texts; rows are their positions in the source."""
        lengths = list(map(len, texts))
        self.characters.update(lengths)
        self.words.update(len(text.split()) for text in texts)
        longest = max(lengths, default=-1)
        if longest > self.longest[0]:
            self.longest = (longest, int(rows[lengths.index(longest)]))
        self._count_letters("".join(texts))

    def _count_letters(self, text: str) -> None:
        import numpy as np

        counts = np.bincount(np.frombuffer(text.encode(), np.uint8), minlength=128)
        self._ascii_letters += int(counts[65:91].sum() + counts[97:123].sum())
        if not text.isascii():
            codes = np.frombuffer(text.encode("utf-32-le"), np.uint32)
            found, counts = np.unique(codes[codes > 127], return_counts=True)
            self._codes.update(dict(zip(found.tolist(), counts.tolist(), strict=True)))

    def table(self) -> dict[str, Any]:
        """{"characters": {"mean": ..., "p50": ...}, "words": {...}, "longest": {...}, "scripts": {"Latin": 0.99, ...}}"""
        scripts = Counter({"Latin": self._ascii_letters} if self._ascii_letters else {})
        for code, count in self._codes.items():
            if unicodedata.category(chr(code)).startswith("L"):
                scripts[script(chr(code))] += count
        letters = scripts.total()
        ranked = sorted(scripts.items(), key=lambda item: (-item[1], item[0]))
        return {
            "characters": distribution(self.characters),
            "words": distribution(self.words),
            "longest": {"characters": max(self.longest[0], 0), "row": self.longest[1]},
            "letters": letters,
            "scripts": {name: round(count / letters, 6) for name, count in ranked},
        }


class LabelProfile:
    """How many rows each class of a label field has."""

    def __init__(self) -> None:
        self.classes: Counter[str] = Counter()
        self.too_many = False

    def add(self, rows: Sequence[int], texts: Sequence[str]) -> None:
        """Count labels, until there are too many to be labels."""
        if not self.too_many:
            self.classes.update(texts)
            self.too_many = len(self.classes) > MOST_CLASSES

    def table(self) -> dict[str, Any]:
        """{"num_classes": 2, "classes": {"no": 1938, "yes": 1719}}, the most frequent first."""
        ranked = sorted(self.classes.items(), key=lambda item: (-item[1], item[0]))
        return {"num_classes": len(ranked), "complete": not self.too_many, "classes": dict(ranked)}


def profiles(fields: Sequence[Field]) -> dict[str, TextProfile | LabelProfile]:
    """An empty profile per field."""
    return {field.name: TextProfile() if field.kind == "text" else LabelProfile() for field in fields}


def script(letter: str) -> str:
    """The script of a letter, from the first word of its Unicode name: "ж" -> "Cyrillic", "字" -> "Han"."""
    word = unicodedata.name(letter, "Unnamed").split()[0].split("-")[0].capitalize()
    return SCRIPTS.get(word, word)


def distribution(counts: Mapping[int, int]) -> dict[str, float | int]:
    """Mean, smallest, largest and percentiles (nearest rank) of values given as {value: count}."""
    total = sum(counts.values())
    if not total:
        return {}
    found: dict[str, float | int] = {"mean": round(sum(value * count for value, count in counts.items()) / total, 3)}
    ranked = sorted(counts.items())
    found["min"] = ranked[0][0]
    waiting = list(PERCENTILES)
    seen = 0
    for value, count in ranked:
        seen += count
        while waiting and seen * 100 >= waiting[0] * total:
            found[f"p{waiting.pop(0)}"] = value
    found["max"] = ranked[-1][0]
    return found
