"""Contributions by leaving words out, for any model: what the answer loses without a word (Li, Monroe and Jurafsky, 2016,
Understanding Neural Networks through Representation Erasure, equation 2, with log-odds).

A text of many words is first tried in passages; the passages that matter are then tried in parts, down to single words.
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from textpipe.errors import ModelError
from textpipe.explanation import alignment
from textpipe.explanation.contributions import OCCLUSION, Part
from textpipe.explanation.result import Explanation
from textpipe.explanation.subject import Row, Subject

MAX_ROWS = 256  # rows that are tried at once, in each round
MAX_CHARACTERS = (
    4_000_000  # in the rows of a round: a text of a megabyte is tried in four passages, then in shorter ones
)
MAX_ROUNDS = 3
FEWEST, BRANCHES = 4, 8  # passages of a text, and parts of a passage
ROUNDING = 1e-6  # falls below this are float32's
SMALLEST = 1e-7  # a probability is at least this far from 0 and 1, as float32 has no finer ones


@dataclass(frozen=True)
class Passage:
    """Words first to last of a field; None for a whole number."""

    field: str
    first: int
    last: int

    @property
    def size(self) -> int:
        return self.last - self.first


def explain(subject: Subject, row: Row, outputs: Mapping[str, Any], label: str | None) -> Explanation:
    """The explanation of a class, or of the answer of a model that does not answer with classes."""
    target = Target.of(subject, outputs, label)
    words = {name: alignment.tokens(str(row[name])) for name, dtype in subject.dtypes.items() if dtype == "string"}
    baseline = target.values([row])[0]
    passages = [Passage(name, 0, 0) for name in subject.dtypes if name not in words and not math.isnan(row[name])]
    length = sum(len(cell) for cell in row.values() if isinstance(cell, str))
    budget = max(FEWEST, min(MAX_ROWS, MAX_CHARACTERS // max(length, 1)))
    total = sum(map(len, words.values()))
    for name, spans in words.items():
        share = max(1, budget * len(spans) // max(total, 1))
        passages += split(Passage(name, 0, len(spans)), share)
    falls: dict[Passage, float] = {}
    for _ in range(MAX_ROUNDS):
        rows = [without(row, passage, words) for passage in passages]
        falls |= {
            passage: without_rounding(baseline - value)
            for passage, value in zip(passages, target.values(rows) if rows else [], strict=True)
        }
        coarse = sorted((passage for passage in falls if passage.size > 1), key=lambda passage: -abs(falls[passage]))
        chosen = [passage for passage in coarse[: max(1, budget // BRANCHES)] if falls[passage]]
        if not chosen:
            break
        for passage in chosen:
            del falls[passage]
        passages = [part for passage in chosen for part in split(passage, BRANCHES)]
    parts = [part_of(row, passage, words, fall) for passage, fall in falls.items()]
    parts.sort(key=lambda part: (list(subject.dtypes).index(part.field), part.start or 0))
    unsplit = sum(passage.size > 1 for passage in falls)
    note = (
        f"the text has {total:,} words: {unsplit:,} passages of several words were left out as a whole"
        if unsplit
        else ""
    )
    return Explanation(
        subject.name, OCCLUSION, row, str(outputs.get("answer", target.label)), target.label, target.probability(outputs),
        baseline, parts, note=note, labels=tuple(subject.about.get("labels") or outputs.get("labels") or ()),
    )  # fmt: skip


def without_rounding(fall: float) -> float:
    return fall if abs(fall) > ROUNDING else 0.0


def split(passage: Passage, count: int) -> list[Passage]:
    """A passage in at most `count` parts of nearly equal size."""
    count = min(count, passage.size)
    edges = [passage.first + passage.size * at // max(count, 1) for at in range(count + 1)]
    return [Passage(passage.field, first, last) for first, last in itertools.pairwise(edges)]


def characters(passage: Passage, words: Mapping[str, Sequence[tuple[int, int]]]) -> tuple[int, int]:
    """The characters of a passage, from its first word to its last."""
    spans = words[passage.field]
    return spans[passage.first][0], spans[passage.last - 1][1]


def without(row: Row, passage: Passage, words: Mapping[str, Sequence[tuple[int, int]]]) -> Row:
    """The row without a passage, or without a number."""
    if passage.field not in words:
        return {**row, passage.field: math.nan}
    start, end = characters(passage, words)
    text = row[passage.field]
    return {**row, passage.field: text[:start] + text[end:]}


def part_of(row: Row, passage: Passage, words: Mapping[str, Any], fall: float) -> Part:
    """A passage with its contribution."""
    if passage.field not in words:
        return Part(passage.field, f"{row[passage.field]:g}", None, None, fall)
    start, end = characters(passage, words)
    return Part(passage.field, row[passage.field][start:end], start, end, fall)


@dataclass(frozen=True)
class Target:
    """What is explained. label: the class, or the answer; values(rows): its log-odds or log-probability for each row;
    probability(outputs): of the class, None for an answer."""

    label: str
    values: Callable[[Sequence[Row]], list[float]]
    probability: Callable[[Mapping[str, Any]], float | None]

    @classmethod
    def of(cls, subject: Subject, outputs: Mapping[str, Any], label: str | None) -> "Target":
        """The class `label`, or the answer of a model without classes; raises ModelError if nothing can be measured."""
        if label is not None:
            at = list(outputs["labels"]).index(label)

            def log_odds(rows: Sequence[Row]) -> list[float]:
                answers = subject.call(rows, subject.answering)
                return [log_odds_of(answer["probabilities"], at) for answer in answers]

            return cls(label, log_odds, lambda outputs: float(outputs["probabilities"][at]))
        if "probability" in outputs:  # of a trigger: whether an answer is shown at all

            def trigger_odds(rows: Sequence[Row]) -> list[float]:
                answers = subject.call(rows, subject.answering)
                return [log_odds_of([1 - answer["probability"], answer["probability"]], 1) for answer in answers]

            return cls("an answer", trigger_odds, lambda outputs: float(outputs["probability"]))
        answer = outputs.get("answer") or next(iter(outputs.get("texts") or ()), None)
        if subject.score is None or answer is None:
            raise ModelError(
                f"{subject.name}: answers with text, whose likelihood only a model on disk can tell; give its folder"
                if answer is not None
                else f"{subject.name}: has neither classes nor an answer to this row, so there is nothing to explain"
            )
        score = subject.score

        def log_probs(rows: Sequence[Row]) -> list[float]:
            return score(rows, answer)

        return cls(answer, log_probs, lambda _: None)


def log_odds_of(probabilities: Sequence[float], at: int) -> float:
    """log(p / q): p of class `at`, q of all others; of labels that do not exclude each other, 1 - p."""
    probability = float(probabilities[at])
    others = math.fsum(float(value) for number, value in enumerate(probabilities) if number != at)
    if not math.isclose(probability + others, 1.0, abs_tol=1e-3):  # independent labels
        others = 1.0 - probability
    return math.log(max(probability, SMALLEST)) - math.log(max(others, SMALLEST))
