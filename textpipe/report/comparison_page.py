"""The page of `textpipe compare --html`: differences, where they come from, and the rows that differ most."""

import math
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from textpipe.report import charts, markup, page
from textpipe.report.comparison import Comparison
from textpipe.report.number_format import p_value, signed
from textpipe.report.page import Section, group, sentence, titled
from textpipe.version import __version__


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
    sections[1:1] = found.systems[0].rows.view.compared.sections(found)
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


def beside(found: Comparison, pair: dict[str, Any], at: int) -> Section:
    """One system beside the baseline: its differences drawn, and the rows that differ most."""
    table, first, other = found.table, pair["baseline"], pair["system"]
    compared = found.systems[0].rows.view.compared
    drawn = [differences(found, at)]
    name = next(iter(table["metrics"]))
    apart = (found.drawn[name][at] - found.drawn[name][0]).tolist()
    low, high, bins = bins_about_zero(apart, compared.step(found))
    drawn.append(
        charts.histogram(
            f"Difference of {titled(name)} in {table['resamples']:,} resamples", apart, f"{other} minus {first}",
            low=low, high=high, bins=bins, mark=(0.0, "no difference"), counted="resamples",
        )
    )  # fmt: skip
    drawn += compared.charts_of(found, pair, at)
    cards = [[card(pair, row, compared) for row in pair[side]] for side in ("better", "worse")]
    body = f'<div class="charts">{"".join(drawn)}</div>'
    for side, shown in zip(("better", "worse"), cards, strict=True):
        body += group(
            f"{other} is {side}: {len(shown)} of {pair[side + '_rows']:,} rows", shown, opened=side == "better"
        )
    return Section(f"{other} beside {first}", f"pair{at}", body, compared.lead(found, pair))


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


def card(pair: dict[str, Any], row: dict[str, Any], compared: ModuleType) -> str:
    """A row with both answers."""
    facts = [f"row {row['row']}", *compared.facts(row)]
    entries = [("source", markup.shown(row["source"])), ("reference", page.references(row["reference"]))]
    for at, name in enumerate((pair["baseline"], pair["system"])):
        entries.append((name, compared.answer(row, at)))
    return sentence(facts, entries)
