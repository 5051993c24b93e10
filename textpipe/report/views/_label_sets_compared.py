"""Comparison of sets of labels: a set is right as a whole or wrong."""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from textpipe.kinds.labels import join
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


def joined_labels(references: Sequence[Any]) -> list[str]:
    """References in the format of answers: ["b", "a"] -> "a|b"."""
    return [labels if isinstance(labels, str) else join(sorted(labels)) for labels in references]


def measures(answers: Sequence[Sequence[str]], references: Sequence[Any], bleu_tokenizer: str) -> "list[Measure]":
    """The share of rows with exactly the expected labels."""
    return one_label.measures(answers, joined_labels(references), bleu_tokenizer)[:1]


def row_scores(answers: Sequence[Sequence[str]], references: Sequence[Any]) -> "np.ndarray":
    """1 for exactly the expected labels, else 0: [K, N]."""
    return one_label.row_scores(answers, joined_labels(references))


def positive(answers: Sequence[Sequence[str]], references: Sequence[Any], metrics: Collection[str]) -> str | None:
    """None: no label is the positive class."""
    return None


def agreement(first: Any, other: Any, references: Sequence[Any]) -> dict[str, Any]:
    """Counts of rows on which either, both or neither system is right, and McNemar's test."""
    return one_label.agreement(first, other, joined_labels(references))


__all__ = [
    "agreement", "answer", "charts_of", "facts", "lead", "measure", "measures", "order", "positive", "row", "row_scores",
    "sections", "step", "summary",
]  # fmt: skip
