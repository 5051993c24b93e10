"""What the report of a classifier with any number of labels shows: each label, and the rows that are answered otherwise."""

from collections.abc import Mapping
from typing import Any

from textpipe.kinds.labels import BETWEEN
from textpipe.report import markup, page
from textpipe.report.page import Section
from textpipe.report.results import Run
from textpipe.report.views import _label_sets_compared as compared

SHOWN = 10


def tiles(metrics: Mapping[str, Any]) -> tuple[str, ...]:
    """Figures in large type."""
    return ("f1_micro", "f1_macro", "subset_accuracy", "average_precision", "hamming_loss")


def sections(run: Run) -> list[Section]:
    """All of them, in order."""
    return [labels(run), errors(run)]


def labels(run: Run) -> Section:
    """Precision, recall and F1 of each label."""
    _, target = run.sides
    counts: dict[str, list[int]] = {}  # right, wanted, answered
    for line in run.predictions:
        wanted, answered = set(line[target]), names(line["answer"])
        for label in wanted | answered:
            own = counts.setdefault(label, [0, 0, 0])
            own[0] += label in wanted & answered
            own[1] += label in wanted
            own[2] += label in answered
    figures: list[list[Any]] = [
        [label, right / max(answered, 1), right / max(wanted, 1), 2 * right / max(answered + wanted, 1), wanted]
        for label, (right, wanted, answered) in sorted(counts.items())
    ]
    figures.sort(key=lambda row: row[3])
    table = markup.table(["label", "precision", "recall", "F1", "rows"], figures, caption="Labels, the hardest first")
    return Section("Labels", "labels", f'<div class="card">{table}</div>')


def names(answer: str) -> set[str]:
    """ "billing|urgent" -> {"billing", "urgent"}."""
    return set(answer.split(BETWEEN)) - {""}


def errors(run: Run) -> Section:
    """The rows whose labels are not those wanted, the surest answers first."""
    source, target = run.sides
    wrong = [line for line in run.predictions if names(line["answer"]) != set(line[target])]
    surest = sorted(wrong, key=lambda line: -line["score"])[:SHOWN]

    def card(line: dict[str, Any]) -> str:
        others = ", ".join(f"{label} {share:.3f}" for label, share in list(line.get("probabilities", {}).items())[:5])
        entries = [
            (source, markup.shown(line[source])),
            ("wanted", markup.shown(", ".join(line[target]))),
            ("answered", markup.shown(", ".join(sorted(names(line["answer"]))))),
        ]
        return page.sentence([f"row {line['row']}", f"confidence {line['score']:.3f}", others], entries)

    body = page.group(f"The {len(surest)} surest errors", list(map(card, surest)), opened=True)
    share = f"{len(wrong):,} of {len(run.predictions):,} rows have other labels than those wanted."
    return Section("Errors", "errors", body, share if wrong else "All rows have the labels wanted.")


__all__ = ["compared", "sections", "tiles"]
