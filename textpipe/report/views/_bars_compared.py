"""What a comparison of labels shows."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from textpipe.report import charts, markup
from textpipe.report.number_format import p_value
from textpipe.report.page import Section

if TYPE_CHECKING:
    import numpy as np

    from textpipe.metrics.corpus import Measure

Key = Callable[[int], float]


def measures(answers: Sequence[Sequence[str]], references: Sequence[Any], bleu_tokenizer: str) -> "list[Measure]":
    """Accuracy and F1."""
    from textpipe.metrics import comparison

    return comparison.of_labels(answers, references)


def row_scores(answers: Sequence[Sequence[str]], references: Sequence[Any]) -> "np.ndarray":
    """1 where an answer is right, else 0: [K, N]."""
    import numpy as np

    return np.array([[a == r for a, r in zip(one, references, strict=True)] for one in answers], np.float64)


def positive(answers: Sequence[Sequence[str]], references: Sequence[Any], metrics: Collection[str]) -> str | None:
    """Of two classes the second."""
    from textpipe.metrics import comparison

    return comparison.classes_of(answers, references)[1] if "f1" in metrics else None


def agreement(first: Any, other: Any, references: Sequence[Any]) -> dict[str, Any]:
    """Who is right on how many rows, and McNemar's test."""
    from textpipe.metrics import comparison

    return comparison.agreement(first.answers, other.answers, references)


def row(at: int, first: Any, other: Any, scores: Any) -> dict[str, Any]:
    """How sure both were."""
    return {"confidence": [first.scores[at], other.scores[at]]}


def order(first: Any, other: Any, difference: Any) -> tuple[Key, Key]:
    """Where the wrong answer was surest."""
    return lambda at: -(first.scores[at] or 0.0), lambda at: -(other.scores[at] or 0.0)


def summary(pair: Mapping[str, Any]) -> str:
    """Who is right on how many rows."""
    first, other = pair["baseline"], pair["system"]
    return (
        f"; right are both on {pair['both']}, {first} alone on {pair['only_first']}, {other} alone on "
        f"{pair['only_second']}, neither on {pair['neither']}; McNemar p {p_value(pair['p_mcnemar'])}"
    )


def measure(row: Mapping[str, Any], better: bool, other: str) -> str:
    """Whether the second is right."""
    return f"{other} is {'right' if better else 'wrong'}"


def sections(found: Any) -> list[Section]:
    """None beside those of all comparisons."""
    return []


def step(found: Any) -> float:
    """A row's share."""
    return 1 / found.table["rows"]


def charts_of(found: Any, pair: Mapping[str, Any], at: int) -> list[str]:
    """Who is right on how many rows."""
    return [
        charts.heat_map(
            "Rows that are right", [[pair["both"], pair["only_first"]], [pair["only_second"], pair["neither"]]],
            ["right", "wrong"], ["right", "wrong"], row_name=pair["baseline"], column_name=pair["system"],
            write=lambda count: f"{count:,}", highest=max(pair["both"], 1),
        )
    ]  # fmt: skip


def lead(found: Any, pair: Mapping[str, Any]) -> str:
    """McNemar's test."""
    return (
        f"The same answer to {pair['same_answer']:,} of {found.table['rows']:,} rows; McNemar's exact test gives "
        f"p {p_value(pair['p_mcnemar'])}."
    )


def facts(row: Mapping[str, Any]) -> list[str]:
    """Nothing beside the row's number."""
    return []


def answer(row: Mapping[str, Any], at: int) -> str:
    """A label, and how sure its system was."""
    sure = row["confidence"][at]
    told = f' <span class="quiet">{markup.number(sure, 3)}</span>' if isinstance(sure, float) else ""
    return markup.shown(row["answers"][at]) + told
