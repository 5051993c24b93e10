"""What `textpipe compare` finds: figures with their significance, and the rows on which systems differ most."""

from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

from textpipe.report.number_format import figure, p_value, signed, span
from textpipe.report.system_answers import Answers

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, repr=False, eq=False)
class Comparison:
    """K systems on N rows; the first is the baseline.

    table: what --json prints; drawn: resampled figures [K, R] by metric; scores [K, N]: of texts chrF of every answer
    alone, of labels 1 where the answer is right.
    """

    systems: Sequence[Answers]
    table: dict[str, Any]
    drawn: dict[str, Any]
    scores: Any

    @property
    def frame(self) -> "pd.DataFrame":
        """The figures as a DataFrame, a row for each metric and system: value, low and high of its interval, difference
        from the first with its interval, and both p-values."""
        import pandas as pd

        rows = []
        for metric, found in self.table["metrics"].items():
            for name, figures in zip(self.table["systems"], found["systems"], strict=True):
                low, high = figures["interval"]
                row = {"metric": metric, "system": name, "value": figures["value"], "low": low, "high": high}
                row["difference"] = figures.get("difference")
                row["difference_low"], row["difference_high"] = figures.get("difference_interval") or (None, None)
                rows.append(row | {name: figures.get(name) for name in ("p_bootstrap", "p_randomization")})
        figures = [name for name in rows[0] if name not in ("metric", "system")]
        return pd.DataFrame(rows).astype(dict.fromkeys(figures, float))

    @property
    def rows(self) -> "pd.DataFrame":
        """A row for each row that was asked: source, reference, and of each system its answer and the row's score, which
        is chrF of a text and 1 or 0 of a label."""
        import pandas as pd

        asked = self.systems[0].rows
        columns: dict[str, Any] = {"source": asked.sources, "reference": asked.references}
        for one, scores in zip(self.systems, self.scores, strict=True):
            columns |= {f"answer, {one.name}": one.answers, f"score, {one.name}": scores}
        return pd.DataFrame(columns)

    def __str__(self) -> str:
        return text(self)

    def __repr__(self) -> str:
        first = next(iter(self.table["metrics"]))
        figures = self.table["metrics"][first]["systems"]
        told = ", ".join(
            f"{name} {figure(one['value'])}" for name, one in zip(self.table["systems"], figures, strict=True)
        )
        return f"Comparison({self.table['rows']} rows, {first}: {told})"

    def _repr_html_(self) -> str:
        """The figures as a table, for notebooks."""
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
    """Compare systems on the same rows; show: rows kept of those on which one is better, and worse, than the first."""
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
        "pairs": [pair(systems[0], other, scores[[0, at]], show) for at, other in enumerate(systems[1:], 1)],
    }
    return Comparison(systems, table, drawn, scores)


def pair(first: Answers, other: Answers, scores: Any, show: int) -> dict[str, Any]:
    """Of one system beside the baseline: rows answered alike, and the rows on which each is better by most.

    scores [2, N] of the two. Rows come with the greatest difference first; of labels, where the wrong answer was
    surest.
    """
    rows, compared = first.rows, first.rows.view.compared
    difference = scores[1] - scores[0]
    equal = sum(a == b for a, b in zip(first.answers, other.answers, strict=True))
    found: dict[str, Any] = {"baseline": first.name, "system": other.name, "same_answer": equal}
    found |= compared.agreement(first, other, rows.references)

    def shown(at: int) -> dict[str, Any]:
        line = {"row": at + 1, "source": rows.sources[at], "reference": rows.references[at]}
        line["answers"] = [first.answers[at], other.answers[at]]
        return line | compared.row(at, first, other, scores)

    better = [at for at in range(len(rows)) if difference[at] > 0]
    worse = [at for at in range(len(rows)) if difference[at] < 0]
    gain, loss = compared.order(first, other, difference)
    better.sort(key=gain)
    worse.sort(key=loss)
    return found | {
        "better_rows": len(better),
        "worse_rows": len(worse),
        "better": [shown(at) for at in better[:show]],
        "worse": [shown(at) for at in worse[:show]],
    }


def text(found: Comparison) -> str:
    """The comparison as the terminal shows it: a block per metric, then the rows that differ most."""
    table = found.table
    names, width = table["systems"], max(map(len, table["systems"]))
    how = (
        f"{table['rows']} rows; {100 * table['level']:.0f} % intervals from {table['resamples']:,} paired resamples; "
        f"p-values two-sided, by bootstrap and by {table['trials']:,} random swaps"
    )
    lines = [how, ""]
    titles = {name: f"f1 of {one_line(table['positive'])}" if name == "f1" else name for name in table["metrics"]}
    label = max(map(len, titles.values()))
    for name, metric in table["metrics"].items():
        for at, system in enumerate(metric["systems"]):
            line = f"{titles[name] if not at else '':<{label}}  {names[at]:<{width}}  {figure(system['value']):>7}  "
            line += f"{span(system['interval']):<16}"
            if at:
                line += f"  {signed(system['difference'])} {span(system['difference_interval'], signed):<18}"
                line += f"  p {p_value(system['p_bootstrap'])}, {p_value(system['p_randomization'])}"
            lines.append(line.rstrip())
    lines += [
        "",
        *(f"{name}: {metric['signature']}" for name, metric in table["metrics"].items() if metric["signature"]),
    ]
    if any(metric["less_is_better"] for metric in table["metrics"].values()):
        lines.append("of ter less is better")
    for one in table["pairs"]:
        lines += ["", *told(one, found.systems[0].rows.view.compared)]
    return "\n".join(line.rstrip() for line in lines).strip()


def told(one: dict[str, Any], compared: ModuleType) -> list[str]:
    """The rows of a pair, as lines."""
    first, other = one["baseline"], one["system"]
    lines = [f"{other} beside {first}: the same answer to {one['same_answer']} rows"]
    lines[0] += compared.summary(one)
    width = max(len("reference"), len(first), len(other))
    for title, rows in (("better", one["better"]), ("worse", one["worse"])):
        for row in rows:
            measure = compared.measure(row, title == "better", other)
            lines += ["", f"row {row['row']}, {title}, {measure}", f"  {'source':<{width}}  {one_line(row['source'])}"]
            references = [row["reference"]] if isinstance(row["reference"], str) else row["reference"]
            lines += [f"  {'reference':<{width}}  {one_line(reference)}" for reference in references]
            lines += [
                f"  {name:<{width}}  {one_line(a)}" for name, a in zip((first, other), row["answers"], strict=True)
            ]
    return lines


def one_line(answer: str) -> str:
    """A text on one line of a terminal, without marks that would steer it."""
    joined = " / ".join(part.strip() for part in answer.splitlines() if part.strip())
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in joined)
