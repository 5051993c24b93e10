"""Answers that do not depend on what was asked: mostly empty, or mostly one and the same."""

from collections import Counter
from collections.abc import Sequence

THRESHOLD = 0.5
MIN_ROWS = 20  # of fewer, nothing is said


def warnings(answers: Sequence[str], references: Sequence[str]) -> list[str]:
    """What is wrong with a model's answers to many rows, as sentences.

    ["", "", "ja"] * 10 where references are different texts -> ["20 of 30 answers are empty ..."]
    """
    count = len(answers)
    if count < MIN_ROWS:
        return []
    found = []
    empty = sum(not answer.strip() for answer in answers)
    if empty >= THRESHOLD * count and sum(not text.strip() for text in references) < empty / 2:
        found.append(f"{empty:,} of {count:,} answers are empty")
    common, times = (
        Counter(answer for answer in answers if answer.strip()).most_common(1)[0] if empty < count else ("", 0)
    )
    ((_, usual),) = Counter(references).most_common(1)
    if times >= THRESHOLD * count and times > 1.5 * usual and len(set(references)) > 1:
        shown = common if len(common) <= 60 else common[:57] + "..."
        found.append(f"{times:,} of {count:,} answers are {shown!r}")
    cure = "the model has learned next to nothing of its input: train longer, or look at the learning rate, its warm-up and the data"
    return [f"{fault}; {cure}" for fault in found]
