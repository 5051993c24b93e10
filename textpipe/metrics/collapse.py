"""Detect collapsed models, whose answers ignore the input: mostly empty, or mostly the same text."""

from collections import Counter
from collections.abc import Sequence

THRESHOLD = 0.5
MIN_ROWS = 20  # no warnings for fewer rows


def warnings(answers: Sequence[str], references: Sequence[str]) -> list[str]:
    """Return warnings, as sentences, if a model's answers have collapsed.

    ["", "", "ja"] * 10 with varied references -> ["20 of 30 answers are empty ..."]
    """
    count = len(answers)
    if count < MIN_ROWS:
        return []
    problems = []
    empty = sum(not answer.strip() for answer in answers)
    if empty >= THRESHOLD * count and sum(not text.strip() for text in references) < empty / 2:
        problems.append(f"{empty:,} of {count:,} answers are empty")
    common, times = (
        Counter(answer for answer in answers if answer.strip()).most_common(1)[0] if empty < count else ("", 0)
    )
    ((_, usual),) = Counter(references).most_common(1)
    if times >= THRESHOLD * count and times > 1.5 * usual and len(set(references)) > 1:
        shown = common if len(common) <= 60 else common[:57] + "..."
        problems.append(f"{times:,} of {count:,} answers are {shown!r}")
    cure = "the model hardly uses its input: train longer, or check the learning rate, its warm-up and the data"
    return [f"{problem}; {cure}" for problem in problems]
