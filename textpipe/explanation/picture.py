"""The strongest parts of an explanation, or of each class, as a bar chart."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from textpipe.errors import ConfigError, suggest
from textpipe.explanation import terminal
from textpipe.explanation.contributions import TOP, Contributions
from textpipe.report.attention_map import find_fonts, plot_text
from textpipe.report.figures import INK, QUIET, figure

SUFFIXES = (".png", ".svg")
UP, DOWN = "#168c3c", "#c82828"
LONGEST_LABEL = 40
MAX_CLASSES = 12  # of a picture
DPI = 130
MAX_PIXELS = 2**16 - 1  # of a .png's height, matplotlib's limit


def check(path: Path, option: str = "--picture") -> None:
    """Raise ConfigError for a file name that is no picture."""
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"{option} {path}: expected a name that ends in .png or .svg{suggest(path.suffix, SUFFIXES)}")


def draw(explanation: Contributions, path: Path, top: int = TOP) -> None:
    """Write the strongest parts as a picture."""
    shown = explanation.top(top)
    several = len(explanation.row) > 1
    names = [f"{part.field}: {part.text}" if several else part.text for part in shown]
    title = f"{explanation.label}: {explanation.quantity} {explanation.logit:.4g}"
    bars(path, {title: list(zip(names, (part.contribution for part in shown), strict=True))}, "contribution")


def draw_classes(table: Mapping[str, Any], path: Path) -> None:
    """Write the strongest features of the first classes as a picture."""
    groups = {
        label: [(feature["name"], feature["weight"]) for feature in features]
        for label, features in list(table["classes"].items())[:MAX_CLASSES]
    }
    bars(path, groups, "weight")


def bars(path: Path, groups: Mapping[str, Sequence[tuple[str, float]]], unit: str) -> None:
    """A chart below the other for each group of (name, value)."""
    import matplotlib

    check(path)
    groups = {
        terminal.shorten(plot_text(title), 80): [
            (terminal.shorten(plot_text(name), LONGEST_LABEL), value) for name, value in rows
        ]
        for title, rows in groups.items()
    }
    letters = "".join(title + "".join(name for name, _ in rows) for title, rows in groups.items())
    families, _ = find_fonts(letters + "…")
    style = {"family": [*families, "sans-serif"], "color": INK}
    heights = [0.9 + 0.24 * max(len(rows), 1) for rows in groups.values()]
    if path.suffix.lower() == ".png" and sum(heights) * DPI > MAX_PIXELS:
        num_bars = sum(map(len, groups.values()))
        raise ConfigError(
            f"--picture {path}: {num_bars:,} bars are too many for a .png; give a smaller --top, or a name that ends in .svg"
        )
    with (
        matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "textpipe"}),
        warnings.catch_warnings(),
    ):
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        fig = figure(7.5, sum(heights))
        for number, (title, rows) in enumerate(groups.items(), 1):
            axes = fig.add_subplot(len(groups), 1, number)
            positions = range(len(rows), 0, -1)
            values = [value for _, value in rows]
            axes.barh(list(positions), values, color=[UP if value > 0 else DOWN for value in values], height=0.7)
            axes.set_yticks(list(positions), [name for name, _ in rows], size=9, **style)
            axes.set_title(title, size=10, loc="left", **style)
            axes.axvline(0, color=QUIET, linewidth=0.8)
            axes.set_xlabel(unit, size=8, color=QUIET)
            axes.tick_params(length=0, labelsize=8)
            for side in ("top", "right", "left"):
                axes.spines[side].set_visible(False)
        path.parent.mkdir(parents=True, exist_ok=True)
        metadata = {"Date": None} if path.suffix.lower() == ".svg" else {"Software": None}
        fig.savefig(path, dpi=DPI, metadata=metadata)
