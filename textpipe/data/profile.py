"""Profiles of a split: lengths, scripts and labels, counted batch by batch in constant memory."""

import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from textpipe.config.fields import Field

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

PERCENTILES = (1, 5, 25, 50, 75, 95, 99)
MAX_CLASSES = 10_000  # a column with more distinct values is not a label column; counting stops
# First word of a character's Unicode name -> its script, where they differ.
SCRIPTS = {
    **dict.fromkeys(("Cjk", "Ideographic"), "Han"),
    **dict.fromkeys(("Fullwidth", "Feminine", "Masculine", "Kelvin", "Angstrom", "Modifier"), "Latin"),
    **dict.fromkeys(("Micro", "Ohm"), "Greek"),
    "Halfwidth": "Katakana",
}


class TextProfile:
    """Lengths in characters and in words (runs without ASCII whitespace), and letters per script, of a text field."""

    def __init__(self) -> None:
        self.characters: Counter[int] = Counter()
        self.words: Counter[int] = Counter()
        self.longest = (0, -1)  # characters, row
        self._ascii_letters = 0
        self._codes: Counter[int] = Counter()

    def add(self, rows: "np.ndarray", texts: "pa.StringArray") -> None:
        """Add a batch of texts; rows are their positions in the source."""
        import numpy as np
        import pyarrow.compute as pc

        lengths = pc.utf8_length(texts).to_numpy()
        add_counts(self.characters, lengths)
        longest = int(lengths.argmax())
        if lengths[longest] > self.longest[0]:
            self.longest = (int(lengths[longest]), int(rows[longest]))
        _, offsets, data = texts.buffers()
        starts = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1]  # [N + 1]
        octets = np.frombuffer(data, np.uint8)[starts[0] : starts[-1]]
        starts = starts - starts[0]
        filled = np.diff(starts) > 0
        words = np.zeros(len(texts), np.int32)
        words[filled] = num_words(octets, starts[:-1][filled])
        add_counts(self.words, words)
        byte_counts = np.bincount(octets, minlength=256)
        self._ascii_letters += int(byte_counts[65:91].sum() + byte_counts[97:123].sum())
        if byte_counts[128:].any():
            codes = np.frombuffer(octets.tobytes().decode().encode("utf-32-le"), np.uint32)
            add_counts(self._codes, codes[codes > 127])

    def table(self) -> dict[str, Any]:
        """{"characters": {"mean": ..., "p50": ...}, "words": {...}, "longest": {...}, "scripts": {"Latin": 0.99}}"""
        scripts = Counter({"Latin": self._ascii_letters} if self._ascii_letters else {})
        for code, count in self._codes.items():
            if unicodedata.category(chr(code)).startswith("L"):
                scripts[script_of(chr(code))] += count
        letters = scripts.total()
        ranked = sorted(scripts.items(), key=lambda item: (-item[1], item[0]))
        return {
            "characters": distribution(self.characters),
            "words": distribution(self.words),
            "longest": {"characters": self.longest[0], "row": self.longest[1]},
            "letters": letters,
            "scripts": {name: round(count / letters, 6) for name, count in ranked},
        }


class LabelProfile:
    """Number of rows per class of a label field."""

    def __init__(self) -> None:
        self.classes: Counter[str] = Counter()
        self.too_many = False

    def add(self, rows: "np.ndarray", texts: "pa.StringArray") -> None:
        """Add a batch of labels; stops counting beyond MAX_CLASSES distinct ones."""
        if not self.too_many:
            self.classes.update(texts.to_pylist())
            self.too_many = len(self.classes) > MAX_CLASSES

    def table(self) -> dict[str, Any]:
        """{"num_classes": 2, "classes": {"no": 1938, "yes": 1719}}, most frequent first."""
        ranked = sorted(self.classes.items(), key=lambda item: (-item[1], item[0]))
        return {"num_classes": len(ranked), "complete": not self.too_many, "classes": dict(ranked)}

    def fault(self, name: str, rows: int) -> str | None:
        """Return a message if the training rows cannot be learned from because they have only one class."""
        if len(self.classes) != 1:
            return None
        (only,) = self.classes
        return f"{name} has only one class, {only!r}, in all {rows:,} rows; a classifier needs two"


def profiles(fields: Sequence[Field]) -> dict[str, Any]:
    """Create an empty profile for each field, of the type its kind defines."""
    return {field.name: field.cells.profile() for field in fields}


def add_counts(counts: Counter[int], values: "np.ndarray") -> None:
    """Add integers [N] to counts."""
    import numpy as np

    unique, occurrences = np.unique(values, return_counts=True)
    for value, number in zip(unique.tolist(), occurrences.tolist(), strict=True):
        counts[value] += number


def num_words(octets: "np.ndarray", starts: "np.ndarray") -> "np.ndarray":
    """Return [N]: the number of words of texts concatenated in octets [M] uint8, starting at starts [N]; none of them is empty.

    Counts word starts: non-blank bytes at the start of a text or after a blank.
    """
    import numpy as np

    blank = (octets == 32) | ((octets >= 9) & (octets <= 13))
    begins = ~blank
    firsts = begins[starts]
    begins[1:] &= blank[:-1]
    begins[starts] = firsts
    return np.add.reduceat(begins, starts, dtype=np.int32)


def script_of(letter: str) -> str:
    """Return the script of a letter, from the first word of its Unicode name: "ж" -> "Cyrillic", "字" -> "Han"."""
    word = unicodedata.name(letter, "Unnamed").split()[0].split("-")[0].capitalize()
    return SCRIPTS.get(word, word)


def distribution(counts: Mapping[int, int]) -> dict[str, float | int]:
    """Return mean, minimum, maximum and nearest-rank percentiles of values given as {value: count}."""
    total = sum(counts.values())
    if not total:
        return {}
    mean = sum(value * count for value, count in counts.items()) / total
    statistics: dict[str, float | int] = {"mean": round(mean, 3)}
    ranked = sorted(counts.items())
    statistics["min"] = ranked[0][0]
    remaining = list(PERCENTILES)
    cumulative = 0
    for value, count in ranked:
        cumulative += count
        while remaining and cumulative * 100 >= remaining[0] * total:
            statistics[f"p{remaining.pop(0)}"] = value
    statistics["max"] = ranked[-1][0]
    return statistics
