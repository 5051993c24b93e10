"""Charts of a classifier: the confusions of many classes, its operating point, and its errors by length."""

from collections.abc import Callable, Sequence

import numpy as np

from textpipe.metrics import coverage
from textpipe.metrics.length_ranges import length_ranges
from textpipe.report import axes, charts, markup
from textpipe.report.charts import Series
from textpipe.report.results import Run

CELL = 9  # pixels of a cell of the map of many classes
LABEL = 210  # pixels for the names of the classes
LONGEST_NAME = 36  # characters


def cluster_order(matrix: Sequence[Sequence[int]]) -> list[int]:
    """An order of the classes in which those confused with each other are neighbours: leaves of average-linkage clustering."""
    from scipy.cluster import hierarchy
    from scipy.spatial.distance import squareform

    counts = np.array(matrix, np.float64)
    rates = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    distance = 1 - np.minimum(1, rates + rates.T)
    np.fill_diagonal(distance, 0)
    return [int(at) for at in hierarchy.leaves_list(hierarchy.linkage(squareform(distance, checks=False), "average"))]


def large_confusion_map(labels: Sequence[str], matrix: Sequence[Sequence[int]]) -> str:
    """The confusion matrix of many classes as a drawing that scrolls: correct rows in one colour, confusions in another.

    Classes are in cluster order. A cell's strength is its share of the rows of its class; its tooltip has names and counts.
    """
    order = cluster_order(matrix)
    size = len(order)
    side = CELL * size
    out = []
    for y, row in enumerate(order):
        total = max(sum(matrix[row]), 1)
        name = labels[row] if len(labels[row]) <= LONGEST_NAME else labels[row][: LONGEST_NAME - 1] + "…"
        out.append(axes.label(LABEL - 5, y * CELL + CELL - 1.5, name, "end", "tiny"))
        for x, column in enumerate(order):
            count = matrix[row][column]
            if not count:
                continue
            tooltip = f"expected {labels[row]}, predicted {labels[column]}: {count:,} of {total:,} rows"
            box = {"x": LABEL + x * CELL, "y": y * CELL, "width": CELL - 1, "height": CELL - 1}
            strength = f"{0.25 + 0.75 * min(1, (1 if row == column else 3) * count / total):.2f}"
            colour = "a" if row == column else "b"
            title = f"<title>{markup.attribute(tooltip)}</title>"
            out.append(axes.element("rect", f"bar {colour}", title, fill_opacity=strength, **box))
    drawing = (
        f'<svg viewBox="0 0 {LABEL + side} {side}" style="width:{LABEL + side}px;max-width:none" role="img" '
        f'aria-label="Confusion matrix">{"".join(out)}</svg>'
    )
    note = (
        "Rows: expected labels. Columns: predicted labels, in the same order, in which classes confused with each other are neighbours. Blue: correct. "
        "Orange: confused. Point at a cell for its names and rows."
    )
    return (
        f'<details class="card"><summary>Confusion matrix of all {size:,} classes</summary><div class="scroll" tabindex="0" role="region" '
        f'aria-label="Confusion matrix">{drawing}</div><p class="note">{note}</p></details>'
    )


def operating_curves(run: Run) -> list[str]:
    """ROC and precision-recall curves of the positive of two classes, with the point at which the answers are given."""
    _, target = run.sides
    positive = run.metrics["labels"][1]
    probabilities = np.array([line["probabilities"][positive] for line in run.predictions])
    actual = np.array([line[target] == positive for line in run.predictions])
    answered = np.array([line["answer"] == positive for line in run.predictions])
    positives, negatives = int(actual.sum()), int((~actual).sum())
    if not positives or not negatives:
        return []
    thresholds, true_positives = coverage.curve(probabilities, actual)
    counts = np.arange(1, len(true_positives) + 1)
    # A point of a curve for each distinct probability: rows of equal probability cannot be separated.
    last = np.append(thresholds[1:] != thresholds[:-1], True)
    true_positives, counts = true_positives[last], counts[last]
    recall = np.concatenate([[0], true_positives / positives])
    false_rate = np.concatenate([[0], (counts - true_positives) / negatives])
    point_recall = float(answered[actual].mean())
    point_false = float(answered[~actual].mean())
    number = markup.format_number
    roc_xs, roc_ys = thin(false_rate, recall)
    chart = charts.lines(
        f"ROC curve of {positive!r}", [Series("true positive rate", roc_xs, roc_ys, "a")], "false positive rate", zero=True,
        mark=(point_false, point_recall, f"answers: {number(point_recall, 3)} at {number(point_false, 3)}"),
        note=f"The ring is where the model answers {positive!r}: the true positive rate at the false positive rate.", data=False,
    )  # fmt: skip
    curves = [chart]
    if answered.any():
        point = float(actual[answered].mean())
        xs, ys = thin(true_positives / positives, true_positives / counts)
        curves.append(
            charts.lines(
                f"Precision and recall of {positive!r}", [Series("precision", xs, ys, "a")], "recall", zero=True,
                mark=(point_recall, point, f"answers: {number(point, 3)} at {number(point_recall, 3)}"),
                note=f"The ring is the precision and recall of the answers {positive!r}. Without a model precision is {number(positives / len(actual), 3)}.",
                data=False,
            )
        )  # fmt: skip
    return curves


def thin(xs: np.ndarray, ys: np.ndarray) -> tuple[list[float], list[float]]:
    """At most charts.MAX_POINTS of the points, with the first and the last."""
    chosen = np.unique(np.linspace(0, len(xs) - 1, min(len(xs), charts.MAX_POINTS)).round().astype(int))
    return xs[chosen].tolist(), ys[chosen].tolist()


def errors_by_length(run: Run, interval: Callable[[int, int], tuple[float, float]]) -> str:
    """The accuracy of rows grouped by the words of their source; interval(num_correct, rows) gives the bounds of a share."""
    source, target = run.sides
    lengths = [len(str(line[source]).split()) for line in run.predictions]
    correct = [line["answer"] == line[target] for line in run.predictions]
    names, shares, low, high, counts = [], [], [], [], []
    for first, last in length_ranges(lengths):
        rows = [at for at, length in enumerate(lengths) if first <= length <= last]
        num_correct = sum(correct[at] for at in rows)
        bounds = interval(num_correct, len(rows))
        names.append(f"{first}–{last}" if last > first else str(first))
        shares.append(num_correct / len(rows))
        low.append(bounds[0])
        high.append(bounds[1])
        counts.append(len(rows))
    series = Series("accuracy", (), shares, "a", low=low, high=high)
    return charts.bars(
        "Accuracy by length", names, [series], "words in the source", counts=counts, note="Whiskers: 95 % (Wilson)."
    )
