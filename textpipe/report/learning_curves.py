"""Learning curves: measurements at each validation (history.jsonl) and between validations (logs/curve.jsonl)."""

import math
from collections.abc import Sequence
from typing import Any

from textpipe.report import charts, markup, page, results
from textpipe.report.charts import Series
from textpipe.report.page import Section
from textpipe.report.results import Run

Lines = Sequence[dict[str, Any]]
STOP_REASONS = {
    "epochs": "All epochs done", "early_stopping": "Stopped early", "max_minutes": "Out of time",
    "max_steps": "All steps done", "converged": "Converged", "iterations": "Stopped at the limit of iterations",
    "rounding": "Stopped at the limit of float32",
}  # fmt: skip
FULL_BATCH = (
    "converged",
    "iterations",
    "rounding",
)  # ends of full-batch training, which has iterations instead of epochs
THROUGHPUTS = ("tokens_per_second", "rows_per_second")


def read_training(run: Run) -> tuple[dict[str, Any], Lines, Lines]:
    """train.json, the history and the curve; where a resumed run repeated a step, the last measurement counts."""
    folder = run.artifacts["train"]
    curve = {(line["step"], "loss" in line): line for line in results.read_json_lines(folder / "logs" / "curve.jsonl")}
    ordered = [line for _, line in sorted(curve.items(), key=lambda item: item[0])]
    return results.read_json(folder / "train.json"), results.read_json_lines(folder / "history.jsonl"), ordered


def tiles(run: Run) -> list[str]:
    """Model size, training time and inference speed."""
    result, _, curve = read_training(run)
    tiles = [page.tile("parameters", magnitude(result["parameters"]), f"{result['parameters']:,}")]
    seconds = max((line["seconds"] for line in curve if "seconds" in line), default=None)
    extent = f"{result['epochs']:,} epochs, {result['steps']:,} steps"
    if result["stopped"] in FULL_BATCH:
        tiles.append(page.tile("iterations", f"{result['epochs']:,}", f"{result['steps']:,} evaluations of the loss"))
    elif seconds is None:
        tiles.append(page.tile("steps", f"{result['steps']:,}", extent.partition(",")[0]))
    else:
        tiles.append(page.tile("training time", duration(seconds), extent))
    speed = run.artifacts["evaluate"] / "logs" / "speed.json"
    if speed.is_file():
        measured = results.read_json(speed)
        if measured["seconds"]:
            tiles.append(
                page.tile(
                    "answers per second",
                    markup.format_number(measured["rows"] / measured["seconds"], 3),
                    f"{measured['rows']:,} rows in {measured['seconds']:.1f} s",
                )
            )
    return tiles


def magnitude(count: int) -> str:
    """2233088 -> 2.23 M"""
    for size, letter in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if count >= size:
            return f"{count / size:.3g} {letter}"
    return str(count)


def duration(seconds: float) -> str:
    """4618.7 -> 1 h 17 min"""
    total = round(seconds)
    if total >= 3600:
        return f"{total // 3600} h {total % 3600 // 60} min"
    if total >= 60:
        return f"{total // 60} min {total % 60} s"
    return f"{seconds:.1f} s"


def steps_and_values(lines: Lines, name: str) -> tuple[list[float], list[float]]:
    """Steps and values of the lines that have a finite value."""
    present = [line for line in lines if line.get(name) is not None and math.isfinite(line[name])]
    return [line["step"] for line in present], [line[name] for line in present]


def sections(run: Run) -> list[Section]:
    """The charts, and a table of all validations."""
    result, history, curve = read_training(run)
    if not history:
        return []
    axis = x_axis(result)
    figures = [loss_chart(result, history, curve)]
    names = sorted(
        {name for line in history for name in line if name.startswith("valid_")} - {"valid_loss", "valid_perplexity"}
    )
    for name in names:
        xs, ys = steps_and_values(history, name)
        if len(set(xs)) < 2:
            continue
        best = max(range(len(ys)), key=ys.__getitem__)
        title = name.removeprefix("valid_").replace("bleu", "BLEU")
        figures.append(
            charts.lines(
                f"Validation {title}", [Series(f"validation {title}", xs, ys, "b", points=True)], axis,
                mark=(xs[best], ys[best], markup.format_number(ys[best])), integer=True,
            )
        )  # fmt: skip
    dense = curve if any("gradient_norm" in line for line in curve) else history
    for name, title, colour in (
        ("learning_rate", "Learning rate", "c"),
        ("gradient_norm", "Gradient norm", "faint"),
        *((n, n.replace("_per_", " per ").capitalize(), "c") for n in THROUGHPUTS),
    ):
        xs, ys = steps_and_values(dense, name)
        if len(set(xs)) > 1:
            figures.append(
                charts.lines(
                    title, [Series(title.lower(), xs, ys, colour)], axis, zero=name != "gradient_norm", integer=True
                )
            )
    headers = list(dict.fromkeys(name for line in history for name in line))
    rows = [[line.get(name) for name in headers] for line in history]
    if len(rows) > charts.MAX_TABLE_ROWS:
        rows = rows[-charts.MAX_TABLE_ROWS :]
    table = markup.table([name.replace("_", " ") for name in headers], rows, texts=(), caption="Validations")
    body = f'<div class="charts">{"".join(figures)}</div>{page.collapsible("All validations", table)}'
    return [Section("Learning", "learning", body, summary(result, history))]


def summary(result: dict[str, Any], history: Lines) -> str:
    """How training ended and which weights were kept."""
    full_batch, best = result["stopped"] in FULL_BATCH, result["best"]["step"]
    unit = "iterations" if full_batch else "epochs"
    end = f"{STOP_REASONS.get(result['stopped'], 'Ended')} after {result['epochs']:,} {unit}. "
    if "average" in result:
        return end + f"The kept weights are the mean over {len(result['average']['steps'])} validations."
    last = history[-1]["step"] if full_batch else result["steps"]
    if best == last:
        return end + "The kept weights are those of the last " + ("iteration." if full_batch else f"step, {last:,}.")
    noun = "iteration" if full_batch else "step"
    return end + f"The kept weights are those of {noun} {best:,} of {last:,}, the best by validation."


def x_axis(result: dict[str, Any]) -> str:
    """The unit of the x axis of learning curves."""
    return "iteration" if result["stopped"] in FULL_BATCH else "step"


def loss_chart(result: dict[str, Any], history: Lines, curve: Lines) -> str:
    """Training and validation loss; the training loss at every few steps if the curve has it."""
    dense = curve if any("loss" in line for line in curve) else history
    series = [Series("train", *steps_and_values(dense, "loss"), "a")]
    steps, losses = steps_and_values(history, "valid_loss")
    mark = None
    if steps:
        series.append(Series("validation", steps, losses, "b", points=True))
        best = result["best"].get("valid_loss")
        if best is not None:
            mark = (result["best"]["step"], best, markup.format_number(best))
    note = "" if len(losses) < 2 or series[0].ys[-1] < losses[-1] else (
        "The training loss includes dropout and label smoothing, the validation loss does not."
    )  # fmt: skip
    return charts.lines("Loss", series, x_axis(result), mark=mark, integer=True, note=note)
