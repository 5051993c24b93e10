"""What a split looks like: lengths, scripts and labels, counted batch by batch, in memory that rows do not add to."""

import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from textpipe.config.fields import Field

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

PERCENTILES = (1, 5, 25, 50, 75, 95, 99)
MAX_CLASSES = 10_000  # a label column with more is no label column, and is no longer counted
# First word of a character's Unicode name -> script, where the two differ.
SCRIPTS = {
    **dict.fromkeys(("Cjk", "Ideographic"), "Han"),
    **dict.fromkeys(("Fullwidth", "Feminine", "Masculine", "Kelvin", "Angstrom", "Modifier"), "Latin"),
    **dict.fromkeys(("Micro", "Ohm"), "Greek"),
    "Halfwidth": "Katakana",
}


class TextProfile:
    """Lengths in characters and in words (runs without ASCII white space), and letters by script, of one text field."""

    def __init__(self) -> None:
        self.characters: Counter[int] = Counter()
        self.words: Counter[int] = Counter()
        self.longest = (0, -1)  # characters, row
        self._ascii_letters = 0
        self._codes: Counter[int] = Counter()

    def add(self, rows: "np.ndarray", texts: "pa.StringArray") -> None:
        """Count texts, none of them empty; rows are their positions in the source."""
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
        starts = starts[:-1] - starts[0]
        add_counts(self.words, num_words(octets, starts))
        found = np.bincount(octets, minlength=256)
        self._ascii_letters += int(found[65:91].sum() + found[97:123].sum())
        if found[128:].any():
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
    """How many rows each class of a label field has."""

    def __init__(self) -> None:
        self.classes: Counter[str] = Counter()
        self.too_many = False

    def add(self, rows: "np.ndarray", texts: "pa.StringArray") -> None:
        """Count labels, until there are too many to be labels."""
        if not self.too_many:
            self.classes.update(texts.to_pylist())
            self.too_many = len(self.classes) > MAX_CLASSES

    def table(self) -> dict[str, Any]:
        """{"num_classes": 2, "classes": {"no": 1938, "yes": 1719}}, the most frequent first."""
        ranked = sorted(self.classes.items(), key=lambda item: (-item[1], item[0]))
        return {"num_classes": len(ranked), "complete": not self.too_many, "classes": dict(ranked)}

    def fault(self, name: str, rows: int) -> str | None:
        """Why training rows cannot be learned from, where they cannot: one class only."""
        if len(self.classes) != 1:
            return None
        (only,) = self.classes
        return f"{name} has one class only, {only!r}, in all {rows:,} rows; a classifier needs two"


def profiles(fields: Sequence[Field]) -> dict[str, Any]:
    """An empty profile per field, as its kind counts."""
    return {field.name: field.cells.profile() for field in fields}


def add_counts(counts: Counter[int], values: "np.ndarray") -> None:
    """Add integers [N] to counts."""
    import numpy as np

    found, times = np.unique(values, return_counts=True)
    for value, more in zip(found.tolist(), times.tolist(), strict=True):
        counts[value] += more


def num_words(octets: "np.ndarray", starts: "np.ndarray") -> "np.ndarray":
    """[N] number of words of texts that lie one behind the other in octets [M] uint8 and begin at starts [N].

    Counts where a word begins: at a text's first byte or behind a blank.
    """
    import numpy as np

    blank = (octets == 32) | ((octets >= 9) & (octets <= 13))
    begins = ~blank
    firsts = begins[starts]
    begins[1:] &= blank[:-1]
    begins[starts] = firsts
    return np.add.reduceat(begins, starts, dtype=np.int32)


def script_of(letter: str) -> str:
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
