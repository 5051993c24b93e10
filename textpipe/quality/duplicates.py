"""Duplicate and nearly duplicate texts, leaks between splits, and equal texts with different labels.   Shapes: N texts, R rows.

Texts are equal if their letters, marks and digits are, after NFKC and case folding, as in ingest (data/hashes.py). They are nearly equal if
they are not equal and the Jaccard similarity of their character 5-grams is at least .8 (quality/minhash.py).
"""

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from textpipe.quality import minhash
from textpipe.quality.corpus import Corpus

NUM_EXAMPLES = 20
HELD_OUT = {"valid": ("train",), "test": ("train", "valid")}  # a split, and those it must not share texts with


@dataclass
class Forms:
    """The N distinct texts of all splits, those of train first, and the pairs of them that are nearly equal.

    of_split: the number of the text of each row, {split: [R]}; first_rows: (split, index of its row) of each text's first row.
    """

    texts: list[str]
    of_split: dict[str, np.ndarray]
    first_rows: list[tuple[str, int]]
    pairs: minhash.Pairs

    @classmethod
    def find(cls, corpus: Corpus, *, on_progress: Callable[[int, int], None] | None = None) -> "Forms":
        """Compare the source texts of all rows."""
        numbers: dict[str, int] = {}
        of_split: dict[str, np.ndarray] = {}
        first_rows: list[tuple[str, int]] = []
        for split in corpus.splits:
            rows = np.empty(corpus.rows(split), np.int64)
            for at, form in enumerate(corpus.forms(split)):
                number = numbers.setdefault(form, len(numbers))
                if number == len(first_rows):
                    first_rows.append((split, at))
                rows[at] = number
            of_split[split] = rows
        texts = list(numbers)
        return cls(texts, of_split, first_rows, minhash.near_duplicates(texts, on_progress=on_progress))

    def present(self, split: str) -> np.ndarray:
        """[N] bool: which texts occur in a split."""
        present = np.zeros(len(self.texts), bool)
        present[self.of_split[split]] = True
        return present


def measure(corpus: Corpus, *, on_progress: Callable[[int, int], None] | None = None) -> dict[str, Any]:
    """Tables "duplicates", "leakage" and, for labels, "contradictions", each with counts, shares of rows, and examples.

    duplicates {split: {"rows", "distinct", "duplicates", "near_duplicates", ...}}: rows beyond the first of their text; texts that nearly
    equal an earlier one. leakage {held-out split: {other split: {"rows", "near_rows", ...}}}: rows whose text occurs, or nearly occurs, in the other
    split. contradictions {"rows", "near_rows", ...}: rows whose text occurs, or nearly occurs, with other labels in any split.
    """
    forms = Forms.find(corpus, on_progress=on_progress)
    table: dict[str, Any] = {
        "duplicates": {split: split_duplicates(corpus, forms, split) for split in corpus.splits},
        "leakage": {
            split: {other: leaks(corpus, forms, split, other) for other in HELD_OUT[split] if other in corpus.splits}
            for split in corpus.splits
            if split in HELD_OUT and (set(HELD_OUT[split]) & corpus.splits.keys())
        },
    }
    if corpus.label is not None:
        table["contradictions"] = contradictions(corpus, forms)
    return table


def share(count: int, rows: int) -> float:
    """A share of rows, 0 of none."""
    return round(count / rows, 6) if rows else 0.0


def split_duplicates(corpus: Corpus, forms: Forms, split: str) -> dict[str, Any]:
    """Duplicates within a split: the most frequent texts, and the most similar pairs."""
    numbers = forms.of_split[split]
    present, counts = np.unique(numbers, return_counts=True)
    inside = forms.present(split)
    both = inside[forms.pairs.first] & inside[forms.pairs.second]
    near = len(np.unique(forms.pairs.second[both]))
    rows = len(numbers)
    repeated = sorted(zip((-counts).tolist(), present.tolist(), strict=True))[:NUM_EXAMPLES]
    chosen = np.flatnonzero(both)
    chosen = chosen[np.argsort(-forms.pairs.similarity[chosen], kind="stable")][:NUM_EXAMPLES]
    return {
        "rows": rows,
        "distinct": len(present),
        "duplicates": rows - len(present),
        "duplicate_share": share(rows - len(present), rows),
        "near_duplicates": near,
        "near_duplicate_share": share(near, rows),
        "most_frequent": [
            {"text": example(corpus, forms, number), "rows": -count} for count, number in repeated if count < -1
        ],
        "most_similar": [pair_example(corpus, forms, at) for at in chosen.tolist()],
    }


