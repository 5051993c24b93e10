"""Whether an answer to a question about a table has the same denotation as the reference.

Two sets of values are compared, as in the evaluation of WikiTableQuestions (Pasupat and Liang 2015): numbers by value, dates by their parts,
other texts after normalization (accents, case, quotation marks, footnotes and parentheses at the end).
"""

import math
import re
import unicodedata
from collections.abc import Sequence
from typing import Any

from textpipe.data import table_syntax

TOLERANCE = 1e-6
NUMBER = re.compile(r"[-+]?(\d{1,3}(,\d{3})+|\d+)(\.\d+)?([eE][-+]?\d+)?|[-+]?\.\d+")
ISO_DATE = re.compile(r"(\d{1,4}|xx|xxxx)-(\d{1,2}|xx)-(\d{1,2}|xx)")
MONTHS = {name: number for number, names in enumerate(table_syntax.MONTHS, 1) for name in names}
MONTH = "|".join(sorted(MONTHS, key=len, reverse=True))
WRITTEN_DATES = (
    re.compile(rf"(?P<month>{MONTH})\.? (?P<day>\d{{1,2}})(?:st|nd|rd|th)?(?:,? (?P<year>\d{{4}}))?"),
    re.compile(rf"(?P<day>\d{{1,2}})(?:st|nd|rd|th)? (?:of )?(?P<month>{MONTH})\.?(?:,? (?P<year>\d{{4}}))?"),
    re.compile(rf"(?P<month>{MONTH})\.?,? (?P<year>\d{{4}})"),
)
DASHES, QUOTES = re.compile("[‐‑‒–—−]"), re.compile("[‘’´`]")
DOUBLE_QUOTES = re.compile("[“”]")
FOOTNOTES = re.compile(r"((?<!^)\[[^\]]*\]|\[\d+\]|[•♦†‡*#+])*$")
PARENTHESES = re.compile(r"(?<!^)( \([^)]*\))*$")
QUOTED = re.compile(r'^"([^"]*)"$')


def normalize(text: str) -> str:
    """The form in which texts are compared: "“Café” (2004)[1]" -> "cafe"."""
    text = "".join(
        character for character in unicodedata.normalize("NFKD", text) if unicodedata.category(character) != "Mn"
    )
    text = DOUBLE_QUOTES.sub('"', QUOTES.sub("'", DASHES.sub("-", text)))
    while True:
        before = text
        text = FOOTNOTES.sub("", text.strip())
        text = PARENTHESES.sub("", text.strip())
        text = QUOTED.sub(r"\1", text.strip())
        if text == before:
            break
    return " ".join(text.removesuffix(".").split()).casefold()


def value(text: str) -> Any:
    """A float, a date (year, month, day; None for unknown parts), or the normalized text.

    "12,467" -> 12467.0;  "May 12, 2005" -> (2005, 5, 12);  "Bangkok, Thailand" -> "bangkok, thailand"
    """
    normal = normalize(text)
    if NUMBER.fullmatch(normal):
        number = float(normal.replace(",", ""))
        if math.isfinite(number):
            return number
    if match := ISO_DATE.fullmatch(normal):
        parts = tuple(None if part.startswith("x") else int(part) for part in match.groups())
        if any(part is not None for part in parts):
            return parts
    for pattern in WRITTEN_DATES:
        if match := pattern.fullmatch(normal):
            table = match.groupdict()
            year, day = table.get("year"), table.get("day")
            return (year and int(year), MONTHS[table["month"]], day and int(day))
    return normal


def values(answer: str) -> list[Any]:
    """The different values of the items of an answer: "1|1.0|x" -> [1.0, "x"]."""
    return list(dict.fromkeys(value(item) for item in table_syntax.split_items(answer)))


def same_value(first: Any, second: Any) -> bool:
    """Whether two values are equal: numbers up to 1e-6."""
    if isinstance(first, float) and isinstance(second, float):
        return abs(first - second) < TOLERANCE
    return type(first) is type(second) and first == second


def is_correct(answer: str, reference: str) -> bool:
    """Whether both have the same values, in any order; an empty answer has none and is wrong."""
    predicted, expected = values(answer), values(reference)
    if not predicted or len(predicted) != len(expected):
        return False
    return all(
        any(same_value(expected_value, predicted_value) for predicted_value in predicted) for expected_value in expected
    )


def score(
    answers: Sequence[str], answered: Sequence[bool], references: Sequence[str], *, resamples: int = 1000, seed: int = 1
) -> dict[str, Any]:
    """accuracy of all answers; answered: the share that reached the threshold, and their accuracy. With 95 % intervals.

    answered_accuracy is None if no row was answered.
    """
    import numpy as np

    from textpipe.metrics import bootstrap

    correct = np.array(
        [is_correct(str(answer), str(reference)) for answer, reference in zip(answers, references, strict=True)],
        np.float64,
    )
    answered_mask = np.array(answered, bool)
    if not len(correct):
        return {"metrics": dict.fromkeys(("accuracy", "answered", "answered_accuracy")), "intervals": {}}
    report: dict[str, Any] = {
        "metrics": {
            "accuracy": float(correct.mean()),
            "answered": float(answered_mask.mean()),
            "answered_accuracy": float(correct[answered_mask].mean()) if answered_mask.any() else None,
        },
        "intervals": {},
    }
    if resamples:
        sums = bootstrap.confidence_interval(correct[:, None], lambda total: total[0], resamples=resamples, seed=seed)
        report["intervals"]["accuracy"] = [bound / len(correct) for bound in sums]
    return report
