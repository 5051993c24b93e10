"""Learning curves: what train wrote at each validation (history.jsonl), and between them (logs/curve.jsonl)."""

import math
from collections.abc import Sequence
from typing import Any

from textpipe.report import charts, markup, page, results
from textpipe.report.charts import Series
from textpipe.report.page import Section
from textpipe.report.results import Run

Lines = Sequence[dict[str, Any]]
ENDS = {
    "epochs": "All epochs done", "early_stopping": "Stopped early", "max_minutes": "Out of time",
    "max_steps": "All steps done", "converged": "Converged", "iterations": "Stopped at the limit of iterations",
    "rounding": "Stopped at the limit of float32",
}  # fmt: skip
WHOLE = ("converged", "iterations", "rounding")  # how a search over all rows at once ends: it has iterations, no epochs
SPEEDS = ("tokens_per_second", "rows_per_second")


def learned(run: Run) -> tuple[dict[str, Any], Lines, Lines]:
    """train.json, the history and the curve; of a run that was resumed, a step counts as it was last taken."""
    folder = run.artifacts["train"]
    curve = {(line["step"], "loss" in line): line for line in results.lines(folder / "logs" / "curve.jsonl")}
    ordered = [line for _, line in sorted(curve.items(), key=lambda item: item[0])]
    return results.read(folder / "train.json"), results.lines(folder / "history.jsonl"), ordered


def tiles(run: Run) -> list[str]:
    """Size of the model and the time it took."""
    result, _, curve = learned(run)
    found = [page.tile("parameters", magnitude(result["parameters"]), f"{result['parameters']:,}")]
    seconds = max((line["seconds"] for line in curve if "seconds" in line), default=None)
    took = f"{result['epochs']:,} epochs, {result['steps']:,} steps"
    if result["stopped"] in WHOLE:
        found.append(page.tile("iterations", f"{result['epochs']:,}", f"{result['steps']:,} evaluations of the loss"))
    elif seconds is None:
        found.append(page.tile("steps", f"{result['steps']:,}", took.partition(",")[0]))
    else:
        found.append(page.tile("training time", duration(seconds), took))
    speed = run.artifacts["evaluate"] / "logs" / "speed.json"
    if speed.is_file():
        told = results.read(speed)
        if told["seconds"]:
            found.append(
                page.tile(
                    "answers a second",
                    markup.number(told["rows"] / told["seconds"], 3),
                    f"{told['rows']:,} rows in {told['seconds']:.1f} s",
                )
            )
    return found


def magnitude(count: int) -> str:
    """2233088 -> 2.23 M"""
    for size, letter in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if count >= size:
            return f"{count / size:.3g} {letter}"
    return str(count)


def duration(seconds: float) -> str:
    """4618.7 -> 1 h 17 min"""
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    if whole >= 60:
        return f"{whole // 60} min {whole % 60} s"
    return f"{seconds:.1f} s"


def column(lines: Lines, name: str) -> tuple[list[float], list[float]]:
    """Steps and values of the lines that have a figure."""
    having = [line for line in lines if line.get(name) is not None and math.isfinite(line[name])]
    return [line["step"] for line in having], [line[name] for line in having]


def sections(run: Run) -> list[Section]:
    """The charts, and the validations as a table."""
    result, history, curve = learned(run)
    if not history:
        return []
    axis = axis_of(result)
    drawn = [loss(result, history, curve)]
    names = sorted(
        {name for line in history for name in line if name.startswith("valid_")} - {"valid_loss", "valid_perplexity"}
    )
    for name in names:
        xs, ys = column(history, name)
        if len(set(xs)) < 2:
            continue
        best = max(range(len(ys)), key=ys.__getitem__)
        title = name.removeprefix("valid_").replace("bleu", "BLEU")
        drawn.append(
            charts.lines(
                f"Validation {title}", [Series(f"validation {title}", xs, ys, "b", points=True)], axis,
                mark=(xs[best], ys[best], markup.number(ys[best])), whole=True,
            )
        )  # fmt: skip
    dense = curve if any("gradient_norm" in line for line in curve) else history
    for name, title, colour in (
        ("learning_rate", "Learning rate", "c"),
        ("gradient_norm", "Gradient norm", "faint"),
        *((n, n.replace("_per_", " a ").capitalize(), "c") for n in SPEEDS),
    ):
        xs, ys = column(dense, name)
        if len(set(xs)) > 1:
            drawn.append(
                charts.lines(
                    title, [Series(title.lower(), xs, ys, colour)], axis, zero=name != "gradient_norm", whole=True
                )
            )
    headers = list(dict.fromkeys(name for line in history for name in line))
    rows = [[line.get(name) for name in headers] for line in history]
    if len(rows) > charts.TABLE:
        rows = rows[-charts.TABLE :]
    table = markup.table([name.replace("_", " ") for name in headers], rows, texts=(), caption="Validations")
    body = f'<div class="charts">{"".join(drawn)}</div>{page.opening("Every validation", table)}'
    return [Section("Learning", "learning", body, kept(result, history))]


def kept(result: dict[str, Any], history: Lines) -> str:
    """How training ended, and which weights are the result."""
    whole, best = result["stopped"] in WHOLE, result["best"]["step"]
    unit = "iterations" if whole else "epochs"
    told = f"{ENDS.get(result['stopped'], 'Ended')} after {result['epochs']:,} {unit}. "
    if "average" in result:
        return told + f"Kept is the mean of the weights of {len(result['average']['steps'])} validations."
    last = history[-1]["step"] if whole else result["steps"]
    if best == last:
        return told + "Kept are the weights of the last " + ("iteration." if whole else f"step, {last:,}.")
    noun = "iteration" if whole else "step"
    return told + f"Kept are the weights of {noun} {best:,} of {last:,}, the best by validation."


def axis_of(result: dict[str, Any]) -> str:
    """What the learning curves run over."""
    return "iteration" if result["stopped"] in WHOLE else "step"


def loss(result: dict[str, Any], history: Lines, curve: Lines) -> str:
    """Training and validation loss; the training loss of every few steps where the curve has it."""
    dense = curve if any("loss" in line for line in curve) else history
    series = [Series("train", *column(dense, "loss"), "a")]
    steps, losses = column(history, "valid_loss")
    mark = None
    if steps:
        series.append(Series("validation", steps, losses, "b", points=True))
        kept = result["best"].get("valid_loss")
        if kept is not None:
            mark = (result["best"]["step"], kept, markup.number(kept))
    note = "" if len(losses) < 2 or series[0].ys[-1] < losses[-1] else (
        "The training loss counts dropout and label smoothing, the validation loss does not."
    )  # fmt: skip
    return charts.lines("Loss", series, axis_of(result), mark=mark, whole=True, note=note)
