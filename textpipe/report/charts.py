"""Charts as inline SVG, small enough for a phone, in colours defined by the page's style.

A chart is a <figure> with a title, the drawing, and a collapsible table of its values. Nothing is fetched and no script
runs: tooltips are <title> elements.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from textpipe.report.axes import (  # fmt: skip
    BOTTOM,
    HEIGHT,
    LETTER_WIDTH,
    RIGHT,
    TOP,
    WIDTH,
    Scale,
    axes,
    bar,
    dot,
    element,
    frame,
    label,
    line,
    ticks,
)
from textpipe.report.markup import attribute, escape, format_number, table

MAX_POINTS = 240  # of a line; more points are averaged in groups
MAX_BAR_WIDTH = 70  # in pixels
FEW_COLUMNS = 6  # up to this many columns a heat map's headings are horizontal
MANY_COLUMNS = 10  # with more columns its cells are narrow
MAX_TABLE_ROWS = 400  # a chart with more rows has no table


@dataclass(frozen=True)
class Series:
    """Named points; low and high, if given, are the bounds of an interval around each y.

    colour: "a", "b", "c" or "faint"; points: whether every point of a line is marked; notes: tooltips of the points.
    """

    name: str
    xs: Sequence[float]
    ys: Sequence[float]
    colour: str = "a"
    points: bool = False
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    notes: Sequence[str] = ()


def figure(
    title: str, drawing: str, *, series: Sequence[Series] = (), note: str = "", data: str = "", height: float = HEIGHT
) -> str:
    """A chart with a title, a legend if there are several series, a note, and a collapsible table."""
    legend = ""
    if len(series) > 1:
        # A line of a single point is drawn as a point, also in the legend.
        shapes = ["key point" if len(line.xs) == 1 else "key" for line in series]
        items = "".join(
            f'<li><i class="{shape} {line.colour}"></i>{escape(line.name)}</li>'
            for line, shape in zip(series, shapes, strict=True)
        )
        legend = f'<ul class="keys">{items}</ul>'
    svg = f'<svg viewBox="0 0 {WIDTH} {height:g}" role="img" aria-label="{attribute(title)}">{drawing}</svg>'
    notes = f'<p class="note">{escape(note)}</p>' if note else ""
    details = f"<details><summary>Figures</summary>{data}</details>" if data else ""
    return f"<figure><figcaption>{escape(title)}</figcaption>{legend}{svg}{notes}{details}</figure>"


def downsample(xs: Sequence[float], ys: Sequence[float], limit: int = MAX_POINTS) -> tuple[list[float], list[float]]:
    """At most `limit` points: means of groups of adjacent points."""
    size = math.ceil(len(xs) / limit)
    if size <= 1:
        return list(xs), list(ys)
    parts = [slice(at, at + size) for at in range(0, len(xs), size)]
    return [sum(xs[p]) / len(xs[p]) for p in parts], [sum(ys[p]) / len(ys[p]) for p in parts]


def lines(
    title: str, series: Sequence[Series], x_label: str, *, note: str = "", zero: bool = False, integer: bool = False,
    mark: tuple[float, float, str] | None = None, data: bool = True,
) -> str:  # fmt: skip
    """Lines over a number axis; mark: a labelled point (x, y, text); data: whether to add a table."""
    x, y = axes([v for s in series for v in s.xs], [v for s in series for v in s.ys], zero=zero, integer=integer)
    out = [frame(x, y, x_label)]
    for curve in series:
        xs, ys = downsample(curve.xs, curve.ys)
        path = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in zip(xs, ys, strict=True))
        out.append(element("polyline", f"line {curve.colour}", points=path))
        if curve.points or len(xs) == 1:
            tooltips = [
                f"{curve.name}: {format_number(b)} at {x_label} {format_number(a)}" for a, b in zip(xs, ys, strict=True)
            ]
            radius = 3.0 if len(xs) == 1 else 2.2
            out += [
                dot(x(a), y(b), curve.colour, tooltip, radius) for a, b, tooltip in zip(xs, ys, tooltips, strict=True)
            ]
    if mark:
        out.append(named_point(x, y, series, *mark))
    rows = ""
    if data and max(len(curve.xs) for curve in series) <= MAX_TABLE_ROWS:
        rows = table([x_label, *(curve.name for curve in series)], table_rows(series), texts=())
    return figure(title, "".join(out), series=series, note=note, data=rows)


def named_point(x: Scale, y: Scale, series: Sequence[Series], at_x: float, at_y: float, text: str) -> str:
    """A ring around a point, and a label: below if all other lines are above and there is space, else above."""
    right = x(at_x) > x.middle
    others = [
        curve.ys[max(at for at, a in enumerate(curve.xs) if a <= at_x)] for curve in series if min(curve.xs) <= at_x
    ]
    has_space = y(at_y) + 20 < HEIGHT - BOTTOM  # above the tick labels
    below = y(at_y) < TOP + 24 or (has_space and len(others) > 1 and at_y <= min(others))
    position = x(at_x) + (4 if right else -4), y(at_y) + (18 if below else -10)
    ring = element("circle", "ring", cx=x(at_x), cy=y(at_y), r=4.5)
    return ring + label(*position, text, "end" if right else "start", "mark")


def table_rows(series: Sequence[Series]) -> list[list[float | None]]:
    """Rows of x and the y of each series."""
    points = [dict(zip(curve.xs, curve.ys, strict=True)) for curve in series]
    return [[x, *(values.get(x) for values in points)] for x in sorted({x for curve in series for x in curve.xs})]


def bars(
    title: str, labels: Sequence[str], series: Sequence[Series], x_label: str, *, note: str = "",
    counts: Sequence[int] | None = None,
) -> str:  # fmt: skip
    """Groups of bars with intervals; the ys of a series are by label, its xs unused; counts: number of rows per label."""
    ends = [v for group in series for v in (*group.ys, *group.low, *group.high)]
    x, y = axes([-0.5, len(labels) - 0.5], ends, zero=True)
    x.ticks = list(range(len(labels)))
    out = [frame(x, y, x_label, x_labels=labels)]
    half_width = min(0.36, MAX_BAR_WIDTH * len(series) / 2 / (x(1) - x(0)))
    band = 2 * half_width / len(series)
    for at, group in enumerate(series):
        for i, value in enumerate(group.ys):
            left, right = x(i - half_width + at * band), x(i - half_width + (at + 1) * band)
            tooltip = f"{labels[i]}: {group.name} {format_number(value)}"
            if group.low:
                tooltip += f" [{format_number(group.low[i])}, {format_number(group.high[i])}]"
            if counts:
                tooltip += f", {counts[i]:,} rows"
            out.append(bar(left + 0.5, y(max(value, 0)), right - 0.5, y(min(value, 0)), group.colour, tooltip))
            if group.low:
                middle = (left + right) / 2
                out.append(line(middle, y(group.low[i]), middle, y(group.high[i]), "whisker"))
    headers = [x_label, *(["rows"] if counts else [])]
    for group in series:
        headers += [group.name, *(["low", "high"] if group.low else [])]
    rows = []
    for i, word in enumerate(labels):
        row: list[object] = [word, *([counts[i]] if counts else [])]
        for group in series:
            row += [group.ys[i], *([group.low[i], group.high[i]] if group.low else [])]
        rows.append(row)
    return figure(title, "".join(out), series=series, note=note, data=table(headers, rows))


def histogram(
    title: str, values: Sequence[float], x_label: str, *, low: float, high: float, bins: int = 24, note: str = "",
    mark: tuple[float, str] | None = None, counted: str = "rows",
) -> str:  # fmt: skip
    """Counts of values in bins of equal width; values out of range count in the first or last bin.

    mark: a position on the x axis and its label; counted: the unit of the counts.
    """
    counts = [0] * bins
    for value in values:
        counts[min(bins - 1, max(0, int((value - low) / (high - low) * bins)))] += 1
    x, y = axes([low, high], [0, *counts], zero=True)
    edges = [low + at * (high - low) / bins for at in range(bins + 1)]
    spans = [f"{format_number(a, 3)} – {format_number(b, 3)}" for a, b in pairwise(edges)]
    out = [frame(x, y, x_label)]
    for count, span, (left, right) in zip(counts, spans, pairwise(edges), strict=True):
        if count:
            out.append(bar(x(left) + 0.4, y(count), x(right) - 0.4, y(0), "a", f"{span}: {count:,} {counted}"))
    if mark and low <= mark[0] <= high:
        at = x(mark[0])
        side = (-4, "end") if at > x.middle else (4, "start")
        out += [line(at, TOP, at, y(0), "rule"), label(at + side[0], TOP + 9, mark[1], side[1], "mark")]
    return figure(title, "".join(out), note=note, data=table([x_label, counted], zip(spans, counts, strict=True)))


def points(
    title: str, series: Series, x_label: str, y_label: str, *, low: float, high: float, note: str = "",
    radius: Callable[[int], float] = lambda at: 2.2, many: bool = False,
) -> str:  # fmt: skip
    """Dots over two axes of the same range, and the diagonal.

    many: the dots are transparent and have no table.
    """
    x, y = axes([low, high], [low, high])
    out = [line(x(low), y(low), x(high), y(high), "rule")]
    for at, (a, b) in enumerate(zip(series.xs, series.ys, strict=True)):
        if series.low:
            out.append(line(x(a), y(series.low[at]), x(a), y(series.high[at]), "whisker"))
        tooltip = series.notes[at] if series.notes else f"{format_number(a)}, {format_number(b)}"
        out.append(dot(x(a), y(b), series.colour, tooltip, radius(at)))
    axis = frame(x, y, x_label) + label(x.start + 4, TOP + 10, f"↑ {y_label}", "start", "name")
    dots = element("g", "many" if many else "", "".join(out))
    data = "" if many else table([x_label, y_label], zip(series.xs, series.ys, strict=True), texts=())
    return figure(title, axis + dots, note=note, data=data)


def intervals(
    title: str, labels: Sequence[str], values: Sequence[float], low: Sequence[float], high: Sequence[float],
    x_label: str, *, p_values: Sequence[str], note: str = "",
) -> str:  # fmt: skip
    """One row per label: its value as a dot on its interval, and a vertical line at 0."""
    step, top = 30, 12
    base = top + step * len(labels)
    marks = ticks(min(0.0, *low), max(0.0, *high))
    left = 12 + LETTER_WIDTH * max(map(len, labels))
    x = Scale(marks[0], marks[-1], left, WIDTH - RIGHT - 8, marks)
    out = []
    for tick, word in zip(x.ticks, x.tick_labels(), strict=True):
        out.append(line(x(tick), top, x(tick), base, "grid" if tick else "rule"))
        out.append(label(x(tick), base + 15, word, "middle"))
    out.append(label(x.middle, base + BOTTOM - 4, x_label, "middle", "name"))
    rows = list(zip(labels, values, low, high, p_values, strict=True))
    for at, (word, value, start, end, p) in enumerate(rows):
        middle = top + step * (at + 0.5)
        tooltip = f"{word}: {format_number(value)} [{format_number(start)}, {format_number(end)}], p {p}"
        out.append(label(left - 8, middle + 4, word, "end", "row"))
        out += [line(x(start), middle, x(end), middle, "span a"), dot(x(value), middle, "a", tooltip, 4)]
    data = table(["", "value", "low", "high", "p"], rows)
    return figure(title, "".join(out), note=note, data=data, height=base + BOTTOM)


def heat_map(
    title: str, weights: Sequence[Sequence[float]], rows: Sequence[str], columns: Sequence[str], *, row_name: str,
    column_name: str, format_cell: Callable[[float], str], highest: float = 1.0, note: str = "",
) -> str:  # fmt: skip
    """A table whose cells are coloured by value: weights [rows, columns], from 0 to highest.

    As a table it scrolls, screen readers announce its headings, and right-to-left words are displayed correctly.
    """
    head = "".join(f'<th scope="col"><span dir="auto">{escape(word)}</span></th>' for word in columns)
    body = []
    for word, values in zip(rows, weights, strict=True):
        cells = []
        for value in values:
            depth = min(1.0, max(0.0, value / highest)) if highest else 0.0
            # Text on a dark cell needs the other colour, at a lower depth on a dark page than on a light one.
            strong = ' class="s"' if depth > 0.8 else ' class="m"' if depth > 0.6 else ""
            cells.append(f'<td{strong} style="--w:{depth:.2f}">{escape(format_cell(value))}</td>')
        body.append(f'<tr><th scope="row" dir="auto">{escape(word)}</th>{"".join(cells)}</tr>')
    corner = f'<td class="corner"><span class="quiet">{escape(column_name)} →<br>{escape(row_name)} ↓</span></td>'
    size = " few" if len(columns) <= FEW_COLUMNS else " many" if len(columns) > MANY_COLUMNS else ""
    notes = f'<p class="note">{escape(note)}</p>' if note else ""
    return (
        f'<figure class="wide"><figcaption dir="auto">{escape(title)}</figcaption>'
        f'<div class="scroll" tabindex="0" role="region" aria-label="{attribute(title)}"><table class="heat{size}">'
        f"<thead><tr>{corner}{head}</tr></thead><tbody>{''.join(body)}</tbody></table></div>{notes}</figure>"
    )
