"""The report of a generator: scores by length, unknown words, sentences, attention."""

import base64
import random
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from textpipe.metrics.length_ranges import NUM_RANGES, length_ranges
from textpipe.report import charts, markup, page, picture_attention, results
from textpipe.report.charts import Series
from textpipe.report.page import Section, metric_title
from textpipe.report.results import ATTENTION, Run
from textpipe.report.system_answers import references_of
from textpipe.report.views import _texts_compared as compared

if TYPE_CHECKING:
    import numpy as np


NUM_SHOWN = 10  # sentences per group
RESAMPLES = 500
SEED = 1


def tiles(metrics: Mapping[str, Any]) -> tuple[str, ...]:
    """Metrics shown as tiles."""
    return ("bleu", "chrf", "ter", "perplexity", "length_ratio")


def sections(run: Run) -> list[Section]:
    """All sections, in order."""
    from textpipe.metrics import bleu_tokenizers, corpus, generation

    source, target = run.sides
    answers = [line["answer"] for line in run.predictions]
    references = [references_of(line, target) for line in run.predictions]
    tokenize = bleu_tokenizers.tokenizer_in_signature(run.metrics.get("signatures", {}).get("bleu", ""))
    statistics = generation.bleu_statistics(answers, references, lowercase=False, tokenize=tokenize)
    chrf = corpus.chrf(corpus.chrf_statistics(answers, references))
    lengths = [len(line[source].split()) for line in run.predictions]
    sections = [
        length_section(lengths, statistics, chrf),
        unknown_words_section(run),
        sentences_section(run, chrf),
        attention_section(run),
    ]
    return [section for section in sections if section]


