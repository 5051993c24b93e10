"""What a comparison of sets of labels shows: whether whole sets are right."""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from textpipe.kinds.labels import spelled
from textpipe.report.views import _bars_compared as one_label
from textpipe.report.views._bars_compared import (
    answer,
    charts_of,
    facts,
    lead,
    measure,
    order,
    row,
    sections,
    step,
    summary,
)

if TYPE_CHECKING:
    import numpy as np

    from textpipe.metrics.corpus import Measure


def sets(references: Sequence[Any]) -> list[str]:
    """References as answers are written: ["b", "a"] -> "a|b"."""
    return [one if isinstance(one, str) else spelled(sorted(one)) for one in references]


def measures(answers: Sequence[Sequence[str]], references: Sequence[Any], bleu_tokenizer: str) -> "list[Measure]":
    """The share of rows with exactly the labels wanted."""
    return one_label.measures(answers, sets(references), bleu_tokenizer)[:1]


def row_scores(answers: Sequence[Sequence[str]], references: Sequence[Any]) -> "np.ndarray":
    """1 where the labels are exactly those wanted, else 0: [K, N]."""
    return one_label.row_scores(answers, sets(references))


def positive(answers: Sequence[Sequence[str]], references: Sequence[Any], metrics: Collection[str]) -> str | None:
    """No label stands before the others."""
    return None


def agreement(first: Any, other: Any, references: Sequence[Any]) -> dict[str, Any]:
    """Which is right on how many rows, and McNemar's test."""
    return one_label.agreement(first, other, sets(references))


__all__ = [
    "agreement", "answer", "charts_of", "facts", "lead", "measure", "measures", "order", "positive", "row", "row_scores",
    "sections", "step", "summary",
]  # fmt: skip
