"""The results of `textpipe compare`: metrics with their significance, and the rows on which systems differ most."""

from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

from textpipe.report.number_format import format_figure, format_interval, format_p_value, format_signed
from textpipe.report.system_answers import Answers

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, repr=False, eq=False)
class Comparison:
    """K systems on N rows; the first is the baseline.

    table: the output of --json; drawn: resampled metrics [K, R] by name; scores [K, N]: chrF of each text, or 1 for a
    correct label and 0 for a wrong one.
    """

    systems: Sequence[Answers]
    table: dict[str, Any]
    drawn: dict[str, Any]
    scores: Any

    @property
    def frame(self) -> "pd.DataFrame":
        """A DataFrame with one row per metric and system: value, low and high of its interval, difference from the first
        system with its interval, and both p-values."""
        import pandas as pd

        rows = []
        for metric, results in self.table["metrics"].items():
            for name, figures in zip(self.table["systems"], results["systems"], strict=True):
                low, high = figures["interval"]
                row = {"metric": metric, "system": name, "value": figures["value"], "low": low, "high": high}
                row["difference"] = figures.get("difference")
                row["difference_low"], row["difference_high"] = figures.get("difference_interval") or (None, None)
                rows.append(row | {name: figures.get(name) for name in ("p_bootstrap", "p_randomization")})
        figures = [name for name in rows[0] if name not in ("metric", "system")]
        return pd.DataFrame(rows).astype(dict.fromkeys(figures, float))

    @property
    def rows(self) -> "pd.DataFrame":
        """A DataFrame with one row per source: source, reference, and for each system its answer and the row's score: chrF
        of a text, 1 or 0 of a label."""
        import pandas as pd

        rows = self.systems[0].rows
        columns: dict[str, Any] = {"source": rows.sources, "reference": rows.references}
        for system, scores in zip(self.systems, self.scores, strict=True):
            columns |= {f"answer, {system.name}": system.answers, f"score, {system.name}": scores}
        return pd.DataFrame(columns)

    def __str__(self) -> str:
        return render_text(self)

    def __repr__(self) -> str:
        first = next(iter(self.table["metrics"]))
        figures = self.table["metrics"][first]["systems"]
        values = ", ".join(
            f"{name} {format_figure(result['value'])}"
            for name, result in zip(self.table["systems"], figures, strict=True)
        )
        return f"Comparison({self.table['rows']} rows, {first}: {values})"

    def _repr_html_(self) -> str:
        """The metrics as a table, for notebooks."""
        return self.frame.to_html(index=False, na_rep="", float_format="{:.4g}".format)


def compare(
    systems: Sequence[Answers],
    *,
    resamples: int = 1000,
    trials: int = 10_000,
    seed: int = 12345,
    show: int = 5,
    bleu_tokenizer: str = "auto",
) -> Comparison:
    """Compare systems on the same rows; show: number of rows kept on which a system is better, and worse, than the first."""
    from textpipe.metrics import comparison, significance

    rows, answers = systems[0].rows, [system.answers for system in systems]
    compared = rows.view.compared
    measures = compared.measures(answers, rows.references, bleu_tokenizer)
    metrics, drawn = comparison.compare(measures, resamples=resamples, trials=trials, seed=seed)
    scores = compared.row_scores(answers, rows.references)
    table = {
        "rows": len(rows),
        "kind": rows.target.kind,
        "level": significance.LEVEL,
        "resamples": resamples,
        "trials": trials,
        "seed": seed,
        "systems": [system.name for system in systems],
        "positive": compared.positive(answers, rows.references, metrics),
        "metrics": metrics,
        "pairs": [compare_pair(systems[0], other, scores[[0, at]], show) for at, other in enumerate(systems[1:], 1)],
    }
    return Comparison(systems, table, drawn, scores)


