"""The page of `textpipe compare --html`: differences, where they come from, and the rows that differ most."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from textpipe.report import charts, markup, page, texts
from textpipe.report.charts import Series
from textpipe.report.comparison import Comparison, p_value, signed
from textpipe.report.page import Section, group, sentence, titled
from textpipe.version import __version__

RESAMPLES = 300  # behind the intervals of rows of like length


def write(found: Comparison, path: Path) -> None:
    """Write the page; it is one file and fetches nothing."""
    page.write(path, document(found))


def document(found: Comparison) -> str:
    """The page as HTML."""
    table = found.table
    first = next(iter(table["metrics"].values()))
    name = titled(next(iter(table["metrics"])))
    tiles = []
    for at, (system, figures) in enumerate(zip(table["systems"], first["systems"], strict=True)):
        low, high = figures["interval"]
        said = f"{name}, 95 %: {markup.number(low)} to {markup.number(high)}"
        if at:
            said = f"{name}, {signed(figures['difference'])}, p {p_value(figures['p_bootstrap'])}"
        tiles.append(page.tile(markup.plain(system), markup.number(figures["value"]), said))
    sections = [scores(found)]
    for at, pair in enumerate(table["pairs"], 1):
        sections.append(beside(found, pair, at))
    if table["kind"] == "text":
        sections.insert(1, by_length(found))
    title = " or ".join(table["systems"]) + "?"
    about = (
        f"{table['rows']:,} rows; {100 * table['level']:.0f} % intervals from {table['resamples']:,} paired resamples; "
        f"p-values are two-sided, by paired bootstrap and by {table['trials']:,} random swaps"
    )
    return page.document(title, about, sections, tiles=tiles, footer=f"textpipe {__version__} · seed {table['seed']}")


def scores(found: Comparison) -> Section:
    """A table of all figures, and the differences as intervals."""
    table = found.table
    rows: list[list[Any]] = []
    for name, metric in table["metrics"].items():
        for system, figures in zip(table["systems"], metric["systems"], strict=True):
            low, high = figures["interval"]
            row: list[Any] = [
                titled(name, table["positive"]) + (" (less is better)" if metric["less_is_better"] else ""),
                system,
                figures["value"],
                low,
                high,
            ]
            if "difference" in figures:
                row += [signed(figures["difference"]), *map(signed, figures["difference_interval"])]
                row += [p_value(figures["p_bootstrap"]), p_value(figures["p_randomization"])]
            else:
                row += [None] * 5
            rows.append(row)
    headers = ["", "system", "value", "95 % from", "to", "difference", "95 % from", "to", "p, bootstrap", "p, swaps"]
    body = f'<div class="card">{markup.table(headers, rows, texts=(0, 1), caption="Figures")}</div>'
    signatures = [
        [titled(name), metric["signature"]] for name, metric in table["metrics"].items() if metric["signature"]
    ]
    if signatures:
        body += page.opening("Signatures", markup.table(["", "sacrebleu"], signatures, texts=(0, 1)))
    lead = f"Differences are from {table['systems'][0]}."
    return Section("Scores", "scores", body, lead)


def by_length(found: Comparison) -> Section:
    """BLEU of each system on rows of like source length."""
    import numpy as np

    from textpipe.scores import bleu_tokenizers, corpus, generation, significance

    rows = found.systems[0].rows
    lengths = [len(source.split()) for source in rows.sources]
    ranges = texts.groups(lengths)
    members = [np.array([low <= length <= high for length in lengths]) for low, high in ranges]
    tokenize = bleu_tokenizers.of_signature(found.table["metrics"]["bleu"]["signature"])
    series = []
    for system, colour in zip(found.systems[:3], "abc", strict=False):
        statistics = generation.bleu_statistics(system.answers, rows.references, lowercase=False, tokenize=tokenize)
        parts = [statistics[chosen] for chosen in members]
        drawn = [
            significance.resampled(corpus.Measure("bleu", [part], corpus.bleu), resamples=RESAMPLES, seed=1)[0]
            for part in parts
        ]
        bounds = [significance.interval(one) for one in drawn]
        values = [float(corpus.bleu(part.sum(axis=0)[None])[0]) for part in parts]
        series.append(Series(system.name, [], values, colour, low=[b[0] for b in bounds], high=[b[1] for b in bounds]))
    labels = [f"{low}" if low == high else f"{low}–{high}" for low, high in ranges]
    counts = [int(chosen.sum()) for chosen in members]
    chart = charts.bars("BLEU by source length", labels, series, "words in the source", counts=counts)
    shares = [count / len(rows) for count in range(1, len(rows) + 1)]
    spread = charts.lines(
        "Share of rows up to a chrF",
        [
            Series(system.name, sorted(found.scores[at].tolist()), shares, colour)
            for at, (system, colour) in enumerate(zip(found.systems[:3], "abc", strict=False))
        ],
        "chrF of a row", note="The lower a line runs, the better its system's rows.", data=False,
    )  # fmt: skip
    return Section("Rows", "rows", f'<div class="half">{chart}{spread}</div>')


def beside(found: Comparison, pair: dict[str, Any], at: int) -> Section:
    """One system beside the baseline: its differences drawn, and the rows that differ most."""
    table, first, other = found.table, pair["baseline"], pair["system"]
    drawn = [differences(found, at)]
    name = next(iter(table["metrics"]))
    apart = (found.drawn[name][at] - found.drawn[name][0]).tolist()
    low, high, bins = bins_about_zero(apart, 1 / table["rows"] if table["kind"] == "label" else 0.0)
    drawn.append(
        charts.histogram(
            f"Difference of {titled(name)} in {table['resamples']:,} resamples", apart, f"{other} minus {first}",
            low=low, high=high, bins=bins, mark=(0.0, "no difference"), counted="resamples",
        )
    )  # fmt: skip
    if table["kind"] == "label":
        drawn.append(agreement(pair))
        lead = (
            f"The same answer to {pair['same_answer']:,} of {table['rows']:,} rows; McNemar's exact test gives "
            f"p {p_value(pair['p_mcnemar'])}."
        )
    else:
        ours, theirs = (found.scores[system].tolist() for system in (0, at))
        notes = [f"row {row + 1}: {a:.1f} and {b:.1f}" for row, (a, b) in enumerate(zip(ours, theirs, strict=True))]
        drawn.append(
            charts.points(
                "chrF row by row", Series("rows", ours, theirs, "a", notes=notes), first, other, low=0, high=100,
                note="Above the dashed line the answer of the second is better.", many=True,
            )
        )  # fmt: skip
        lead = (
            f"The same answer to {pair['same_answer']:,} of {table['rows']:,} rows; by chrF {other} is better on "
            f"{pair['better_rows']:,} and worse on {pair['worse_rows']:,}."
        )
    cards = [[card(pair, row, table["kind"]) for row in pair[side]] for side in ("better", "worse")]
    body = f'<div class="charts">{"".join(drawn)}</div>'
    for side, shown in zip(("better", "worse"), cards, strict=True):
        body += group(
            f"{other} is {side}: {len(shown)} of {pair[side + '_rows']:,} rows", shown, opened=side == "better"
        )
    return Section(f"{other} beside {first}", f"pair{at}", body, lead)


def bins_about_zero(values: Sequence[float], step: float) -> tuple[float, float, int]:
    """Ends and number of equal bins, about 32, that hold all values, 0 in the middle of one of them.

    step: what values are multiples of, 0 for any values. Bins are then as wide as an odd number of steps, so that each
    holds equally many possible values and none lies on an edge: no bin is empty for want of them.
    """
    low, high = min(0.0, *values), max(0.0, *values)
    width = max(high - low, step, 1e-9) / 32
    if step:
        width = step * (2 * math.floor(width / step / 2) + 1)
    first, last = (math.floor(end / width + 0.5) for end in (low, high))
    return (first - 0.5) * width, (last + 0.5) * width, last - first + 1


def differences(found: Comparison, at: int) -> str:
    """The differences of all metrics as intervals, gains to the right."""
    labels, values, low, high, p_values = [], [], [], [], []
    for name, metric in found.table["metrics"].items():
        figures = metric["systems"][at]
        sign = -1 if metric["less_is_better"] else 1
        bounds = sorted(sign * bound for bound in figures["difference_interval"])
        labels.append(("−" if sign < 0 else "") + titled(name, found.table["positive"]))
        values.append(sign * figures["difference"])
        low.append(bounds[0])
        high.append(bounds[1])
        p_values.append(p_value(figures["p_bootstrap"]))
    note = "Right of the dashed line the second is better; an interval that crosses it may be luck."
    return charts.intervals(
        "Differences with their 95 % intervals", labels, values, low, high, "difference", p_values=p_values, note=note
    )


def agreement(pair: dict[str, Any]) -> str:
    """Who is right on how many rows."""
    first, other = pair["baseline"], pair["system"]
    return charts.heat_map(
        "Rows that are right", [[pair["both"], pair["only_first"]], [pair["only_second"], pair["neither"]]],
        ["right", "wrong"], ["right", "wrong"], row_name=first, column_name=other,
        write=lambda count: f"{count:,}", highest=max(pair["both"], 1),
    )  # fmt: skip


def card(pair: dict[str, Any], row: dict[str, Any], kind: str) -> str:
    """A row with both answers."""
    facts = [f"row {row['row']}"]
    if kind == "text":
        facts.append(f"chrF {row['chrf'][0]:.1f} and {row['chrf'][1]:.1f}, {row['difference']:+.1f}")
    entries = [("source", markup.shown(row["source"])), ("reference", page.references(row["reference"]))]
    for at, name in enumerate((pair["baseline"], pair["system"])):
        answer = row["answers"][at]
        if kind == "text":
            entries.append((name, markup.differing(answer, row["reference"])))
        else:
            sure = row["confidence"][at]
            told = f' <span class="quiet">{markup.number(sure, 3)}</span>' if isinstance(sure, float) else ""
            entries.append((name, markup.shown(answer) + told))
    return sentence(facts, entries)
