"""F1 of words that are rare or unseen in training.

Words are grouped by training frequency, as in compare-mt (Neubig et al. 2019, section 3.1): a word of the answer is
correct if the reference contains it, at most as often as the reference contains it.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from textpipe.metrics import bootstrap

WORD = re.compile(r"\w+")


def split_words(text: str) -> Iterator[str]:
    """Yield runs of letters, digits and marks, case folded: "It's 5 o'clock" -> it s 5 o clock."""
    return (match.group() for match in WORD.finditer(text.casefold()))


def has_word_with_count(counts: Mapping[str, int], least: int, most: int, text: str) -> bool:
    """Whether the text contains a word that occurs least to most times in training."""
    return any(least <= counts.get(word, 0) <= most for word in split_words(text))


def f1(
    answers: Sequence[str],
    references: Sequence[str],
    counts: Mapping[str, int],
    least: int,
    most: int,
    *,
    resamples: int = 1000,
    seed: int = 1,
) -> dict[str, Any]:
    """Return precision, recall and F1 of the words that occur least to most times in the training targets.

    counts: {word: occurrences in training}; least = most = 0 selects unseen words. A metric is None if there are no such
    words; interval, the 95 % interval of F1, is omitted then and if resamples is 0.

    f1(["der Emu läuft"], ["ein Emu rennt"], {"der": 9, "ein": 9, "läuft": 5, "rennt": 4}, 0, 0)
    -> {"f1": 1.0, "precision": 1.0, "recall": 1.0, "matches": 1, "answer_words": 1, "reference_words": 1, ...}
    """
    rows = [row_counts(*pair, counts, least, most) for pair in zip(answers, references, strict=True)]
    table = np.array(rows, np.float64).reshape(-1, 3)  # [N, 3]: matches, words of the answer, words of the reference
    matches, answered, expected = (int(total) for total in table.sum(axis=0))
    result: dict[str, Any] = {
        "least": least,
        "most": most,
        "f1": ratio(2 * matches, answered + expected),
        "precision": ratio(matches, answered),
        "recall": ratio(matches, expected),
        "matches": matches,
        "answer_words": answered,
        "reference_words": expected,
    }
    if resamples and answered + expected:

        def f1_of_sums(total: np.ndarray) -> float:
            return float(2 * total[0] / max(total[1] + total[2], 1))

        result["interval"] = bootstrap.confidence_interval(table, f1_of_sums, resamples=resamples, seed=seed)
    return result


def row_counts(answer: str, reference: str, counts: Mapping[str, int], least: int, most: int) -> tuple[int, int, int]:
    """Count, for one row, matches, words of the answer and words of the reference in this frequency range."""
    answered, expected = (
        Counter(word for word in split_words(text) if least <= counts.get(word, 0) <= most)
        for text in (answer, reference)
    )
    return (answered & expected).total(), answered.total(), expected.total()


def ratio(count: int, total: int) -> float | None:
    return count / total if total else None
