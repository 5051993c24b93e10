"""Axes of charts with round ticks, and SVG elements."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from textpipe.report.markup import attribute

WIDTH, HEIGHT = 360, 220
TOP, RIGHT, BOTTOM = 10, 12, 38
LETTER_WIDTH = 6.1  # width of a digit, to reserve space for labels


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

    @property
    def middle(self) -> float:
        """In pixels."""
        return (self.start + self.end) / 2

    def tick_labels(self) -> list[str]:
        """The ticks as text, with as many decimals as their distance needs."""
        step = self.ticks[1] - self.ticks[0] if len(self.ticks) > 1 else self.high - self.low
        if step < 1e-3:
            return [f"{tick:.3g}" for tick in self.ticks]
        decimals = max(0, -math.floor(math.log10(step) + 1e-9))
        decimals += round(step * 10**decimals, 6) % 1 != 0
        return [f"{tick:,.{decimals}f}" for tick in self.ticks]


def ticks(low: float, high: float, count: int = 5, *, integer: bool = False) -> list[float]:
    """Round numbers that cover low to high: ticks(0.3, 9.1) -> [0, 2, 4, 6, 8, 10]"""
    span = (high - low) or abs(high) or 1.0
    raw = span / count
    size = 10 ** math.floor(math.log10(raw))
    step = next(factor * size for factor in (1, 2, 2.5, 5, 10) if factor * size >= raw * 0.999)
    if integer:
        step = max(1, round(step))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [float(f"{at * step:.12g}") for at in range(first, max(last, first + 1) + 1)]


def axes(xs: Sequence[float], ys: Sequence[float], *, zero: bool = False, integer: bool = False) -> tuple[Scale, Scale]:
    """Scales x and y that include all points; zero: y includes 0; integer: the ticks of x are whole numbers."""
    low, high = min(ys), max(ys)
    if zero:
        low, high = min(0.0, low), max(0.0, high)
    marks = ticks(low, high)
    y = Scale(marks[0], marks[-1], HEIGHT - BOTTOM, TOP, marks)
    left = 10 + LETTER_WIDTH * max(map(len, y.tick_labels()))
    low, high = min(xs), max(xs)
    if low == high:
        low, high = low - 0.5, high + 0.5
    inside = [mark for mark in ticks(low, high, integer=integer) if low - 1e-9 <= mark <= high + 1e-9]
    return Scale(low, high, left, WIDTH - RIGHT, inside or [low]), y


def frame(x: Scale, y: Scale, x_label: str, *, x_labels: Sequence[str] | None = None) -> str:
    """Grid lines, tick labels and the label of the x axis."""
    out = [line(x.start, y(tick), x.end, y(tick), "grid") for tick in y.ticks]
    out += [label(x.start - 6, y(tick) + 3.5, word, "end") for tick, word in zip(y.ticks, y.tick_labels(), strict=True)]
    labels = x.tick_labels() if x_labels is None else x_labels
    for tick, word in zip(x.ticks, labels, strict=True):
        # Keep the last label within the drawing.
        out.append(label(min(x(tick), WIDTH - LETTER_WIDTH * len(word) / 2), HEIGHT - BOTTOM + 15, word, "middle"))
    return "".join([*out, label(x.middle, HEIGHT - 4, x_label, "middle", "name")])


def element(tag: str, style: str, content: str = "", **attributes: float | str) -> str:
    """An SVG element: element("circle", "dot a", cx=3.14159, r=2) -> <circle class="dot a" cx="3.1" r="2.0"/>"""
    parts = [tag, f'class="{style}"'] if style else [tag]
    for name, value in attributes.items():
        text = value if isinstance(value, str) else f"{value:.1f}"
        parts.append(f'{name.replace("_", "-")}="{text}"')
    return f"<{' '.join(parts)}>{content}</{tag}>" if content else f"<{' '.join(parts)}/>"


def label(x: float, y: float, text: str, anchor: str, style: str = "") -> str:
    """A text anchored at x by its start, middle or end."""
    return element("text", style, attribute(text), x=x, y=y, text_anchor=anchor)


def line(x1: float, y1: float, x2: float, y2: float, style: str) -> str:
    """A straight line."""
    return element("line", style, x1=x1, y1=y1, x2=x2, y2=y2)


def dot(x: float, y: float, colour: str, tooltip: str, radius: float = 2.2) -> str:
    """A point with a tooltip."""
    return element("circle", f"dot {colour}", f"<title>{attribute(tooltip)}</title>", cx=x, cy=y, r=radius)


def bar(left: float, top: float, right: float, bottom: float, colour: str, tooltip: str) -> str:
    """A bar with a tooltip; a bar of height 0 is drawn as a line."""
    box = {"x": left, "y": top, "width": right - left, "height": max(bottom - top, 0.6)}
    return element("rect", f"bar {colour}", f"<title>{attribute(tooltip)}</title>", **box)
