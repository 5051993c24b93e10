"""Charts as inline SVG: drawn small, so that they can be read on a phone, in colours that the page's CSS names.

A chart is a <figure> with its title, the drawing, and its figures as a table to open. Nothing is fetched, and nothing
runs: a point's figures show as its title.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from textpipe.report.markup import attribute, escape, number, table

WIDTH, HEIGHT = 360, 220
TOP, RIGHT, BOTTOM = 10, 12, 38
POINTS = 240  # of a line; more are averaged in groups
LETTER = 6.1  # width of a digit, for the room that labels need
FEW = 6  # columns of a heat map whose headings lie flat
TABLE = 400  # rows beyond which a chart has no table


@dataclass(frozen=True)
class Series:
    """Named points; low and high, where given, are the ends of an interval about each y.

    colour: "a", "b", "c" or "faint"; points: whether every point is marked.
    """

    name: str
    xs: Sequence[float]
    ys: Sequence[float]
    colour: str = "a"
    points: bool = False
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    notes: Sequence[str] = ()  # said of each point


@dataclass
class Scale:
    """A number axis from low to high, in pixels from start to end."""

    low: float
    high: float
    start: float
    end: float
    ticks: list[float] = field(default_factory=list)

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def words(self) -> list[str]:
        """The ticks as text, all with as many decimals as their distance needs."""
        step = self.ticks[1] - self.ticks[0] if len(self.ticks) > 1 else self.high - self.low
        if step < 1e-3:
            return [f"{tick:.3g}" for tick in self.ticks]
        decimals = max(0, -math.floor(math.log10(step) + 1e-9))
        decimals += round(step * 10**decimals, 6) % 1 != 0
        return [f"{tick:,.{decimals}f}" for tick in self.ticks]


def ticks(low: float, high: float, count: int = 5, *, whole: bool = False) -> list[float]:
    """Round numbers that cover low to high: ticks(0.3, 9.1) -> [0, 2, 4, 6, 8, 10]"""
    span = (high - low) or abs(high) or 1.0
    raw = span / count
    size = 10 ** math.floor(math.log10(raw))
    step = next(factor * size for factor in (1, 2, 2.5, 5, 10) if factor * size >= raw * 0.999)
    if whole:
        step = max(1, round(step))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(at * step, 12) for at in range(first, max(last, first + 1) + 1)]


def axes(
    xs: Sequence[float], ys: Sequence[float], *, zero: bool = False, whole: bool = False, room: float = 0
) -> tuple[Scale, Scale]:
    """Scales that hold all points; zero: y begins at 0; room: a share left free at both ends of x."""
    low, high = min(ys), max(ys)
    if zero:
        low, high = min(0.0, low), max(0.0, high)
    marks = ticks(low, high)
    y = Scale(marks[0], marks[-1], HEIGHT - BOTTOM, TOP, marks)
    left = 10 + LETTER * max(len(word) for word in y.words())
    left_x, right_x = min(xs), max(xs)
    if left_x == right_x:
        left_x, right_x = left_x - 0.5, right_x + 0.5
    spare = room * (right_x - left_x)
    inside = [mark for mark in ticks(left_x, right_x, whole=whole) if left_x - 1e-9 <= mark <= right_x + 1e-9]
    x = Scale(left_x - spare, right_x + spare, left, WIDTH - RIGHT, inside or [left_x])
    return x, y


def frame(x: Scale, y: Scale, x_label: str, *, x_words: Sequence[str] | None = None) -> str:
    """Grid lines, tick labels and the name of the x axis."""
    out = []
    for tick, word in zip(y.ticks, y.words(), strict=True):
        at = y(tick)
        out.append(f'<line class="grid" x1="{x.start:.1f}" x2="{x.end:.1f}" y1="{at:.1f}" y2="{at:.1f}"/>')
        out.append(f'<text x="{x.start - 6:.1f}" y="{at + 3.5:.1f}" text-anchor="end">{escape(word)}</text>')
    for tick, word in zip(x.ticks, x_words or x.words(), strict=True):
        out.append(f'<text x="{x(tick):.1f}" y="{HEIGHT - BOTTOM + 15}" text-anchor="middle">{attribute(word)}</text>')
    middle = (x.start + x.end) / 2
    out.append(f'<text class="name" x="{middle:.1f}" y="{HEIGHT - 4}" text-anchor="middle">{attribute(x_label)}</text>')
    return "".join(out)


def figure(
    title: str, drawing: str, *, note: str = "", keys: Sequence[tuple[str, str]] = (), data: str = "",
    height: float = HEIGHT, width: float = WIDTH,
) -> str:  # fmt: skip
    """A chart with its title above, its key, and its table to open; keys: (colour, name) of each series."""
    key = ""
    if len(keys) > 1:
        items = "".join(f'<li><i class="key {colour}"></i>{escape(name)}</li>' for colour, name in keys)
        key = f'<ul class="keys">{items}</ul>'
    notes = f'<p class="note">{escape(note)}</p>' if note else ""
    details = f"<details><summary>Figures</summary>{data}</details>" if data else ""
    return (
        f"<figure><figcaption>{escape(title)}</figcaption>{key}"
        f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{attribute(title)}">{drawing}</svg>{notes}{details}</figure>'
    )


def thinned(xs: Sequence[float], ys: Sequence[float], limit: int = POINTS) -> tuple[list[float], list[float]]:
    """At most `limit` points: means of groups of neighbours."""
    group = math.ceil(len(xs) / limit)
    if group <= 1:
        return list(xs), list(ys)
    parts = [slice(at, at + group) for at in range(0, len(xs), group)]
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
        out.append(f'<polyline class="line {one.colour}" points="{path}"/>')
        if one.points or len(xs) == 1:
            for a, b in zip(xs, ys, strict=True):
                said = f"{one.name}: {number(b)} at {x_label} {number(a)}"
                out.append(f'<circle class="dot {one.colour}" cx="{x(a):.1f}" cy="{y(b):.1f}" r="2.2"><title>{attribute(said)}</title></circle>')
    if mark:
        at_x, at_y, words = mark
        right = x(at_x) > (x.start + x.end) / 2
        # Beneath the point where every other line runs above it, else above.
        others = [one.ys[max(at for at, a in enumerate(one.xs) if a <= at_x)] for one in series if min(one.xs) <= at_x]
        below = y(at_y) < TOP + 24 or (len(others) > 1 and at_y <= min(others))
        out.append(f'<circle class="ring" cx="{x(at_x):.1f}" cy="{y(at_y):.1f}" r="4.5"/>')
        out.append(
            f'<text class="mark" x="{x(at_x) + (4 if right else -4):.1f}" y="{y(at_y) + (18 if below else -10):.1f}" '
            f'text-anchor="{"end" if right else "start"}">{attribute(words)}</text>'
        )
    given = ""
    if data and max(len(one.xs) for one in series) <= TABLE:
        given = table([x_label, *(one.name for one in series)], by_x(series), texts=())
    return figure(title, "".join(out), note=note, keys=[(one.colour, one.name) for one in series], data=given)


def by_x(series: Sequence[Series]) -> list[list[float | None]]:
    """Rows of x and each series' y there."""
    at = [dict(zip(one.xs, one.ys, strict=True)) for one in series]
    return [[x, *(found.get(x) for found in at)] for x in sorted({x for one in series for x in one.xs})]


