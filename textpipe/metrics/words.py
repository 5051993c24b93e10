"""How many of the words that training saw seldom or never an answer gets right.

F1 over words by how often they stand in training, as compare-mt has it (Neubig et al. 2019, section 3.1): a word of the
answer is right when the reference holds it, and as often as the reference holds it.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from textpipe.metrics import bootstrap

WORD = re.compile(r"\w+")


def split(text: str) -> Iterator[str]:
    """Runs of letters, digits and marks, case folded: "It's 5 o'clock" -> it s 5 o clock."""
    return (found.group() for found in WORD.finditer(text.casefold()))


def seen_between(counts: Mapping[str, int], least: int, most: int, text: str) -> bool:
    """Whether the text holds a word that training has least to most times."""
    return any(least <= counts.get(word, 0) <= most for word in split(text))


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
    """Precision, recall and F1 of the words that the training texts of the target hold least to most times.

    counts: {word: times in training}. 0 and 0 are unseen words. A figure is None where there is nothing to count;
    interval, the 95 % one of F1, is left out then, and where resamples is 0.

    f1(["der Emu läuft"], ["ein Emu rennt"], {"der": 9, "ein": 9, "läuft": 5, "rennt": 4}, 0, 0)
    -> {"f1": 1.0, "precision": 1.0, "recall": 1.0, "matches": 1, "answer_words": 1, "reference_words": 1, ...}
    """
    rows = [row_counts(*pair, counts, least, most) for pair in zip(answers, references, strict=True)]
    table = np.array(rows, np.float64).reshape(-1, 3)  # [N, 3]: matches, words of the answer, words of the reference
    matches, answered, expected = (int(total) for total in table.sum(axis=0))
    found: dict[str, Any] = {
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

        def figure(total: np.ndarray) -> float:
            return float(2 * total[0] / max(total[1] + total[2], 1))

        found["interval"] = bootstrap.confidence_interval(table, figure, resamples=resamples, seed=seed)
    return found


def row_counts(answer: str, reference: str, counts: Mapping[str, int], least: int, most: int) -> tuple[int, int, int]:
    """Matches, words of the answer and words of the reference in the bucket, of one row."""
    given, wanted = (
        Counter(word for word in split(text) if least <= counts.get(word, 0) <= most) for text in (answer, reference)
    )
    return (given & wanted).total(), given.total(), wanted.total()


def ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None