def length_section(lengths: list[int], statistics: "np.ndarray", chrf: "np.ndarray") -> Section:
    """BLEU by source length, and the distributions of the rows' length ratio and chrF."""
    import numpy as np

    from textpipe.metrics import corpus, significance

    ranges = length_ranges(lengths)
    members = [np.array([low <= length <= high for length in lengths]) for low, high in ranges]
    parts = [statistics[chosen] for chosen in members]
    values = [float(corpus.bleu(part.sum(axis=0)[None])[0]) for part in parts]
    bounds = []
    for part in parts:
        measure = corpus.Measure("bleu", [part], corpus.bleu)
        bounds.append(
            significance.percentile_interval(significance.bootstrap_values(measure, resamples=RESAMPLES, seed=SEED)[0])
        )
    labels = [f"{low}" if low == high else f"{low}–{high}" for low, high in ranges]
    counts = [int(chosen.sum()) for chosen in members]
    low, high = ([bound[side] for bound in bounds] for side in (0, 1))
    bleu = charts.bars(
        "BLEU by source length", labels, [Series("BLEU", [], values, "a", low=low, high=high)], "words in the source",
        counts=counts, note="Whiskers: 95 % of resampled rows.",
    )  # fmt: skip
    # BLEU's own tokens: answer and reference length are the last two statistics.
    ratios = (statistics[:, -2] / np.maximum(statistics[:, -1], 1)).tolist()
    total = float(statistics[:, -2].sum() / max(statistics[:, -1].sum(), 1))
    spread = charts.histogram(
        "Length of answer over length of reference", ratios, "ratio of a row", low=0, high=2, bins=40,
        mark=(1.0, f"all rows {total:.3f}"), note="Rows beyond 2 are counted in the last bin.",
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
    lead = "Longer sources are harder; BLEU penalizes answers that are shorter than their references."
    return Section("Length", "length", f'<div class="charts">{bleu}{spread}{quality}</div>', lead)


def unknown_words_section(run: Run) -> Section | None:
    """Scores of rows with source words that are unseen or rare in training, and F1 of such words in the answers."""
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
    figures = [
        charts.bars(
            "Scores of rows with rare and unseen words",
            list(map(metric_title, names)),
            series,
            "",
            note=f"Of {report['rows']:,}: {counts}.",
        )
    ]
    measured = {kind: words for kind in parts if (words := parts[kind].get("target_words")) and words["f1"] is not None}
    if measured:
        figures += word_figures(measured)
    lead = "A word is unseen if no training source contains it, ignoring case, and rare if few do."
    return Section("Unknown words", "unknown", f'<div class="charts">{"".join(figures)}</div>', lead)


def word_figures(measured: dict[str, dict[str, Any]]) -> list[str]:
    """F1 of the references' rare and unseen words in the answers, as a chart and a table."""
    labels = [kind.replace("_", " ") for kind in measured]
    tables = list(measured.values())
    bounds = [table.get("interval") or [table["f1"]] * 2 for table in tables]
    values = [table["f1"] for table in tables]
    series = Series("F1", [], values, "a", low=[b[0] for b in bounds], high=[b[1] for b in bounds])
    chart = charts.bars(
        "F1 of rare and unseen words",
        labels,
        [series],
        "words of the references",
        note="Whiskers: 95 % of resampled rows.",
    )
    # One column per kind of word and one row per figure, so that the table fits a phone.
    rows = [
        [
            "times in training",
            *(f"{table['least']} to {table['most']}" if table["most"] else "never" for table in tables),
        ],
        ["in the references", *(table["reference_words"] for table in tables)],
        *([name, *(table[name.lower()] for table in tables)] for name in ("F1", "precision", "recall")),
    ]
    headers = ["", *labels]
    return [
        chart,
        f'<div class="card">{markup.table(headers, rows, caption="Words that the answers should contain")}</div>',
    ]


def sentences_section(run: Run, chrf: "np.ndarray") -> Section:
    """The ten worst and ten best sentences by chrF, and ten random ones; ties are broken at random."""
    order = list(range(len(chrf)))
    draw = random.Random(SEED)
    draw.shuffle(order)
    worst = sorted(order, key=lambda at: chrf[at])
    best = sorted(order, key=lambda at: -chrf[at])
    parts = [
        sentence_group(f"{title} {len(chosen)}", run, chrf, chosen, opened)
        for title, chosen, opened in (
            ("Worst", worst[:NUM_SHOWN], True),
            ("Best", best[:NUM_SHOWN], False),
            ("Random", order[:NUM_SHOWN], False),
        )
    ]
    lead = "Ranked by chrF of the sentence. Words of the answer that differ from the reference are marked."
    return Section("Sentences", "sentences", "".join(parts), lead)


def sentence_group(title: str, run: Run, chrf: "np.ndarray", chosen: list[int], opened: bool) -> str:
    """A collapsible group of sentences."""
    source, target = run.sides
    cards = []
    for at in chosen:
        line = run.predictions[at]
        references = references_of(line, target)
        facts = [f"row {line.get('row', at) + 1}", f"chrF {chrf[at]:.1f}"]
        if isinstance(line.get("score"), int | float):
            facts.append(f"model's score {line['score']:.3g}")
        entries = [
            (source, markup.text_html(line[source])),
            (
                f"reference ({target})" if target not in ("target", "reference") else "reference",
                page.references_html(references),
            ),
            ("answer", markup.mark_differences(line["answer"], references)),
        ]
        cards.append(page.row_card(facts, entries))
    return page.card_group(title, cards, opened=opened)


def attention_section(run: Run) -> Section | None:
    """Attention maps of a few answers, as written by evaluate."""
    source, _ = run.sides
    texts = {line["row"]: line[source] for line in run.predictions}
    maps = []
    for line in results.read_json_lines(run.artifacts["evaluate"] / ATTENTION):
        if "grid" in line:
            picture = base64.b64decode(line["picture"]["b64"])
            words = picture_attention.panels(line["weights"], line["grid"], line["target_tokens"], picture)
            maps.append(f'<div class="card">{words}</div>')
            continue
        heat_map = charts.heat_map(
            texts.get(line["row"], "attention"), line["weights"], line["target_tokens"], line["source_tokens"],
            row_name="answer", column_name="source",
            format_cell=lambda weight: f"{weight:.1f}".removeprefix("0") if weight >= 0.05 else "",
        )  # fmt: skip
        maps.append(heat_map)
    if not maps:
        return None
    lead = (
        "Each row shows the attention weights of a piece of the answer over the pieces of the source; a row adds up to 1. Of a "
        "picture, the regions with the most attention of a word are bright."
    )
    return Section("Attention", "attention", f'<div class="half">{"".join(maps)}</div>', lead)


__all__ = ["NUM_RANGES", "compared", "length_ranges", "sections", "tiles"]
