"""What a generator's report shows: scores by length, unknown words, sentences, attention."""

import random
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from textpipe.report import charts, markup, page, results
from textpipe.report.charts import Series
from textpipe.report.page import Section, titled
from textpipe.report.results import ATTENTION, Run
from textpipe.report.system_answers import references_of
from textpipe.report.views import _texts_compared as compared
from textpipe.report.views._lengths import GROUPS, groups

if TYPE_CHECKING:
    import numpy as np


SHOWN = 10  # sentences of each kind
RESAMPLES = 500
SEED = 1


def tiles(metrics: Mapping[str, Any]) -> tuple[str, ...]:
    """Figures in large type."""
    return ("bleu", "chrf", "ter", "perplexity", "length_ratio")


def sections(run: Run) -> list[Section]:
    """All of them, in order."""
    from textpipe.metrics import bleu_tokenizers, corpus, generation

    source, target = run.sides
    answers = [line["answer"] for line in run.predictions]
    references = [references_of(line, target) for line in run.predictions]
    tokenize = bleu_tokenizers.of_signature(run.metrics.get("signatures", {}).get("bleu", ""))
    statistics = generation.bleu_statistics(answers, references, lowercase=False, tokenize=tokenize)
    chrf = corpus.chrf(corpus.chrf_statistics(answers, references))
    lengths = [len(line[source].split()) for line in run.predictions]
    found = [by_length(lengths, statistics, chrf), unknown(run), sentences(run, chrf), attention(run)]
    return [section for section in found if section]


def by_length(lengths: list[int], statistics: "np.ndarray", chrf: "np.ndarray") -> Section:
    """BLEU of rows of like source length, and how the rows' length ratio and chrF are spread."""
    import numpy as np

    from textpipe.metrics import corpus, significance

    ranges = groups(lengths)
    members = [np.array([low <= length <= high for length in lengths]) for low, high in ranges]
    parts = [statistics[chosen] for chosen in members]
    values = [float(corpus.bleu(part.sum(axis=0)[None])[0]) for part in parts]
    bounds = []
    for part in parts:
        measure = corpus.Measure("bleu", [part], corpus.bleu)
        bounds.append(significance.interval(significance.resampled(measure, resamples=RESAMPLES, seed=SEED)[0]))
    labels = [f"{low}" if low == high else f"{low}–{high}" for low, high in ranges]
    counts = [int(chosen.sum()) for chosen in members]
    low, high = ([bound[side] for bound in bounds] for side in (0, 1))
    bleu = charts.bars(
        "BLEU by source length", labels, [Series("BLEU", [], values, "a", low=low, high=high)], "words in the source",
        counts=counts, note="Whiskers: 95 % of resampled rows.",
    )  # fmt: skip
    # BLEU's own tokens: answer and reference length are the last two statistics.
    each = (statistics[:, -2] / np.maximum(statistics[:, -1], 1)).tolist()
    total = float(statistics[:, -2].sum() / max(statistics[:, -1].sum(), 1))
    spread = charts.histogram(
        "Length of answer over length of reference", each, "ratio of a row", low=0, high=2, bins=40,
        mark=(1.0, f"all rows {total:.3f}"), note="Rows beyond 2 are counted at the end.",
    )  # fmt: skip
    middle = float(np.median(chrf))
    quality = charts.histogram(
        "chrF of the rows",
        chrf.tolist(),
        "chrF of a row",
        low=0,
        high=100,
        bins=25,
        mark=(middle, f"median {middle:.1f}"),
    )
    lead = "Longer sources are harder; answers shorter than their references lose BLEU by its brevity penalty."
    return Section("Length", "length", f'<div class="charts">{bleu}{spread}{quality}</div>', lead)


def unknown(run: Run) -> Section | None:
    """Rows whose source holds words that training saw never or seldom, and F1 of such words in the answers."""
    report = run.metrics
    parts = {name: report[name] for name in ("rare_words", "unseen_words") if (report.get(name) or {}).get("rows")}
    if not parts:
        return None
    names = [name for name in ("bleu", "chrf") if all(part["metrics"].get(name) is not None for part in parts.values())]
    series = [Series("all rows", [], [report["metrics"][name] for name in names], "a")]
    for colour, (kind, part) in zip("cb", parts.items(), strict=False):
        series.append(
            Series(f"rows with {kind.replace('_', ' ')}", [], [part["metrics"][name] for name in names], colour)
        )
    counts = "; ".join(f"{part['rows']:,} rows have {kind.replace('_', ' ')}" for kind, part in parts.items())
    drawn = [
        charts.bars(
            "Scores of rows with such words",
            list(map(titled, names)),
            series,
            "",
            note=f"Of {report['rows']:,}: {counts}.",
        )
    ]
    measured = {kind: found for kind in parts if (found := parts[kind].get("target_words")) and found["f1"] is not None}
    if measured:
        drawn += words_of(measured)
    lead = "A word is unseen when no training source holds it, case aside, and rare when few do."
    return Section("Unknown words", "unknown", f'<div class="charts">{"".join(drawn)}</div>', lead)