def bars(
    title: str, labels: Sequence[str], series: Sequence[Series], x_label: str, *, note: str = "",
    counts: Sequence[int] | None = None,
) -> str:  # fmt: skip
    """Groups of bars with their intervals; series' ys by label, xs unused; counts: rows behind each label."""
    tops = [v for one in series for v in (*one.ys, *one.high)]
    x, y = axes([-0.5, len(labels) - 0.5], [*tops, *(v for one in series for v in one.low)], zero=True)
    x.ticks = list(range(len(labels)))
    out = [frame(x, y, x_label, x_words=labels)]
    band = 0.72 / len(series)
    for at, one in enumerate(series):
        for place, value in enumerate(one.ys):
            left = place - 0.36 + at * band
            rows = f", {counts[place]:,} rows" if counts else ""
            span = f" [{number(one.low[place])}, {number(one.high[place])}]" if one.low else ""
            said = f"{labels[place]}: {one.name} {number(value)}{span}{rows}"
            top, base = y(max(value, 0)), y(min(value, 0))
            out.append(
                f'<rect class="bar {one.colour}" x="{x(left) + 0.5:.1f}" y="{top:.1f}" width="{x(left + band) - x(left) - 1:.1f}" '
                f'height="{max(base - top, 0.6):.1f}"><title>{attribute(said)}</title></rect>'
            )
            if one.low:
                middle = (x(left) + x(left + band)) / 2
                out.append(f'<line class="whisker" x1="{middle:.1f}" x2="{middle:.1f}" y1="{y(one.low[place]):.1f}" y2="{y(one.high[place]):.1f}"/>')
    headers = [x_label, *(["rows"] if counts else [])]
    for one in series:
        headers += [one.name, *(["low", "high"] if one.low else [])]
    rows = []
    for place, label in enumerate(labels):
        row: list[object] = [label, *([counts[place]] if counts else [])]
        for one in series:
            row += [one.ys[place], *([one.low[place], one.high[place]] if one.low else [])]
        rows.append(row)
    return figure(title, "".join(out), note=note, keys=[(one.colour, one.name) for one in series], data=table(headers, rows))


