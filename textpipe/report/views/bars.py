"""What a classifier's report shows: what it mistakes for what, and whether its probabilities can be trusted."""

import math
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

from textpipe.report import charts, markup, page
from textpipe.report.charts import Series
from textpipe.report.page import Section
from textpipe.report.results import Run
from textpipe.report.views import _bars_compared as compared

SHOWN = 10
DRAWN = 20  # classes up to which the whole confusion matrix is shown
BINS = 10


def tiles(metrics: Mapping[str, Any]) -> tuple[str, ...]:
    """Figures in large type."""
    return ("accuracy", "f1" if "f1" in metrics else "f1_macro", "roc_auc", "log_loss", "calibration_error")


def sections(run: Run) -> list[Section]:
    """All of them, in order."""
    return [classes(run), calibration(run), errors(run)]


def classes(run: Run) -> Section:
    """The confusion matrix, or of many classes its largest entries; then precision, recall and F1 of each class."""
    labels, matrix = run.metrics["labels"], run.metrics["confusion"]
    figures = by_class(labels, matrix)
    parts = []
    if len(labels) <= DRAWN:
        highest = max(max(line) for line in matrix)
        parts.append(
            charts.heat_map(
                "Confusion matrix", matrix, labels, labels, row_name="wanted", column_name="answered", highest=highest,
                write=lambda count: f"{count:,}" if count else "",
                note="Rows: the label wanted. Columns: the label answered.",
            )
        )  # fmt: skip
    else:
        wrong = sorted(
            ((count, i, j) for i, line in enumerate(matrix) for j, count in enumerate(line) if i != j and count),
            reverse=True,
        )
        rows = [[labels[i], labels[j], count, count / max(sum(matrix[i]), 1)] for count, i, j in wrong[:25]]
        table = markup.table(
            ["wanted", "answered", "rows", "of the wanted"], rows, caption="Most frequent confusions", texts=(0, 1)
        )
        parts.append(f'<div class="card">{table}</div>')
        parts.append(
            charts.histogram(
                "F1 of the classes", [row[3] for row in figures], "F1", low=0, high=1, bins=20, counted="classes"
            )
        )
    many = parts.pop() if len(labels) > DRAWN else ""
    figures.sort(key=lambda row: row[3])
    table = markup.table(["class", "precision", "recall", "F1", "rows"], figures, caption="Classes, the hardest first")
    parts += [f'<div class="card">{table}</div>', many]
    return Section("Classes", "classes", f'<div class="half">{"".join(parts)}</div>')


def by_class(labels: Sequence[str], matrix: Sequence[Sequence[int]]) -> list[list[Any]]:
    """[label, precision, recall, F1, rows] of each class; precision of a class never answered is 0."""
    rows = []
    for at, label in enumerate(labels):
        right, wanted = matrix[at][at], sum(matrix[at])
        answered = sum(line[at] for line in matrix)
        rows.append(
            [label, right / max(answered, 1), right / max(wanted, 1), 2 * right / max(answered + wanted, 1), wanted]
        )
    return rows


def calibration(run: Run) -> Section:
    """Accuracy of answers by how sure the model was, and what is left when unsure answers are held back."""
    _, target = run.sides
    sure = [line["score"] for line in run.predictions]
    right = [line["answer"] == line[target] for line in run.predictions]
    bins: list[list[int]] = [[] for _ in range(BINS)]
    for at, confidence in enumerate(sure):
        bins[min(BINS - 1, max(0, math.ceil(confidence * BINS) - 1))].append(at)
    filled = [members for members in bins if members]
    means = [sum(sure[at] for at in members) / len(members) for members in filled]
    shares = [sum(right[at] for at in members) / len(members) for members in filled]
    bounds = [wilson(sum(right[at] for at in members), len(members)) for members in filled]
    notes = [
        f"sure by {mean:.3f} on average, right in {share:.3f} of {len(members):,} rows"
        for mean, share, members in zip(means, shares, filled, strict=True)
    ]
    most = max(map(len, filled))
    reliability = charts.points(
        "Accuracy by confidence",
        Series("answers", means, shares, "a", low=[b[0] for b in bounds], high=[b[1] for b in bounds], notes=notes),
        "confidence", "accuracy", low=0, high=1, radius=lambda at: 2.5 + 5 * math.sqrt(len(filled[at]) / most),
        note="On the dashed line probabilities mean what they say. Larger dots: more rows; whiskers: 95 % (Wilson).",
    )  # fmt: skip
    spread = charts.histogram("Confidence of the answers", sure, "confidence", low=0, high=1, bins=20)
    order = sorted(range(len(sure)), key=lambda at: -sure[at])
    kept = [count / len(order) for count in range(1, len(order) + 1)]
    accuracy = [hits / count for count, hits in enumerate(accumulate(right[at] for at in order), 1)]
    xs, ys = charts.thinned(kept, accuracy)
    held = charts.lines(
        "Accuracy when only the surest answers are given", [Series("accuracy", xs, ys, "c")], "share of rows answered",
        note="What a threshold on the confidence buys.",
    )  # fmt: skip
    error = run.metrics["metrics"].get("calibration_error")
    lead = f"Expected calibration error {markup.number(error)} over 15 bins." if error is not None else ""
    return Section("Confidence", "confidence", f'<div class="charts">{reliability}{spread}{held}</div>', lead)


def wilson(hits: int, rows: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927): wilson(9, 10) -> (.596, .982)"""
    z = 1.959964
    share, spread = hits / rows, z * math.sqrt(hits / rows * (1 - hits / rows) / rows + (z / (2 * rows)) ** 2)
    middle, scale = share + z * z / (2 * rows), 1 + z * z / rows
    return max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)


def errors(run: Run) -> Section:
    """The wrong answers that the model was surest of, and the answers of which it was least sure."""
    source, target = run.sides
    wrong = [line for line in run.predictions if line["answer"] != line[target]]
    surest = sorted(wrong, key=lambda line: -line["score"])[:SHOWN]
    unsure = sorted(run.predictions, key=lambda line: line["score"])[:SHOWN]

    def card(line: dict[str, Any]) -> str:
        others = ", ".join(f"{label} {share:.3f}" for label, share in list(line.get("probabilities", {}).items())[:3])
        entries = [
            (source, markup.shown(line[source])),
            ("wanted", markup.shown(line[target])),
            ("answered", markup.shown(line["answer"])),
        ]
        return page.sentence([f"row {line['row']}", f"confidence {line['score']:.3f}", others], entries)

    body = page.group(f"The {len(surest)} surest errors", list(map(card, surest)), opened=True)
    body += page.group(f"The {len(unsure)} least sure answers", list(map(card, unsure)))
    lead = f"{len(wrong):,} of {len(run.predictions):,} answers are wrong." if wrong else "No answer is wrong."
    return Section("Errors", "errors", body, lead)


__all__ = ["compared", "sections", "tiles"]
