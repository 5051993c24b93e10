"""The report of a classifier: its confusions, and the calibration of its probabilities."""

import math
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from textpipe.config import plugins
from textpipe.metrics import coverage
from textpipe.report import charts, data_contents, markup, page
from textpipe.report.charts import Series
from textpipe.report.page import Section
from textpipe.report.results import Run
from textpipe.report.views import _bars_compared as compared
from textpipe.report.views import _classifier_charts, texts

NUM_SHOWN = 10
MAX_CLASSES = 20  # the confusion matrix is shown for at most this many classes
NUM_BINS = 10
MAX_JUDGED = 20_000  # rows of train whose labels are judged for the page of a run; `textpipe data report` judges more


def tiles(metrics: Mapping[str, Any]) -> tuple[str, ...]:
    """Metrics shown as tiles."""
    return ("accuracy", "f1" if "f1" in metrics else "f1_macro", "roc_auc", "log_loss", "calibration_error")


def sections(run: Run) -> list[Section]:
    """All sections, in order."""
    parts = [classes_section(run), calibration_section(run)]
    if run.metrics.get("coverage"):
        parts.append(coverage_section(run))
    attention = [section] if (section := texts.attention_section(run)) else []
    return [*parts, errors_section(run), *attention, *label_errors(run)]


def classes_section(run: Run) -> Section:
    """The confusion matrix, or its largest entries for many classes; then precision, recall and F1 of each class."""
    labels, matrix = run.metrics["labels"], run.metrics["confusion"]
    figures = class_figures(labels, matrix)
    parts = []
    if len(labels) <= MAX_CLASSES:
        highest = max(max(line) for line in matrix)
        parts.append(
            charts.heat_map(
                "Confusion matrix", matrix, labels, labels, row_name="expected", column_name="predicted", highest=highest,
                format_cell=lambda count: f"{count:,}" if count else "",
                note="Rows: expected labels. Columns: predicted labels.",
            )
        )  # fmt: skip
    else:
        wrong = sorted(
            ((count, i, j) for i, line in enumerate(matrix) for j, count in enumerate(line) if i != j and count),
            reverse=True,
        )
        rows = [[labels[i], labels[j], count, count / max(sum(matrix[i]), 1)] for count, i, j in wrong[:25]]
        table = markup.table(
            ["expected", "predicted", "rows", "share of the expected"],
            rows,
            caption="Most frequent confusions",
            texts=(0, 1),
        )
        parts.append(f'<div class="card">{table}</div>')
        parts.append(
            charts.histogram(
                "F1 of the classes", [row[3] for row in figures], "F1", low=0, high=1, bins=20, counted="classes"
            )
        )
    many = parts.pop() if len(labels) > MAX_CLASSES else ""
    figures.sort(key=lambda row: row[3])
    table = markup.table(["class", "precision", "recall", "F1", "rows"], figures, caption="Classes, by increasing F1")
    parts += [f'<div class="card">{table}</div>', many]
    body = f'<div class="half">{"".join(parts)}</div>'
    if len(labels) > MAX_CLASSES:
        body += _classifier_charts.large_confusion_map(labels, matrix)
    return Section("Classes", "classes", body)


def class_figures(labels: Sequence[str], matrix: Sequence[Sequence[int]]) -> list[list[Any]]:
    """[label, precision, recall, F1, rows] of each class; precision is 0 for a class that is never predicted."""
    rows = []
    for at, label in enumerate(labels):
        correct, expected = matrix[at][at], sum(matrix[at])
        predicted = sum(line[at] for line in matrix)
        f1 = 2 * correct / max(predicted + expected, 1)
        rows.append([label, correct / max(predicted, 1), correct / max(expected, 1), f1, expected])
    return rows


def calibration_section(run: Run) -> Section:
    """Accuracy by confidence, and accuracy when answers with low confidence are withheld."""
    _, target = run.sides
    confidences = [line["score"] for line in run.predictions]
    correct = [line["answer"] == line[target] for line in run.predictions]
    bins: list[list[int]] = [[] for _ in range(NUM_BINS)]
    for at, confidence in enumerate(confidences):
        bins[min(NUM_BINS - 1, max(0, math.ceil(confidence * NUM_BINS) - 1))].append(at)
    filled = [members for members in bins if members]
    means = [sum(confidences[at] for at in members) / len(members) for members in filled]
    shares = [sum(correct[at] for at in members) / len(members) for members in filled]
    bounds = [wilson_interval(sum(correct[at] for at in members), len(members)) for members in filled]
    notes = [
        f"mean confidence {mean:.3f}, accuracy {share:.3f}, {len(members):,} rows"
        for mean, share, members in zip(means, shares, filled, strict=True)
    ]
    most = max(map(len, filled))
    reliability = charts.points(
        "Accuracy by confidence",
        Series("answers", means, shares, "a", low=[b[0] for b in bounds], high=[b[1] for b in bounds], notes=notes),
        "confidence", "accuracy", low=0, high=1, radius=lambda at: 2.5 + 5 * math.sqrt(len(filled[at]) / most),
        note="On the dashed line confidence equals accuracy. Larger dots: more rows; whiskers: 95 % (Wilson).",
    )  # fmt: skip
    spread = charts.histogram("Confidence of the answers", confidences, "confidence", low=0, high=1, bins=20)
    order = sorted(range(len(confidences)), key=lambda at: -confidences[at])
    coverage = [count / len(order) for count in range(1, len(order) + 1)]
    accuracy = [num_correct / count for count, num_correct in enumerate(accumulate(correct[at] for at in order), 1)]
    xs, ys = charts.downsample(coverage, accuracy)
    selective = charts.lines(
        "Accuracy when only the most confident answers are given", [Series("accuracy", xs, ys, "c")], "share of rows answered",
        note="The effect of a threshold on the confidence.",
    )  # fmt: skip
    error = run.metrics["metrics"].get("calibration_error")
    lead = f"Expected calibration error {markup.format_number(error)} over 15 bins." if error is not None else ""
    return Section("Confidence", "confidence", f'<div class="charts">{reliability}{spread}{selective}</div>', lead)