def histogram(
    title: str, values: Sequence[float], x_label: str, *, low: float, high: float, bins: int = 24, note: str = "",
    marks: Sequence[tuple[float, str]] = (), y_name: str = "rows",
) -> str:  # fmt: skip
    """How many values fall into each of equal bins; those beyond the ends count in the last bins."""
    counts = [0] * bins
    for value in values:
        counts[min(bins - 1, max(0, int((value - low) / (high - low) * bins)))] += 1
    x, y = axes([low, high], [0, *counts], zero=True)
    out = [frame(x, y, x_label)]
    edges = [low + at * (high - low) / bins for at in range(bins + 1)]
    for count, (left, right) in zip(counts, pairwise(edges), strict=True):
        if count:
            said = f"{number(left, 3)} to {number(right, 3)}: {count:,} {y_name}"
            out.append(
                f'<rect class="bar a" x="{x(left) + 0.4:.1f}" y="{y(count):.1f}" width="{x(right) - x(left) - 0.8:.1f}" '
                f'height="{y(0) - y(count):.1f}"><title>{attribute(said)}</title></rect>'
            )
    for at, words in marks:
        if low <= at <= high:
            right = x(at) > (x.start + x.end) / 2
            out.append(f'<line class="rule" x1="{x(at):.1f}" x2="{x(at):.1f}" y1="{TOP}" y2="{y(0):.1f}"/>')
            out.append(
                f'<text class="mark" x="{x(at) + (-4 if right else 4):.1f}" y="{TOP + 9}" '
                f'text-anchor="{"end" if right else "start"}">{attribute(words)}</text>'
            )
    rows = [(f"{number(a, 3)} – {number(b, 3)}", count) for count, (a, b) in zip(counts, pairwise(edges), strict=True)]
    return figure(title, "".join(out), note=note, data=table([x_label, y_name], rows))


def points(
    title: str, series: Series, x_label: str, y_label: str, *, low: float, high: float, diagonal: bool = True,
    radius: Callable[[int], float] = lambda at: 2.2, note: str = "", data: bool = True,
    many: bool = False,
) -> str:  # fmt: skip
    """Dots over two axes of the same range, with the line where both are equal; many: the dots let each other through."""
    x, y = axes([low, high], [low, high])
    out = [frame(x, y, x_label)]
    out.append(f'<text class="name" x="{x.start + 4:.1f}" y="{TOP + 10}">{attribute("↑ " + y_label)}</text>')
    if diagonal:
        out.append(f'<line class="rule" x1="{x(low):.1f}" y1="{y(low):.1f}" x2="{x(high):.1f}" y2="{y(high):.1f}"/>')
    for at, (a, b) in enumerate(zip(series.xs, series.ys, strict=True)):
        if series.low:
            out.append(f'<line class="whisker" x1="{x(a):.1f}" x2="{x(a):.1f}" y1="{y(series.low[at]):.1f}" y2="{y(series.high[at]):.1f}"/>')
        said = series.notes[at] if series.notes else f"{number(a)}, {number(b)}"
        out.append(
            f'<circle class="dot {series.colour}" cx="{x(a):.1f}" cy="{y(b):.1f}" r="{radius(at):.1f}"><title>{attribute(said)}</title></circle>'
        )
    if many:
        out = [f'<g class="many">{"".join(out)}</g>']
    given = table([x_label, y_label], zip(series.xs, series.ys, strict=True), texts=()) if data else ""
    return figure(title, "".join(out), note=note, data=given)


