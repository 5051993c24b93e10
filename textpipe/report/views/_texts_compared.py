"""Comparison of texts."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from textpipe.metrics.length_ranges import length_ranges
from textpipe.report import charts, markup
from textpipe.report.charts import Series
from textpipe.report.page import Section

if TYPE_CHECKING:
    import numpy as np

    from textpipe.metrics.corpus import Measure

RESAMPLES = 300  # for the intervals of BLEU by length

Key = Callable[[int], float]


def measures(answers: Sequence[Sequence[str]], references: Sequence[Any], bleu_tokenizer: str) -> "list[Measure]":
    """BLEU, chrF and TER."""
    from textpipe.metrics import comparison

    return comparison.text_measures(answers, references, bleu_tokenizer=bleu_tokenizer)


def row_scores(answers: Sequence[Sequence[str]], references: Sequence[Any]) -> "np.ndarray":
    """chrF of each answer: [K, N]."""
    from textpipe.metrics import comparison

    return comparison.row_scores(answers, references)


def positive(answers: Sequence[Sequence[str]], references: Sequence[Any], metrics: Collection[str]) -> str | None:
    """None: texts have no classes."""
    return None


def agreement(first: Any, other: Any, references: Sequence[Any]) -> dict[str, Any]:
    """No additional entries."""
    return {}


def row(at: int, first: Any, other: Any, scores: Any) -> dict[str, Any]:
    """chrF of both answers, and the difference."""
    difference = scores[1] - scores[0]
    return {"chrf": [float(score) for score in scores[:, at]], "difference": float(difference[at])}


def order(first: Any, other: Any, difference: Any) -> tuple[Key, Key]:
    """Rows with the largest difference of chrF first."""
    return lambda at: -difference[at], lambda at: difference[at]


def summary(pair: Mapping[str, Any]) -> str:
    """The number of rows on which the second system is better, and worse."""
    return f"; by chrF better on {pair['better_rows']}, worse on {pair['worse_rows']}"


def measure(row: Mapping[str, Any], better: bool, other: str) -> str:
    """The difference of chrF."""
    return f"chrF {row['difference']:+.1f}"


def sections(comparison: Any) -> list[Section]:
    """BLEU of each system by source length, and the distribution of chrF."""
    import numpy as np

    from textpipe.metrics import bleu_tokenizers, corpus, generation, significance

    rows = comparison.systems[0].rows
    lengths = [len(source.split()) for source in rows.sources]
    ranges = length_ranges(lengths)
    members = [np.array([low <= length <= high for length in lengths]) for low, high in ranges]
    tokenize = bleu_tokenizers.tokenizer_in_signature(comparison.table["metrics"]["bleu"]["signature"])
    series = []
    for system, colour in zip(comparison.systems[:3], "abc", strict=False):
        statistics = generation.bleu_statistics(system.answers, rows.references, lowercase=False, tokenize=tokenize)
        parts = [statistics[chosen] for chosen in members]
        figures = [
            significance.bootstrap_values(corpus.Measure("bleu", [part], corpus.bleu), resamples=RESAMPLES, seed=1)[0]
            for part in parts
        ]
        bounds = [significance.percentile_interval(draws) for draws in figures]
        values = [float(corpus.bleu(part.sum(axis=0)[None])[0]) for part in parts]
        series.append(Series(system.name, [], values, colour, low=[b[0] for b in bounds], high=[b[1] for b in bounds]))
    labels = [f"{low}" if low == high else f"{low}–{high}" for low, high in ranges]
    counts = [int(chosen.sum()) for chosen in members]
    chart = charts.bars("BLEU by source length", labels, series, "words in the source", counts=counts)
    shares = [count / len(rows) for count in range(1, len(rows) + 1)]
    spread = charts.lines(
        "Cumulative share of rows by chrF",
        [
            Series(system.name, sorted(comparison.scores[at].tolist()), shares, colour)
            for at, (system, colour) in enumerate(zip(comparison.systems[:3], "abc", strict=False))
        ],
        "chrF of a row", note="The lower a line runs, the better its system's rows.", data=False,
    )  # fmt: skip
    return [Section("Rows", "rows", f'<div class="half">{chart}{spread}</div>')]


def step(comparison: Any) -> float:
    """0: differences may have any value."""
    return 0.0


def charts_of(comparison: Any, pair: Mapping[str, Any], at: int) -> list[str]:
    """chrF row by row."""
    baseline_scores, system_scores = (comparison.scores[system].tolist() for system in (0, at))
    notes = [
        f"row {row + 1}: {a:.1f} and {b:.1f}"
        for row, (a, b) in enumerate(zip(baseline_scores, system_scores, strict=True))
    ]
    return [
        charts.points(
            "chrF row by row", Series("rows", baseline_scores, system_scores, "a", notes=notes), pair["baseline"], pair["system"],
            low=0, high=100, note="Above the dashed line the answer of the second system is better.", many=True,
        )
    ]  # fmt: skip


def lead(comparison: Any, pair: Mapping[str, Any]) -> str:
    """The number of rows on which the second system is better, and worse."""
    return (
        f"The same answer to {pair['same_answer']:,} of {comparison.table['rows']:,} rows; by chrF {pair['system']} is better on "
        f"{pair['better_rows']:,} and worse on {pair['worse_rows']:,}."
    )


def facts(row: Mapping[str, Any]) -> list[str]:
    """chrF of both answers, and the difference."""
    return [f"chrF {row['chrf'][0]:.1f} and {row['chrf'][1]:.1f}, {row['difference']:+.1f}"]


def answer(row: Mapping[str, Any], at: int) -> str:
    """A text with its differences from the reference marked."""
    return markup.mark_differences(row["answers"][at], row["reference"])
