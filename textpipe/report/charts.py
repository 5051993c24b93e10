"""Charts as inline SVG: drawn small, so that they can be read on a phone, in colours that the page's style names.

A chart is a <figure> with its title, the drawing, and its figures as a table to open. Nothing is fetched, and nothing
runs: a point's figures show as its title.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from textpipe.report.axes import (  # fmt: skip
    BOTTOM,
    HEIGHT,
    LETTER,
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
from textpipe.report.markup import attribute, escape, number, table

POINTS = 240  # of a line; more are averaged in groups
WIDEST = 70  # of a bar, in pixels
FEW = 6  # columns of a heat map whose headings lie flat
MANY = 10  # columns from which its cells are narrow
TABLE = 400  # rows beyond which a chart has no table


@dataclass(frozen=True)
class Series:
    """Named points; low and high, where given, are the ends of an interval about each y.

    colour: "a", "b", "c" or "faint"; points: whether every point of a line is marked; notes: said of each point.
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
    """A chart with its title above, the key of its series, a note, and its table to open."""
    key = ""
    if len(series) > 1:
        # A line of one point is drawn as a point, and so is its key.
        shapes = ["key point" if len(one.xs) == 1 else "key" for one in series]
        items = "".join(
            f'<li><i class="{shape} {one.colour}"></i>{escape(one.name)}</li>'
            for one, shape in zip(series, shapes, strict=True)
        )
        key = f'<ul class="keys">{items}</ul>'
    svg = f'<svg viewBox="0 0 {WIDTH} {height:g}" role="img" aria-label="{attribute(title)}">{drawing}</svg>'
    notes = f'<p class="note">{escape(note)}</p>' if note else ""
    details = f"<details><summary>Figures</summary>{data}</details>" if data else ""
    return f"<figure><figcaption>{escape(title)}</figcaption>{key}{svg}{notes}{details}</figure>"


def thinned(xs: Sequence[float], ys: Sequence[float], limit: int = POINTS) -> tuple[list[float], list[float]]:
    """At most `limit` points: means of groups of neighbours."""
    size = math.ceil(len(xs) / limit)
    if size <= 1:
        return list(xs), list(ys)
    parts = [slice(at, at + size) for at in range(0, len(xs), size)]
    return [sum(xs[p]) / len(xs[p]) for p in parts], [sum(ys[p]) / len(ys[p]) for p in parts]


def lines(
    title: str, series: Sequence[Series], x_label: str, *, note: str = "", zero: bool = False, whole: bool = False,
    mark: tuple[float, float, str] | None = None, data: bool = True,
) -> str:  # fmt: skip
    """Lines over a number axis; mark: a point (x, y, words) to be named; data: whether their table goes with them."""
    x, y = axes([v for s in series for v in s.xs], [v for s in series for v in s.ys], zero=zero, whole=whole)
    out = [frame(x, y, x_label)]
    for one in series:
        xs, ys = thinned(one.xs, one.ys)
        path = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in zip(xs, ys, strict=True))
        out.append(element("polyline", f"line {one.colour}", points=path))
        if one.points or len(xs) == 1:
            told = [f"{one.name}: {number(b)} at {x_label} {number(a)}" for a, b in zip(xs, ys, strict=True)]
            radius = 3.0 if len(xs) == 1 else 2.2
            out += [dot(x(a), y(b), one.colour, said, radius) for a, b, said in zip(xs, ys, told, strict=True)]
    if mark:
        out.append(named_point(x, y, series, *mark))
    given = ""
    if data and max(len(one.xs) for one in series) <= TABLE:
        given = table([x_label, *(one.name for one in series)], by_x(series), texts=())
    return figure(title, "".join(out), series=series, note=note, data=given)


