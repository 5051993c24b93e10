"""Comparison of labels."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from textpipe.report import charts, markup
from textpipe.report.number_format import format_p_value
from textpipe.report.page import Section

if TYPE_CHECKING:
    import numpy as np

    from textpipe.metrics.corpus import Measure

Key = Callable[[int], float]


def measures(answers: Sequence[Sequence[str]], references: Sequence[Any], bleu_tokenizer: str) -> "list[Measure]":
    """Accuracy and F1."""
    from textpipe.metrics import comparison

    return comparison.label_measures(answers, references)


def row_scores(answers: Sequence[Sequence[str]], references: Sequence[Any]) -> "np.ndarray":
    """1 for a correct answer, else 0: [K, N]."""
    import numpy as np

    return np.array([[a == r for a, r in zip(system, references, strict=True)] for system in answers], np.float64)


def positive(answers: Sequence[Sequence[str]], references: Sequence[Any], metrics: Collection[str]) -> str | None:
    """The second of two classes."""
    from textpipe.metrics import comparison

    return comparison.sorted_labels(answers, references)[1] if "f1" in metrics else None


def agreement(first: Any, other: Any, references: Sequence[Any]) -> dict[str, Any]:
    """Counts of rows on which either, both or neither system is right, and McNemar's test."""
    from textpipe.metrics import comparison

    return comparison.agreement(first.answers, other.answers, references)


def row(at: int, first: Any, other: Any, scores: Any) -> dict[str, Any]:
    """The confidence of both answers."""
    return {"confidence": [first.scores[at], other.scores[at]]}


def order(first: Any, other: Any, difference: Any) -> tuple[Key, Key]:
    """Rows with the most confident wrong answer first."""
    return lambda at: -(first.scores[at] or 0.0), lambda at: -(other.scores[at] or 0.0)


def summary(pair: Mapping[str, Any]) -> str:
    """Counts of rows on which either, both or neither system is right."""
    baseline, system = pair["baseline"], pair["system"]
    return (
        f"; both right on {pair['both']}, only {baseline} on {pair['only_first']}, only {system} on "
        f"{pair['only_second']}, neither on {pair['neither']}; McNemar p {format_p_value(pair['p_mcnemar'])}"
    )


def measure(row: Mapping[str, Any], better: bool, other: str) -> str:
    """Whether the second system is right."""
    return f"{other} is {'right' if better else 'wrong'}"


def sections(comparison: Any) -> list[Section]:
    """No additional sections."""
    return []


def step(comparison: Any) -> float:
    """The share of one row."""
    return 1 / comparison.table["rows"]


def charts_of(comparison: Any, pair: Mapping[str, Any], at: int) -> list[str]:
    """Counts of rows on which either, both or neither system is right."""
    return [
        charts.heat_map(
            "Rows that are right", [[pair["both"], pair["only_first"]], [pair["only_second"], pair["neither"]]],
            ["right", "wrong"], ["right", "wrong"], row_name=pair["baseline"], column_name=pair["system"],
            format_cell=lambda count: f"{count:,}", highest=max(pair["both"], 1),
        )
    ]  # fmt: skip


def lead(comparison: Any, pair: Mapping[str, Any]) -> str:
    """McNemar's test."""
    return (
        f"The same answer to {pair['same_answer']:,} of {comparison.table['rows']:,} rows; McNemar's exact test gives "
        f"p {format_p_value(pair['p_mcnemar'])}."
    )


def facts(row: Mapping[str, Any]) -> list[str]:
    """No additional facts."""
    return []


def answer(row: Mapping[str, Any], at: int) -> str:
    """A label and its confidence."""
    confidence = row["confidence"][at]
    suffix = (
        f' <span class="quiet">{markup.format_number(confidence, 3)}</span>' if isinstance(confidence, float) else ""
    )
    return markup.text_html(row["answers"][at]) + suffix
