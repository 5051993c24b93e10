"""Pictures with matplotlib: an attention map, a learning curve, a diagram of the pipeline."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

INK, QUIET, ACCENT = "#1b1f24", "#8a939e", "#2f6fb0"


def figure(width: float, height: float) -> Any:
    """A figure of a size in inches, which needs no display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    fig = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(fig)
    return fig


def save(fig: Any, path: Path) -> Path:
    """Write a figure; without a date in the PNG, so that equal figures are equal files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fig.savefig(path, dpi=130, metadata={"Software": None})
    return path


def attention_map(weights: Any, source: Sequence[str], target: Sequence[str], path: Path) -> Path:
    """Attention weights [U, T]: rows are target pieces, columns source pieces.

    attention_map(weights, ["▁Hallo", "▁Welt"], ["▁Hello", "▁world"], Path("attention.png"))
    """
    fig = figure(1.4 + 0.42 * len(source), 1.2 + 0.34 * len(target))
    axes = fig.add_subplot()
    image = axes.imshow(weights, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(
        range(len(source)), [plain(piece) for piece in source], rotation=60, ha="left", rotation_mode="anchor"
    )
    axes.set_yticks(range(len(target)), [plain(piece) for piece in target])
    axes.xaxis.tick_top()
    axes.tick_params(length=0, colors=INK)
    for edge in axes.spines.values():
        edge.set_visible(False)
    fig.colorbar(image, ax=axes, fraction=0.03, pad=0.02, label="attention weight")
    return save(fig, path)


def plain(piece: str) -> str:
    """A piece for matplotlib, which would read a dollar sign as mathematics."""
    return piece.replace("$", r"\$")


def history(path: Path) -> list[dict[str, Any]]:
    """The lines of a history.jsonl."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


def learning_curve(lines: Sequence[dict[str, Any]], path: Path, *, title: str = "") -> Path:
    """Training and validation loss by epoch, with the best validation marked; lines: those of history.jsonl."""
    fig = figure(6.4, 3.6)
    axes = fig.add_subplot()
    epochs = [line["epoch"] for line in lines]
    axes.plot(epochs, [line["loss"] for line in lines], color=QUIET, label="train")
    valid = [(line["epoch"], line["valid_loss"]) for line in lines if line.get("valid_loss") is not None]
    if valid:
        axes.plot(*zip(*valid, strict=True), color=ACCENT, label="valid")
        best = min(valid, key=lambda point: point[1])
        axes.plot(*best, "o", color=ACCENT)
        axes.annotate(f"{best[1]:.3f}", best, textcoords="offset points", xytext=(4, 7), color=INK)
    axes.set(xlabel="epoch", ylabel="loss per token or row", title=title)
    axes.legend(frameon=False)
    for edge in ("top", "right"):
        axes.spines[edge].set_visible(False)
    return save(fig, path)


def diagram(stages: Sequence[tuple[str, str]], path: Path) -> Path:
    """The pipeline as boxes: (name, product) per stage, in order."""
    from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

    step, width, height = 1.62, 1.3, 1.05
    fig = figure(step * len(stages) + 0.3, 2.0)
    axes = fig.add_subplot()
    axes.set(xlim=(-0.15, step * len(stages) - 0.1), ylim=(-0.25, 1.55))
    axes.axis("off")
    for index, (name, product) in enumerate(stages):
        left = index * step
        box = FancyBboxPatch(
            (left, 0), width, height, boxstyle="round,pad=0.02,rounding_size=0.08", fc="#eef4fa", ec=ACCENT
        )
        axes.add_patch(box)
        axes.text(
            left + width / 2, height * 0.72, name, ha="center", va="center", weight="bold", color=INK, fontsize=11
        )
        axes.text(left + width / 2, height * 0.3, product, ha="center", va="center", color=INK, fontsize=8)
        if index:
            arrow = FancyArrowPatch(
                (left - step + width + 0.02, height / 2),
                (left - 0.02, height / 2),
                arrowstyle="-|>",
                mutation_scale=11,
                color=QUIET,
            )
            axes.add_patch(arrow)
    axes.text(0, 1.4, "raw rows", color=QUIET, fontsize=9, va="center")
    axes.text(
        (len(stages) - 1) * step + width,
        1.4,
        "strings in, strings out",
        color=QUIET,
        fontsize=9,
        va="center",
        ha="right",
    )
    return save(fig, path)