def named_point(x: Scale, y: Scale, series: Sequence[Series], at_x: float, at_y: float, words: str) -> str:
    """A ring about a point and words beside it: beneath where every other line runs above and there is room, else above."""
    right = x(at_x) > x.middle
    others = [one.ys[max(at for at, a in enumerate(one.xs) if a <= at_x)] for one in series if min(one.xs) <= at_x]
    room = y(at_y) + 20 < HEIGHT - BOTTOM  # above the numbers of the axis
    below = y(at_y) < TOP + 24 or (room and len(others) > 1 and at_y <= min(others))
    place = x(at_x) + (4 if right else -4), y(at_y) + (18 if below else -10)
    ring = element("circle", "ring", cx=x(at_x), cy=y(at_y), r=4.5)
    return ring + label(*place, words, "end" if right else "start", "mark")


def by_x(series: Sequence[Series]) -> list[list[float | None]]:
    """Rows of x and each series' y there."""
    at = [dict(zip(one.xs, one.ys, strict=True)) for one in series]
    return [[x, *(found.get(x) for found in at)] for x in sorted({x for one in series for x in one.xs})]


def bars(
    title: str, labels: Sequence[str], series: Sequence[Series], x_label: str, *, note: str = "",
    counts: Sequence[int] | None = None,
) -> str:  # fmt: skip
    """Groups of bars with their intervals; series' ys by label, xs unused; counts: rows behind each label."""
    ends = [v for one in series for v in (*one.ys, *one.low, *one.high)]
    x, y = axes([-0.5, len(labels) - 0.5], ends, zero=True)
    x.ticks = list(range(len(labels)))
    out = [frame(x, y, x_label, x_words=labels)]
    half = min(0.36, WIDEST * len(series) / 2 / (x(1) - x(0)))
    band = 2 * half / len(series)
    for at, one in enumerate(series):
        for place, value in enumerate(one.ys):
            left, right = x(place - half + at * band), x(place - half + (at + 1) * band)
            said = f"{labels[place]}: {one.name} {number(value)}"
            if one.low:
                said += f" [{number(one.low[place])}, {number(one.high[place])}]"
            if counts:
                said += f", {counts[place]:,} rows"
            out.append(bar(left + 0.5, y(max(value, 0)), right - 0.5, y(min(value, 0)), one.colour, said))
            if one.low:
                middle = (left + right) / 2
                out.append(line(middle, y(one.low[place]), middle, y(one.high[place]), "whisker"))
    headers = [x_label, *(["rows"] if counts else [])]
    for one in series:
        headers += [one.name, *(["low", "high"] if one.low else [])]
    rows = []
    for place, word in enumerate(labels):
        row: list[object] = [word, *([counts[place]] if counts else [])]
        for one in series:
            row += [one.ys[place], *([one.low[place], one.high[place]] if one.low else [])]
        rows.append(row)
    return figure(title, "".join(out), series=series, note=note, data=table(headers, rows))


def histogram(
    title: str, values: Sequence[float], x_label: str, *, low: float, high: float, bins: int = 24, note: str = "",
    mark: tuple[float, str] | None = None, counted: str = "rows",
) -> str:  # fmt: skip
    """How many values fall into each of equal bins; those beyond the ends count in the last bins.

    mark: a place on the x axis and what is said of it; counted: what the values are of.
    """
    counts = [0] * bins
    for value in values:
        counts[min(bins - 1, max(0, int((value - low) / (high - low) * bins)))] += 1
    x, y = axes([low, high], [0, *counts], zero=True)
    edges = [low + at * (high - low) / bins for at in range(bins + 1)]
    spans = [f"{number(a, 3)} – {number(b, 3)}" for a, b in pairwise(edges)]
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
    """Dots over two axes of the same range, and the line where both are equal.

    many: the dots let each other through, and have no table.
    """
    x, y = axes([low, high], [low, high])
    out = [line(x(low), y(low), x(high), y(high), "rule")]
    for at, (a, b) in enumerate(zip(series.xs, series.ys, strict=True)):
        if series.low:
            out.append(line(x(a), y(series.low[at]), x(a), y(series.high[at]), "whisker"))
        said = series.notes[at] if series.notes else f"{number(a)}, {number(b)}"
        out.append(dot(x(a), y(b), series.colour, said, radius(at)))
    named = frame(x, y, x_label) + label(x.start + 4, TOP + 10, f"↑ {y_label}", "start", "name")
    drawn = element("g", "many" if many else "", "".join(out))
    given = "" if many else table([x_label, y_label], zip(series.xs, series.ys, strict=True), texts=())
    return figure(title, named + drawn, note=note, data=given)


