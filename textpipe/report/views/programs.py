"""The report of programs over tables: the rows with wrong answers, and the programs that gave them."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from textpipe.report import markup, page
from textpipe.report.page import Section
from textpipe.report.results import Run
from textpipe.report.views import _texts_compared as compared

NUM_SHOWN = 10


def tiles(metrics: Mapping[str, Any]) -> tuple[str, ...]:
    """Metrics shown as tiles."""
    return ("accuracy", "answered", "answered_accuracy")


def sections(run: Run) -> list[Section]:
    """All sections, in order."""
    return [operations_section(run), errors_section(run)]


def operations_of(program: str) -> list[str]:
    """The operations of a program's line: "match(Team) rows 3; print(City)" -> ["match", "print"]."""
    return [step.split("(")[0].split(" ")[0] for step in program.split("; ")]


def operations_section(run: Run) -> Section:
    """How often the last operation was of each kind, and how often its answer was right."""
    from textpipe.metrics import denotation

    _, target = run.sides
    total, correct = Counter[str](), Counter[str]()
    for line in run.predictions:
        last = operations_of(line["program"])[-1]
        total[last] += 1
        correct[last] += denotation.is_correct(line["program_answer"], line[target])
    figures: list[list[Any]] = [[name, count, correct[name] / count] for name, count in total.most_common()]
    table = markup.table(["last operation", "rows", "accuracy"], figures, caption="Operations that gave the answer")
    return Section("Operations", "operations", f'<div class="card">{table}</div>')


def errors_section(run: Run) -> Section:
    """The rows with wrong answers, most confident first."""
    from textpipe.metrics import denotation

    _, target = run.sides
    wrong = [line for line in run.predictions if not denotation.is_correct(line["program_answer"], line[target])]
    confident = sorted(wrong, key=lambda line: -line["score"])[:NUM_SHOWN]
    sources = [name for name in (confident[0] if confident else {}) if name not in (
        "row", target, "answer", "score", "answered", "program_answer", "program"
    )]  # fmt: skip

    def card(line: dict[str, Any]) -> str:
        entries = [(name, markup.text_html(str(line[name])[:400])) for name in sources]
        entries += [
            ("expected", markup.text_html(line[target])),
            ("answer", markup.text_html(line["program_answer"])),
            ("program", markup.text_html(line["program"])),
        ]
        return page.row_card([f"row {line['row'] + 1}", f"score {line['score']:.3f}"], entries)

    body = page.card_group(f"The {len(confident)} most confident errors", list(map(card, confident)), opened=True)
    share = f"{len(wrong):,} of {len(run.predictions):,} rows have wrong answers."
    return Section("Errors", "errors", body, share if wrong else "All rows have the expected answers.")


__all__ = ["compared", "sections", "tiles"]