def compare_pair(first: Answers, other: Answers, scores: Any, show: int) -> dict[str, Any]:
    """Compare one system with the baseline: rows with the same answer, and the rows on which they differ most.

    scores [2, N] of the two. Rows are ordered by difference; with labels, by the confidence of the wrong answer.
    """
    rows, compared = first.rows, first.rows.view.compared
    difference = scores[1] - scores[0]
    equal = sum(a == b for a, b in zip(first.answers, other.answers, strict=True))
    result: dict[str, Any] = {"baseline": first.name, "system": other.name, "same_answer": equal}
    result |= compared.agreement(first, other, rows.references)

    def entry(at: int) -> dict[str, Any]:
        line = {"row": at + 1, "source": rows.sources[at], "reference": rows.references[at]}
        line["answers"] = [first.answers[at], other.answers[at]]
        return line | compared.row(at, first, other, scores)

    better = [at for at in range(len(rows)) if difference[at] > 0]
    worse = [at for at in range(len(rows)) if difference[at] < 0]
    gain, loss = compared.order(first, other, difference)
    better.sort(key=gain)
    worse.sort(key=loss)
    return result | {
        "better_rows": len(better),
        "worse_rows": len(worse),
        "better": [entry(at) for at in better[:show]],
        "worse": [entry(at) for at in worse[:show]],
    }


def render_text(comparison: Comparison) -> str:
    """The comparison for the terminal: a block per metric, then the rows that differ most."""
    table = comparison.table
    names, width = table["systems"], max(map(len, table["systems"]))
    header = (
        f"{table['rows']} rows; {100 * table['level']:.0f} % intervals from {table['resamples']:,} paired resamples; "
        f"p-values two-sided, by bootstrap and by {table['trials']:,} random swaps"
    )
    lines = [header, ""]
    titles = {name: f"f1 of {one_line(table['positive'])}" if name == "f1" else name for name in table["metrics"]}
    label = max(map(len, titles.values()))
    for name, metric in table["metrics"].items():
        for at, system in enumerate(metric["systems"]):
            line = f"{titles[name] if not at else '':<{label}}  {names[at]:<{width}}  {format_figure(system['value']):>7}  "
            line += f"{format_interval(system['interval']):<16}"
            if at:
                line += f"  {format_signed(system['difference'])} {format_interval(system['difference_interval'], format_signed):<18}"
                line += f"  p {format_p_value(system['p_bootstrap'])}, {format_p_value(system['p_randomization'])}"
            lines.append(line.rstrip())
    lines += [
        "",
        *(f"{name}: {metric['signature']}" for name, metric in table["metrics"].items() if metric["signature"]),
    ]
    if any(metric["less_is_better"] for metric in table["metrics"].values()):
        lines.append("ter: lower is better")
    for pair in table["pairs"]:
        lines += ["", *pair_lines(pair, comparison.systems[0].rows.view.compared)]
    return "\n".join(line.rstrip() for line in lines).strip()


def pair_lines(pair: dict[str, Any], compared: ModuleType) -> list[str]:
    """The rows of a pair of systems as lines of text."""
    baseline, system = pair["baseline"], pair["system"]
    lines = [f"{system} vs. {baseline}: the same answer to {pair['same_answer']} rows"]
    lines[0] += compared.summary(pair)
    width = max(len("reference"), len(baseline), len(system))
    for title, rows in (("better", pair["better"]), ("worse", pair["worse"])):
        for row in rows:
            measure = compared.measure(row, title == "better", system)
            lines += ["", f"row {row['row']}, {title}, {measure}", f"  {'source':<{width}}  {one_line(row['source'])}"]
            references = [row["reference"]] if isinstance(row["reference"], str) else row["reference"]
            lines += [f"  {'reference':<{width}}  {one_line(reference)}" for reference in references]
            lines += [
                f"  {name:<{width}}  {one_line(a)}" for name, a in zip((baseline, system), row["answers"], strict=True)
            ]
    return lines


def one_line(answer: str) -> str:
    """A text on one line of a terminal, without control characters."""
    joined = " / ".join(part.strip() for part in answer.splitlines() if part.strip())
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in joined)
