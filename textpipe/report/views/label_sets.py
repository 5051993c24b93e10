"""The report of a multi-label classifier: figures of each label, and rows with wrong labels."""

from collections.abc import Mapping
from typing import Any

from textpipe.kinds.labels import SEPARATOR
from textpipe.report import markup, page
from textpipe.report.page import Section
from textpipe.report.results import Run
from textpipe.report.views import _label_sets_compared as compared

NUM_SHOWN = 10


def tiles(metrics: Mapping[str, Any]) -> tuple[str, ...]:
    """Metrics shown as tiles."""
    return ("f1_micro", "f1_macro", "subset_accuracy", "average_precision", "hamming_loss")


def sections(run: Run) -> list[Section]:
    """All sections, in order."""
    return [labels_section(run), errors_section(run)]


def labels_section(run: Run) -> Section:
    """Precision, recall and F1 of each label."""
    _, target = run.sides
    counts: dict[str, list[int]] = {}  # correct, expected, predicted
    for line in run.predictions:
        expected, predicted = set(line[target]), parse_labels(line["answer"])
        for label in expected | predicted:
            count = counts.setdefault(label, [0, 0, 0])
            count[0] += label in expected & predicted
            count[1] += label in expected
            count[2] += label in predicted
    figures: list[list[Any]] = [
        [
            label,
            correct / max(predicted, 1),
            correct / max(expected, 1),
            2 * correct / max(predicted + expected, 1),
            expected,
        ]
        for label, (correct, expected, predicted) in sorted(counts.items())
    ]
    figures.sort(key=lambda row: row[3])
    table = markup.table(["label", "precision", "recall", "F1", "rows"], figures, caption="Labels, by increasing F1")
    return Section("Labels", "labels", f'<div class="card">{table}</div>')


def parse_labels(answer: str) -> set[str]:
    """ "billing|urgent" -> {"billing", "urgent"}."""
    return set(answer.split(SEPARATOR)) - {""}


def errors_section(run: Run) -> Section:
    """The rows with wrong labels, most confident first."""
    source, target = run.sides
    wrong = [line for line in run.predictions if parse_labels(line["answer"]) != set(line[target])]
    confident = sorted(wrong, key=lambda line: -line["score"])[:NUM_SHOWN]

    def card(line: dict[str, Any]) -> str:
        probabilities = ", ".join(
            f"{label} {share:.3f}" for label, share in list(line.get("probabilities", {}).items())[:5]
        )
        entries = [
            (source, markup.text_html(line[source])),
            ("expected", markup.text_html(", ".join(line[target]))),
            ("predicted", markup.text_html(", ".join(sorted(parse_labels(line["answer"]))))),
        ]
        return page.row_card([f"row {line['row'] + 1}", f"confidence {line['score']:.3f}", probabilities], entries)

    body = page.card_group(f"The {len(confident)} most confident errors", list(map(card, confident)), opened=True)
    share = f"{len(wrong):,} of {len(run.predictions):,} rows have wrong labels."
    return Section("Errors", "errors", body, share if wrong else "All rows have the expected labels.")


__all__ = ["compared", "sections", "tiles"]
