"""Charts of a study: the best value so far, importance, the values by each setting, and parallel coordinates."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from textpipe.report import axes, charts
from textpipe.report.axes import BOTTOM, HEIGHT, LETTER_WIDTH, RIGHT, TOP, WIDTH, Scale, dot, element, label, line
from textpipe.report.markup import attribute, escape, format_number, table
from textpipe.tuning.results import Outcome, Trial, format_value

ROW = 26  # pixels of a bar and its distance
MAX_LABEL = 26  # characters of a label on an axis
COLUMN = 190  # pixels between two axes of parallel coordinates
HEAD = 34  # pixels above them
HIGHLIGHTED_SHARE = 0.2  # share of the trials that parallel coordinates highlight


def short(text: str, limit: int = MAX_LABEL) -> str:
    """A label, cut in the middle if it is long: its ends tell keys and lists apart."""
    if len(text) <= limit:
        return text
    tail_length = (limit - 1) // 2
    return f"{text[: limit - 1 - tail_length]}…{text[-tail_length:]}"


def shown(outcome: Outcome) -> list[Trial]:
    """The trials that have a value."""
    return [trial for trial in outcome.records if trial.value is not None and math.isfinite(trial.value)]


def tooltip(outcome: Outcome, trial: Trial) -> str:
    """A trial in a tooltip."""
    state = "" if trial.state == "complete" else f", {trial.state}"
    settings = ", ".join(f"{key} {format_value(value)}" for key, value in trial.settings.items())
    return f"trial {trial.number}{state}: {outcome.metric} {format_number(trial.value)}; {settings}"


def colour(trial: Trial) -> str:
    """Complete trials in the first colour; pruned ones, measured earlier, in a quiet one."""
    return "a" if trial.state == "complete" else "faint"


def history(outcome: Outcome) -> str:
    """The value of each trial, and the best complete one so far."""
    trials, ended = shown(outcome), outcome.ended
    curve = [(trial.number, best) for trial, best in zip(ended, outcome.best_so_far(), strict=True) if best is not None]
    numbers = [1.0, float(max(2, *(trial.number for trial in outcome.records)))]
    x, y = axes.axes(numbers, [trial.value or 0.0 for trial in trials], integer=True)
    out = [axes.frame(x, y, "trial")]
    out += [dot(x(trial.number), y(trial.value or 0.0), colour(trial), tooltip(outcome, trial)) for trial in trials]
    corners: list[str] = []
    for at, (number, best) in enumerate(curve):
        if at:
            corners.append(f"{x(number):.1f},{y(curve[at - 1][1]):.1f}")
        corners.append(f"{x(number):.1f},{y(best):.1f}")
    out.append(element("polyline", "line b", points=" ".join(corners)))
    series = [
        charts.Series(outcome.metric, [0.0], [0.0], "a"),
        charts.Series("best so far", [0.0, 1.0], [0.0, 0.0], "b"),
    ]
    if any(trial.state == "pruned" for trial in trials):
        series.insert(1, charts.Series("pruned, at its last validation", [0.0], [0.0], "faint"))
    rows = [[number, best] for number, best in curve]
    return charts.figure(
        "Best so far", "".join(out), series=series, data=table(["trial", f"best {outcome.metric}"], rows, texts=())
    )


def importance(outcome: Outcome) -> str:
    """The share of the metric's variance that each setting explains, as horizontal bars."""
    names = [short(name) for name in outcome.importance]
    shares = list(outcome.importance.values())
    left = 14 + LETTER_WIDTH * max(map(len, names))
    x = Scale(0, max(*shares, 1e-9), left, WIDTH - RIGHT - 44)
    out = []
    for at, (name, share) in enumerate(zip(names, shares, strict=True)):
        top = TOP + ROW * at
        out.append(label(left - 8, top + ROW / 2 + 1, name, "end", "row"))
        out.append(axes.bar(left, top + 4, x(share), top + ROW - 6, "a", f"{name}: {share:.1%}"))
        out.append(label(x(share) + 6, top + ROW / 2 + 1, f"{share:.0%}", "start"))
    left_out = [key for key in outcome.keys if key not in outcome.importance]
    note = f"Not every complete trial has {', '.join(left_out)}." if left_out else ""
    data = table(["setting", "share"], [[name, share] for name, share in outcome.importance.items()])
    return charts.figure("Importance", "".join(out), note=note, data=data, height=TOP + ROW * len(names) + 6)


