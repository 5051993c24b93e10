"""Comparison of rankers: the first reply is the one that was given, apart from case and punctuation, or it is not."""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

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
from textpipe.text.canonical import canonical

if TYPE_CHECKING:
    import numpy as np

    from textpipe.metrics.corpus import Measure


def canonical_all(texts: Sequence[str]) -> list[str]:
    """The canonical form of each text."""
    return [canonical(text) for text in texts]


def measures(answers: Sequence[Sequence[str]], references: Sequence[Any], bleu_tokenizer: str) -> "list[Measure]":
    """The share of rows whose own reply comes first."""
    canonical_answers = [canonical_all(system) for system in answers]
    return one_label.measures(canonical_answers, canonical_all(references), bleu_tokenizer)[:1]


def row_scores(answers: Sequence[Sequence[str]], references: Sequence[Any]) -> "np.ndarray":
    """1 where a row's own reply comes first, else 0: [K, N]."""
    return one_label.row_scores([canonical_all(system) for system in answers], canonical_all(references))


def positive(answers: Sequence[Sequence[str]], references: Sequence[Any], metrics: Collection[str]) -> str | None:
    """None: no reply is the positive class."""
    return None


def agreement(first: Any, other: Any, references: Sequence[Any]) -> dict[str, Any]:
    """Counts of rows on which either, both or neither system is right, and McNemar's test."""
    return one_label.agreement(canonical_all(first), canonical_all(other), canonical_all(references))


__all__ = [
    "agreement", "answer", "charts_of", "facts", "lead", "measure", "measures", "order", "positive", "row", "row_scores",
    "sections", "step", "summary",
]  # fmt: skip
