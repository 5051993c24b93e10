"""The page of `textpipe compare --html`: differences, their causes, and the rows that differ most."""

import math
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from textpipe.report import charts, markup, page
from textpipe.report.comparison import Comparison
from textpipe.report.number_format import format_p_value, format_signed
from textpipe.report.page import Section, card_group, metric_title, row_card
from textpipe.version import __version__


def write(comparison: Comparison, path: Path) -> None:
    """Write the page as a single file that fetches nothing."""
    page.write(path, document(comparison))


def document(comparison: Comparison) -> str:
    """The page as HTML."""
    table = comparison.table
    first = next(iter(table["metrics"].values()))
    name = metric_title(next(iter(table["metrics"])))
    tiles = []
    for at, (system, figures) in enumerate(zip(table["systems"], first["systems"], strict=True)):
        low, high = figures["interval"]
        note = f"{name}, 95 %: {markup.format_number(low)} to {markup.format_number(high)}"
        if at:
            note = f"{name}, {format_signed(figures['difference'])}, p {format_p_value(figures['p_bootstrap'])}"
        tiles.append(page.tile(markup.plain_text(system), markup.format_number(figures["value"]), note))
    sections = [scores_section(comparison)]
    for at, pair in enumerate(table["pairs"], 1):
        sections.append(pair_section(comparison, pair, at))
    sections[1:1] = comparison.systems[0].rows.view.compared.sections(comparison)
    title = " or ".join(table["systems"]) + "?"
    about = (
        f"{table['rows']:,} rows; {100 * table['level']:.0f} % intervals from {table['resamples']:,} paired resamples; "
        f"p-values are two-sided, by paired bootstrap and by {table['trials']:,} random swaps"
    )
    return page.document(title, about, sections, tiles=tiles, footer=f"textpipe {__version__} · seed {table['seed']}")


def scores_section(comparison: Comparison) -> Section:
    """A table of all metrics, with differences and p-values."""
    table = comparison.table
    rows: list[list[Any]] = []
    for name, metric in table["metrics"].items():
        for system, figures in zip(table["systems"], metric["systems"], strict=True):
            low, high = figures["interval"]
            row: list[Any] = [
                metric_title(name, table["positive"]) + (" (lower is better)" if metric["less_is_better"] else ""),
                system,
                figures["value"],
                low,
                high,
            ]
            if "difference" in figures:
                row += [format_signed(figures["difference"]), *map(format_signed, figures["difference_interval"])]
                row += [format_p_value(figures["p_bootstrap"]), format_p_value(figures["p_randomization"])]
            else:
                row += [None] * 5
            rows.append(row)
    headers = ["", "system", "value", "95 % from", "to", "difference", "95 % from", "to", "p, bootstrap", "p, swaps"]
    body = f'<div class="card">{markup.table(headers, rows, texts=(0, 1), caption="Figures")}</div>'
    signatures = [
        [metric_title(name), metric["signature"]] for name, metric in table["metrics"].items() if metric["signature"]
    ]
    if signatures:
        body += page.collapsible("Signatures", markup.table(["", "sacrebleu"], signatures, texts=(0, 1)))
    lead = f"Differences are relative to {table['systems'][0]}."
    return Section("Scores", "scores", body, lead)


def pair_section(comparison: Comparison, pair: dict[str, Any], at: int) -> Section:
    """One system compared with the baseline: charts of the differences, and the rows that differ most."""
    table, baseline, system = comparison.table, pair["baseline"], pair["system"]
    compared = comparison.systems[0].rows.view.compared
    figures = [difference_chart(comparison, at)]
    name = next(iter(table["metrics"]))
    gaps = (comparison.drawn[name][at] - comparison.drawn[name][0]).tolist()
    low, high, bins = bins_about_zero(gaps, compared.step(comparison))
    figures.append(
        charts.histogram(
            f"Difference of {metric_title(name)} in {table['resamples']:,} resamples", gaps, f"{system} minus {baseline}",
            low=low, high=high, bins=bins, mark=(0.0, "no difference"), counted="resamples",
        )
    )  # fmt: skip
    figures += compared.charts_of(comparison, pair, at)
    cards = [[card(pair, row, compared) for row in pair[side]] for side in ("better", "worse")]
    body = f'<div class="charts">{"".join(figures)}</div>'
    for side, shown in zip(("better", "worse"), cards, strict=True):
        body += card_group(
            f"{system} is {side}: {len(shown)} of {pair[side + '_rows']:,} rows", shown, opened=side == "better"
        )
    return Section(f"{system} vs. {baseline}", f"pair{at}", body, compared.lead(comparison, pair))


def bins_about_zero(values: Sequence[float], step: float) -> tuple[float, float, int]:
    """Range and number of equal bins, about 32, that contain all values, with 0 in the middle of a bin.

    step: values are multiples of it; 0 for arbitrary values. The bin width is then an odd number of steps, so that each
    bin holds equally many possible values, and none lies on an edge.
    """
    low, high = min(0.0, *values), max(0.0, *values)
    width = max(high - low, step, 1e-9) / 32
    if step:
        width = step * (2 * math.floor(width / step / 2) + 1)
    first, last = (math.floor(end / width + 0.5) for end in (low, high))
    return (first - 0.5) * width, (last + 0.5) * width, last - first + 1


def difference_chart(comparison: Comparison, at: int) -> str:
    """The differences of all metrics as intervals, improvements to the right."""
    labels, values, low, high, p_values = [], [], [], [], []
    for name, metric in comparison.table["metrics"].items():
        figures = metric["systems"][at]
        sign = -1 if metric["less_is_better"] else 1
        bounds = sorted(sign * bound for bound in figures["difference_interval"])
        labels.append(("−" if sign < 0 else "") + metric_title(name, comparison.table["positive"]))
        values.append(sign * figures["difference"])
        low.append(bounds[0])
        high.append(bounds[1])
        p_values.append(format_p_value(figures["p_bootstrap"]))
    note = "Right of the dashed line the second system is better; an interval that crosses it may be due to chance."
    return charts.intervals(
        "Differences with their 95 % intervals", labels, values, low, high, "difference", p_values=p_values, note=note
    )


def card(pair: dict[str, Any], row: dict[str, Any], compared: ModuleType) -> str:
    """A row with both answers."""
    facts = [f"row {row['row']}", *compared.facts(row)]
    entries = [("source", markup.text_html(row["source"])), ("reference", page.references_html(row["reference"]))]
    for at, name in enumerate((pair["baseline"], pair["system"])):
        entries.append((name, compared.answer(row, at)))
    return row_card(facts, entries)