@dataclass(frozen=True)
class Axis:
    """A setting as an axis: where its values are, from 0 to 1, and the labelled positions.

    kind: "number" or "choice"; low, high: the ends of a number axis, of the logarithms if log.
    """

    kind: str
    log: bool
    low: float
    high: float
    words: tuple[str, ...]

    @classmethod
    def of(cls, values: Sequence[Any], *, log: bool) -> "Axis":
        """The axis of these values."""
        if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
            numbers = [math.log10(value) if log else float(value) for value in values]
            low, high = min(numbers), max(numbers)
            if low == high:
                low, high = low - 0.5, high + 0.5
            return cls("number", log, low, high, ())
        words = sorted({format_value(value) for value in values}, key=lambda word: (len(word), word))  # [64], [128]
        return cls("choice", False, 0, 0, tuple(words))

    def __call__(self, value: Any) -> float:
        """The position of a value, 0 to 1."""
        if self.kind == "choice":
            return (self.words.index(format_value(value)) + 0.5) / len(self.words)
        return ((math.log10(value) if self.log else value) - self.low) / (self.high - self.low)

    @property
    def marks(self) -> list[tuple[float, str]]:
        """(position, label) of the ticks."""
        if self.kind == "choice":
            return [((at + 0.5) / len(self.words), word) for at, word in enumerate(self.words)]
        if self.log:
            first, last = math.ceil(self.low - 1e-9), math.floor(self.high + 1e-9)
            powers = [float(power) for power in range(first, last + 1)] if last > first else [self.low, self.high]
            return [((power - self.low) / (self.high - self.low), f"{10**power:.3g}") for power in powers]
        scale = Scale(self.low, self.high, 0, 1, axes.ticks(self.low, self.high, 4))
        pairs = zip(scale.ticks, scale.tick_labels(), strict=True)
        return [(scale(tick), word) for tick, word in pairs if -1e-9 <= scale(tick) <= 1 + 1e-9]


def by_setting(outcome: Outcome, key: str) -> str:
    """The values of the trials that have a setting, by its value."""
    trials = [trial for trial in shown(outcome) if key in trial.settings]
    axis = Axis.of([trial.settings[key] for trial in trials], log=key in outcome.log_keys)
    _, y = axes.axes([0.0, 1.0], [trial.value or 0.0 for trial in trials])
    x = Scale(0, 1, 10 + LETTER_WIDTH * max(map(len, y.tick_labels())), WIDTH - RIGHT)
    out = [line(x.start, y(tick), x.end, y(tick), "grid") for tick in y.ticks]
    out += [label(x.start - 6, y(tick) + 3.5, word, "end") for tick, word in zip(y.ticks, y.tick_labels(), strict=True)]
    max_length = max(4, int((x.end - x.start) / max(1, len(axis.marks)) / LETTER_WIDTH))
    for position, word in axis.marks:
        shortened = short(word, max_length)
        half_width = LETTER_WIDTH * len(shortened) / 2
        out.append(
            label(min(max(x(position), half_width), WIDTH - half_width), HEIGHT - BOTTOM + 15, shortened, "middle")
        )
    out.append(label(x.middle, HEIGHT - 4, key + (", logarithmic" if axis.log else ""), "middle", "name"))
    out += [
        dot(x(axis(trial.settings[key])), y(trial.value or 0.0), colour(trial), tooltip(outcome, trial), 2.6)
        for trial in trials
    ]
    rows = [[trial.number, format_value(trial.settings[key]), trial.value] for trial in trials]
    return charts.figure(key, "".join(out), data=table(["trial", key, outcome.metric], rows, texts=(1,)))


def parallel(outcome: Outcome) -> str:
    """A line per complete trial through its settings and its value; the best fifth is highlighted."""
    trials = [trial for trial in shown(outcome) if trial.state == "complete"]
    keys = [key for key in outcome.keys if any(key in trial.settings for trial in trials)]
    scales: dict[str, Axis] = {
        key: Axis.of([trial.settings[key] for trial in trials if key in trial.settings], log=key in outcome.log_keys)
        for key in keys
    }
    scales[outcome.metric] = Axis.of([trial.value for trial in trials], log=False)
    width, bottom = COLUMN * (len(scales) - 1) + 110, HEAD + HEIGHT
    xs = {name: 20 + COLUMN * at for at, name in enumerate(scales)}
    best = {trial.number for trial in outcome.ranked()[: max(1, round(HIGHLIGHTED_SHARE * len(trials)))]}
    out = []
    for trial in sorted(trials, key=lambda trial: trial.number in best):  # the highlighted ones are drawn last
        cells = {**trial.settings, outcome.metric: trial.value}
        points = [(xs[name], bottom - scales[name](cells[name]) * HEIGHT) for name in scales if name in cells]
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
        title = f"<title>{attribute(tooltip(outcome, trial))}</title>"
        style, opacity = ("line a", "0.9") if trial.number in best else ("line faint", "0.3")
        out.append(element("polyline", style, title, points=path, opacity=opacity))
    for at, (name, axis) in enumerate(scales.items()):
        out.append(line(xs[name], HEAD, xs[name], bottom, "rule"))
        # Names alternate between two lines, so that long ones do not overlap.
        out.append(label(xs[name], 12 + 14 * (at % 2), short(name, 40), "middle" if at else "start", "row"))
        out += [
            label(xs[name] + 5, bottom - position * HEIGHT + 3.5, short(word, 14), "start", "mark")
            for position, word in axis.marks
        ]
    svg = f'<svg viewBox="0 0 {width} {bottom + 12}" role="img" aria-label="Parallel coordinates">{"".join(out)}</svg>'
    note = f"Complete trials; highlighted: the best {len(best)} by {outcome.metric}."
    return f'<figure class="wide"><figcaption>All settings</figcaption>{svg}<p class="note">{escape(note)}</p></figure>'