def words_of(measured: dict[str, dict[str, Any]]) -> list[str]:
    """F1 of rare and of unseen words of the references in the answers, as bars and as a table."""
    labels = [kind.replace("_", " ") for kind in measured]
    tables = list(measured.values())
    bounds = [table.get("interval") or [table["f1"]] * 2 for table in tables]
    values = [table["f1"] for table in tables]
    one = Series("F1", [], values, "a", low=[b[0] for b in bounds], high=[b[1] for b in bounds])
    chart = charts.bars(
        "F1 of rare and unseen words",
        labels,
        [one],
        "words of the references",
        note="Whiskers: 95 % of resampled rows.",
    )
    # A column for each kind and a row for each figure: two columns stand on a telephone as well.
    rows = [
        ["times in training", *(f"{one['least']} to {one['most']}" if one["most"] else "never" for one in tables)],
        ["in the references", *(one["reference_words"] for one in tables)],
        *([name, *(one[name.lower()] for one in tables)] for name in ("F1", "precision", "recall")),
    ]
    headers = ["", *labels]
    return [
        chart,
        f'<div class="card">{markup.table(headers, rows, caption="Words that the answers should hold")}</div>',
    ]


def sentences(run: Run, chrf: "np.ndarray") -> Section:
    """The ten worst, ten best and ten drawn by lot, by chrF of the sentence; ties are settled by lot."""
    order = list(range(len(chrf)))
    draw = random.Random(SEED)
    draw.shuffle(order)
    worst = sorted(order, key=lambda at: chrf[at])
    best = sorted(order, key=lambda at: -chrf[at])
    parts = [
        group(f"{title} {len(chosen)}", run, chrf, chosen, opened)
        for title, chosen, opened in (
            ("Worst", worst[:SHOWN], True),
            ("Best", best[:SHOWN], False),
            ("Drawn by lot:", order[:SHOWN], False),
        )
    ]
    lead = (
        "Ranked by chrF of the sentence alone. Words of the answer that the reference has not in this place are marked."
    )
    return Section("Sentences", "sentences", "".join(parts), lead)


def group(title: str, run: Run, chrf: "np.ndarray", chosen: list[int], opened: bool) -> str:
    """A heading and its sentences."""
    source, target = run.sides
    cards = []
    for at in chosen:
        line = run.predictions[at]
        wanted = references_of(line, target)
        facts = [f"row {line.get('row', at)}", f"chrF {chrf[at]:.1f}"]
        if isinstance(line.get("score"), int | float):
            facts.append(f"model's score {line['score']:.3g}")
        entries = [
            (source, markup.shown(line[source])),
            (
                f"reference ({target})" if target not in ("target", "reference") else "reference",
                page.references(wanted),
            ),
            ("answer", markup.differing(line["answer"], wanted)),
        ]
        cards.append(page.sentence(facts, entries))
    return page.group(title, cards, opened=opened)


def attention(run: Run) -> Section | None:
    """Where a few answers looked, as evaluate wrote it down."""
    source, _ = run.sides
    texts = {line["row"]: line[source] for line in run.predictions}
    maps = []
    for line in results.lines(run.artifacts["evaluate"] / ATTENTION):
        drawn = charts.heat_map(
            texts.get(line["row"], "attention"), line["weights"], line["target_tokens"], line["source_tokens"],
            row_name="answer", column_name="source",
            write=lambda weight: f"{weight:.1f}".removeprefix("0") if weight >= 0.05 else "",
        )  # fmt: skip
        maps.append(drawn)
    if not maps:
        return None
    lead = "Each row is a piece of the answer and shows on which pieces of the source it looked; a row adds up to 1."
    return Section("Attention", "attention", f'<div class="half">{"".join(maps)}</div>', lead)


__all__ = ["GROUPS", "compared", "groups", "sections", "tiles"]