def coverage_section(run: Run) -> Section:
    """Precision and recall of the positive class when only the rows with its highest probabilities are positive."""
    _, target = run.sides
    positive = run.metrics["labels"][1]
    probabilities = np.array([line["probabilities"][positive] for line in run.predictions])
    actual = np.array([line[target] == positive for line in run.predictions])
    _, true_positives = coverage.curve(probabilities, actual)
    counts = np.arange(1, len(true_positives) + 1)
    series = []
    for name, values, colour in (
        ("precision", true_positives / counts, "a"),
        ("recall", true_positives / max(true_positives[-1], 1), "b"),
    ):
        xs, ys = charts.downsample((counts / len(true_positives)).tolist(), values.tolist())
        series.append(Series(name, xs, ys, colour))
    chart = charts.lines(
        f"Precision and recall of {positive!r} by coverage", series, "coverage",
        note="Coverage: the share of rows that are answered, those with the highest probability. Rows with equal probability: the mean over their orders.",
    )  # fmt: skip
    rows = [
        [line["coverage"], line["rows"], line["precision"], line["recall"], line["threshold"]]
        for line in run.metrics["coverage"]
    ]
    table = markup.table(
        ["coverage", "rows", "precision", "recall", "lowest probability"], rows, caption="Stated coverages", texts=()
    )
    area = run.metrics["metrics"].get("roc_auc")
    lead = f"ROC AUC {markup.format_number(area)}." if area is not None else ""
    curves = "".join(_classifier_charts.operating_curves(run))
    body = f'<div class="charts">{curves}{chart}<div class="card">{table}</div></div>'
    return Section("Coverage", "coverage", body, lead)


def wilson_interval(num_correct: int, rows: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927): wilson_interval(9, 10) -> (.596, .982)"""
    z = 1.959964
    share, spread = (
        num_correct / rows,
        z * math.sqrt(num_correct / rows * (1 - num_correct / rows) / rows + (z / (2 * rows)) ** 2),
    )
    middle, scale = share + z * z / (2 * rows), 1 + z * z / rows
    return max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)


def errors_section(run: Run) -> Section:
    """The most confident wrong answers, and the least confident answers."""
    source, target = run.sides
    wrong = [line for line in run.predictions if line["answer"] != line[target]]
    confident = sorted(wrong, key=lambda line: -line["score"])[:NUM_SHOWN]
    unconfident = sorted(run.predictions, key=lambda line: line["score"])[:NUM_SHOWN]

    def card(line: dict[str, Any]) -> str:
        probabilities = ", ".join(
            f"{label} {share:.3f}" for label, share in list(line.get("probabilities", {}).items())[:3]
        )
        entries = [
            (source, markup.text_html(line[source])),
            ("expected", markup.text_html(line[target])),
            ("predicted", markup.text_html(line["answer"])),
        ]
        return page.row_card([f"row {line['row'] + 1}", f"confidence {line['score']:.3f}", probabilities], entries)

    body = f'<div class="charts">{_classifier_charts.errors_by_length(run, wilson_interval)}</div>'
    body += page.card_group(f"The {len(confident)} most confident errors", list(map(card, confident)), opened=True)
    body += page.card_group(f"The {len(unconfident)} least confident answers", list(map(card, unconfident)))
    lead = f"{len(wrong):,} of {len(run.predictions):,} answers are wrong." if wrong else "No answer is wrong."
    return Section("Errors", "errors", body, lead)


def label_errors(run: Run) -> list[Section]:
    """The section of suspected label errors in train, if the run's rows are there and not too many for a page of every run."""
    from textpipe.data import shards
    from textpipe.quality import corpus
    from textpipe.quality import label_errors as confident_learning

    folder = run.artifacts.get("ingest")
    if folder is None or not 0 < shards.count_rows(folder, "train") <= MAX_JUDGED:
        return []
    fields = plugins.find("tasks", run.metrics["task"]).FIELDS
    table = confident_learning.measure_corpus(corpus.read_ingested(run.name, folder, fields))
    return [data_contents.label_errors_section(table)] if table else []


__all__ = ["compared", "sections", "tiles"]
