"""The report of a ranker: how high given replies rank, what is suggested most, and messages with their suggestions."""

import random
from collections import Counter
from collections.abc import Mapping
from typing import Any

from textpipe.report import charts, markup, page
from textpipe.report.charts import Series
from textpipe.report.page import Section
from textpipe.report.results import Run
from textpipe.report.views import _rankings_compared as compared
from textpipe.text.canonical import canonical

NUM_SHOWN = 10
NUM_REPLIES = 25
CUTS = (1, 3, 10, 20)
SEED = 1


def tiles(metrics: Mapping[str, Any]) -> tuple[str, ...]:
    """Metrics shown as tiles."""
    return ("suggested", "mrr", "p_at_3", "one_of_100", "coverage")


def sections(run: Run) -> list[Section]:
    """All sections, in order."""
    return [section for section in (ranks_section(run), replies_section(run), messages_section(run)) if section]


def ranks_section(run: Run) -> Section | None:
    """Precision at 1, 3, 10 and 20."""
    metrics = run.metrics["metrics"]
    if metrics.get("mrr") is None:
        return None
    values = [metrics[f"p_at_{cut}"] for cut in CUTS]
    chart = charts.bars(
        "Rows whose own reply is among the first k", [str(cut) for cut in CUTS], [Series("rows", [], values, "a")], "k",
        note=f"Of the {metrics['coverage']:.1%} of rows whose reply is in the response set.",
    )  # fmt: skip
    lead = f"Mean reciprocal rank {metrics['mrr']:.3f}; ordered by frequency alone, {metrics['mrr_by_frequency']:.3f}."
    return Section("Ranks", "ranks", f'<div class="charts">{chart}</div>', lead)


def replies_section(run: Run) -> Section:
    """The replies suggested most often."""
    counts = Counter(reply for line in run.predictions for reply in line["replies"] if reply)
    rows = [[reply, count, count / len(run.predictions)] for reply, count in counts.most_common(NUM_REPLIES)]
    table = markup.table(["reply", "rows", "share"], rows, caption="Replies suggested most", texts=(0,))
    lead = f"{len(counts):,} different replies are suggested to {len(run.predictions):,} messages."
    return Section("Replies", "replies", f'<div class="card">{table}</div>', lead)


def messages_section(run: Run) -> Section:
    """Random messages whose own reply was suggested, and others."""
    source, target = run.sides
    hits: list[dict[str, Any]] = []
    misses: list[dict[str, Any]] = []
    for line in run.predictions:
        own_reply = canonical(line[target])
        (hits if own_reply in map(canonical, line["replies"]) else misses).append(line)
    draw = random.Random(SEED)

    def card(line: dict[str, Any]) -> str:
        entries = [(source, markup.text_html(line[source])), ("own reply", markup.text_html(line[target]))]
        for reply, score, intent in zip(line["replies"], line["scores"], line["intents"], strict=True):
            if reply:
                entries.append((f"{score:.3f} {intent}".strip(), markup.text_html(reply)))
        return page.row_card([f"row {line['row'] + 1}"], entries)

    body = ""
    for title, lines in (("messages whose own reply was suggested", hits), ("other messages", misses)):
        chosen = draw.sample(lines, min(NUM_SHOWN, len(lines)))
        body += page.card_group(f"{len(chosen)} of {len(lines):,} {title}", list(map(card, chosen)), opened=True)
    return Section("Messages", "messages", body)


__all__ = ["compared", "sections", "tiles"]