def leaks(corpus: Corpus, forms: Forms, split: str, other: str) -> dict[str, Any]:
    """Rows of a split whose text occurs in another split, or nearly equals one there."""
    numbers = forms.of_split[split]
    in_other = forms.present(other)
    exact = in_other[numbers]
    near = np.zeros(len(forms.texts), bool)
    first, second = forms.pairs.first, forms.pairs.second
    near[second[in_other[first]]] = True
    near[first[in_other[second]]] = True
    nearly = near[numbers] & ~exact
    in_split = forms.present(split)
    pairs = np.flatnonzero(
        (in_split[first] & ~in_other[first] & in_other[second])
        | (in_split[second] & ~in_other[second] & in_other[first])
    )
    pairs = pairs[np.argsort(-forms.pairs.similarity[pairs], kind="stable")][:NUM_EXAMPLES]
    leaked = list(dict.fromkeys(numbers[exact].tolist()))[:NUM_EXAMPLES]
    return {
        "rows": int(exact.sum()),
        "share": share(int(exact.sum()), len(numbers)),
        "near_rows": int(nearly.sum()),
        "near_share": share(int(nearly.sum()), len(numbers)),
        "examples": [{"text": example(corpus, forms, number)} for number in leaked],
        "near_examples": [pair_example(corpus, forms, at) for at in pairs.tolist()],
    }


def contradictions(corpus: Corpus, forms: Forms) -> dict[str, Any]:
    """Equal and nearly equal texts with different labels, in any split."""
    labels: defaultdict[int, Counter[tuple[str, ...]]] = defaultdict(Counter)
    for split, numbers in forms.of_split.items():
        for number, names in zip(numbers.tolist(), corpus.label_names(split), strict=True):
            labels[number][names] += 1
    exact = np.zeros(len(forms.texts), bool)
    exact[[number for number, counts in labels.items() if len(counts) > 1]] = True
    near = np.zeros(len(forms.texts), bool)
    differing = []
    pairs = zip(forms.pairs.first.tolist(), forms.pairs.second.tolist(), strict=True)
    for at, (first, second) in enumerate(pairs):
        if labels[first].keys() != labels[second].keys():
            near[[first, second]] = True
            differing.append(at)
    near &= ~exact
    rows = sum(map(len, forms.of_split.values()))
    count, near_count = (sum(int(mask[numbers].sum()) for numbers in forms.of_split.values()) for mask in (exact, near))
    # The most rows first.
    worst = sorted(np.flatnonzero(exact).tolist(), key=lambda number: (-labels[number].total(), number))[:NUM_EXAMPLES]
    differing.sort(key=lambda at: -forms.pairs.similarity[at])
    return {
        "rows": count,
        "share": share(count, rows),
        "near_rows": near_count,
        "near_share": share(near_count, rows),
        "texts": int(exact.sum()),
        "examples": [
            {"text": example(corpus, forms, number), "labels": label_counts(labels[number])} for number in worst
        ],
        "near_examples": [
            {
                **pair_example(corpus, forms, at),
                "labels": label_counts(labels[int(forms.pairs.first[at])]),
                "other_labels": label_counts(labels[int(forms.pairs.second[at])]),
            }
            for at in differing[:NUM_EXAMPLES]
        ],
    }


def label_counts(counts: Counter[tuple[str, ...]]) -> dict[str, int]:
    """{label: rows}, the most frequent first; a set of labels as one name."""
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return {", ".join(names) or "(none)": rows for names, rows in ranked}


def example(corpus: Corpus, forms: Forms, number: int) -> dict[str, Any]:
    """The first row with a text: {"split", "row", "text"}; several source texts are separated by line ends."""
    split, at = forms.first_rows[number]
    text = "\n".join(str(corpus.splits[split][name][at].as_py()) for name in corpus.compared_fields)
    return {"split": split, "row": corpus.positions[split][at], "text": text}


def pair_example(corpus: Corpus, forms: Forms, at: int) -> dict[str, Any]:
    """A pair of nearly equal texts."""
    pairs = forms.pairs
    return {
        "text": example(corpus, forms, int(pairs.first[at])),
        "other": example(corpus, forms, int(pairs.second[at])),
        "similarity": round(float(pairs.similarity[at]), 4),
    }