def intervals(
    title: str, labels: Sequence[str], values: Sequence[float], low: Sequence[float], high: Sequence[float],
    x_label: str, *, p_values: Sequence[str], note: str = "",
) -> str:  # fmt: skip
    """A row for each label: its value as a dot on its interval, and a rule at 0."""
    step, top = 30, 12
    base = top + step * len(labels)
    marks = ticks(min(0.0, *low), max(0.0, *high))
    left = 12 + LETTER * max(map(len, labels))
    x = Scale(marks[0], marks[-1], left, WIDTH - RIGHT - 8, marks)
    out = []
    for tick, word in zip(x.ticks, x.words(), strict=True):
        out.append(line(x(tick), top, x(tick), base, "grid" if tick else "rule"))
        out.append(label(x(tick), base + 15, word, "middle"))
    out.append(label(x.middle, base + BOTTOM - 4, x_label, "middle", "name"))
    rows = list(zip(labels, values, low, high, p_values, strict=True))
    for at, (word, value, start, end, p) in enumerate(rows):
        middle = top + step * (at + 0.5)
        said = f"{word}: {number(value)} [{number(start)}, {number(end)}], p {p}"
        out.append(label(left - 8, middle + 4, word, "end", "row"))
        out += [line(x(start), middle, x(end), middle, "span a"), dot(x(value), middle, "a", said, 4)]
    data = table(["", "value", "low", "high", "p"], rows)
    return figure(title, "".join(out), note=note, data=data, height=base + BOTTOM)


def heat_map(
    title: str, weights: Sequence[Sequence[float]], rows: Sequence[str], columns: Sequence[str], *, row_name: str,
    column_name: str, write: Callable[[float], str], highest: float = 1.0, note: str = "",
) -> str:  # fmt: skip
    """A table whose cells are as deep as their figure: weights [rows, columns], from 0 to highest.

    A table and not a drawing: it scrolls, it is read aloud with its headings, and right-to-left words stand as they
    should.
    """
    head = "".join(f'<th scope="col"><span dir="auto">{escape(word)}</span></th>' for word in columns)
    body = []
    for word, values in zip(rows, weights, strict=True):
        cells = []
        for value in values:
            depth = min(1.0, max(0.0, value / highest)) if highest else 0.0
            # On a deep cell the text needs the other shade: sooner on a dark page than on a light one.
            strong = ' class="s"' if depth > 0.8 else ' class="m"' if depth > 0.6 else ""
            cells.append(f'<td{strong} style="--w:{depth:.2f}">{escape(write(value))}</td>')
        body.append(f'<tr><th scope="row" dir="auto">{escape(word)}</th>{"".join(cells)}</tr>')
    corner = f'<td class="corner"><span class="quiet">{escape(column_name)} →<br>{escape(row_name)} ↓</span></td>'
    size = " few" if len(columns) <= FEW else " many" if len(columns) > MANY else ""
    notes = f'<p class="note">{escape(note)}</p>' if note else ""
    return (
        f'<figure class="wide"><figcaption dir="auto">{escape(title)}</figcaption>'
        f'<div class="scroll" tabindex="0" role="region" aria-label="{attribute(title)}"><table class="heat{size}">'
        f"<thead><tr>{corner}{head}</tr></thead><tbody>{''.join(body)}</tbody></table></div>{notes}</figure>"
    )