def intervals(
    title: str, labels: Sequence[str], values: Sequence[float], low: Sequence[float], high: Sequence[float], x_label: str,
    *, notes: Sequence[str] = (), note: str = "",
) -> str:  # fmt: skip
    """A row for each label: its value as a dot on its interval, and a rule at 0."""
    step, top = 30, 12
    height = top + step * len(labels) + BOTTOM
    marks = ticks(min(0.0, *low), max(0.0, *high))
    left = 12 + LETTER * max(map(len, labels))
    x = Scale(marks[0], marks[-1], left, WIDTH - RIGHT - 8, marks)
    base = top + step * len(labels)
    out = []
    for tick, word in zip(x.ticks, x.words(), strict=True):
        out.append(f'<line class="{"grid" if tick else "rule"}" x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{top}" y2="{base}"/>')
        out.append(f'<text x="{x(tick):.1f}" y="{base + 15}" text-anchor="middle">{escape(word)}</text>')
    out.append(f'<text class="name" x="{(x.start + x.end) / 2:.1f}" y="{height - 4}" text-anchor="middle">{attribute(x_label)}</text>')
    for at, label in enumerate(labels):
        middle = top + step * (at + 0.5)
        said = f"{label}: {number(values[at])} [{number(low[at])}, {number(high[at])}]{'; ' + notes[at] if notes else ''}"
        out.append(f'<text class="row" x="{left - 8:.1f}" y="{middle + 4:.1f}" text-anchor="end">{attribute(label)}</text>')
        out.append(f'<line class="span a" x1="{x(low[at]):.1f}" x2="{x(high[at]):.1f}" y1="{middle:.1f}" y2="{middle:.1f}"/>')
        out.append(f'<circle class="dot a" cx="{x(values[at]):.1f}" cy="{middle:.1f}" r="4"><title>{attribute(said)}</title></circle>')
    rows = [[label, values[at], low[at], high[at], *(notes[at : at + 1])] for at, label in enumerate(labels)]
    headers = ["", "value", "low", "high", *(["p"] if notes else [])]
    return figure(title, "".join(out), note=note, data=table(headers, rows), height=height)


def heat_map(
    title: str, weights: Sequence[Sequence[float]], rows: Sequence[str], columns: Sequence[str], *, row_name: str,
    column_name: str, write: Callable[[float], str] = lambda value: f"{value:.2f}", highest: float = 1.0, note: str = "",
) -> str:  # fmt: skip
    """A table whose cells are as deep as their figure: weights [rows, columns], from 0 to highest.

    A table and not a drawing: it scrolls, it is read aloud with its headings, and right-to-left words stand as they should.
    """
    head = "".join(f'<th scope="col"><span dir="auto">{escape(word)}</span></th>' for word in columns)
    body = []
    for word, line in zip(rows, weights, strict=True):
        cells = []
        for value in line:
            depth = min(1.0, max(0.0, value / highest)) if highest else 0.0
            strong = ' class="s"' if depth > 0.55 else ""
            cells.append(f'<td{strong} style="--w:{depth:.2f}">{escape(write(value))}</td>')
        body.append(f'<tr><th scope="row" dir="auto">{escape(word)}</th>{"".join(cells)}</tr>')
    corner = f'<td class="corner"><span class="quiet">{escape(column_name)} →<br>{escape(row_name)} ↓</span></td>'
    notes = f'<p class="note">{escape(note)}</p>' if note else ""
    return (
        f'<figure class="wide"><figcaption dir="auto">{escape(title)}</figcaption>'
        f'<div class="scroll" tabindex="0" role="region" aria-label="{attribute(title)}"><table class="heat{" few" if len(columns) <= FEW else ""}">'
        f"<thead><tr>{corner}{head}</tr></thead><tbody>{''.join(body)}</tbody></table></div>{notes}</figure>"
    )
