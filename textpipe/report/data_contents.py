"""Sections of the page of a data report: classes, texts, languages, personal data, and the comparison with other data."""

from collections.abc import Mapping, Sequence
from typing import Any

from textpipe.data.statistics import MAIL_REPAIRS, REPAIRS
from textpipe.quality import findings
from textpipe.quality.languages import CURE, UNDETERMINED
from textpipe.quality.personal_data import TITLES
from textpipe.report import charts, markup, page
from textpipe.report.charts import Series
from textpipe.report.page import Section

MAX_BARS = 12  # classes of a chart


def text_card(entry: Mapping[str, Any], facts: Sequence[str] = (), more: Sequence[tuple[str, str]] = ()) -> str:
    """A card of a text and its row."""
    place = f"{entry['split']} row {entry['row'] + 1}"
    return page.row_card([place, *facts], [("text", markup.text_html(entry["text"])), *more])


def classes_section(table: Mapping[str, Any]) -> Section:
    """Rows per class."""
    splits = table["classes"]
    first = next(iter(splits.values()))
    names = list(dict.fromkeys(name for entry in splits.values() for name in entry["classes"]))
    rows = [[name, *(entry["classes"].get(name, 0) for entry in splits.values())] for name in names]
    counts = list(first["classes"].values())
    parts = []
    if 1 < len(names) <= MAX_BARS:
        totals = {split: max(sum(entry["classes"].values()), 1) for split, entry in splits.items()}
        series = [
            Series(split, (), [entry["classes"].get(name, 0) / totals[split] for name in names], colour)
            for (split, entry), colour in zip(splits.items(), "abc", strict=False)
        ]
        shown = [name if len(name) <= 12 else name[:11] + "…" for name in names]
        parts.append(charts.bars("Share of the rows of each split", shown, series, "class"))
    elif counts:
        parts.append(
            charts.histogram(
                "Rows per class in the first split",
                counts,
                "rows",
                low=0,
                high=max(counts) * 1.001,
                bins=20,
                counted="classes",
            )
        )
    summary = [
        [split, *(entry[key] for key in ("num_classes", "evenness", "largest_to_smallest"))]
        for split, entry in splits.items()
    ]
    headers = ["split", "classes", "evenness", "largest to smallest"]
    parts.append(f'<div class="card">{markup.table(headers, summary, caption="Balance of the classes")}</div>')
    listing = page.collapsible(f"Rows of {len(names):,} classes", markup.table(["class", *splits], rows))
    lead = "Evenness: the entropy of the classes' shares, 1 if all have equally many rows."
    return Section("Classes", "classes", f'<div class="half">{"".join(parts)}</div>{listing}', lead)


def label_errors_section(entry: Mapping[str, Any]) -> Section:
    """Labels of train that are probably wrong."""
    cards = [
        page.row_card(
            [f"train row {item['row'] + 1}", f"margin {item['margin']:.3f}"],
            [
                ("text", markup.text_html(item["text"])),
                ("label", markup.escape(item["label"])),
                ("suspected", markup.escape(item["suspected_label"])),
            ],
        )
        for item in entry["examples"]
    ]
    lead = (
        f"{entry['suspected']:,} of {entry['rows']:,} labels of train ({findings.percent(entry['share'])}) are less probable than another class that is confidently "
        "predicted for their text by cross-validated naive Bayes (confident learning, Northcutt et al. 2021). Some are hard rather than wrong: read "
        "before you change them."
    )
    body = page.card_group(f"The {len(cards)} most certain", cards)
    return Section("Suspected label errors", "label-errors", body, lead)


def texts_section(table: Mapping[str, Any]) -> Section:
    """Lengths of the texts."""
    rows, figures = [], []
    for split, entry in table["splits"].items():
        for name, profile in entry["fields"].items():
            if "histogram" not in profile:
                continue
            words = [profile["words"][key] for key in ("min", "p5", "p50", "p95", "p99", "max")]
            rows.append(
                [f"{name}, {split}", *words, profile["characters"]["max"], profile["one_word"], profile["much_longer"]]
            )
            width, counts = profile["histogram"]["width"], profile["histogram"]["counts"]
            values = [width * (at + 0.5) for at, count in enumerate(counts) for _ in range(count)]
            figures.append(
                charts.histogram(
                    f"Words per text: {name}, {split}", values, "words", low=0, high=width * len(counts), bins=len(counts),
                    counted="texts", note="Up to the 99th percentile.",
                )
            )  # fmt: skip
    headers = [
        "field",
        "words: min",
        "5 %",
        "median",
        "95 %",
        "99 %",
        "max",
        "characters: max",
        "one word",
        "over 10 × the median",
    ]
    body = f'<div class="card">{markup.table(headers, rows, caption="Lengths")}</div><div class="charts">{"".join(figures)}</div>'
    return Section("Texts", "texts", body)


def contents_section(table: Mapping[str, Any]) -> Section:
    """Languages, scripts, personal data and repairs."""
    scripts = [
        [f"{name}, {split}", findings.shares(profile["scripts"])]
        for split, entry in table["splits"].items()
        for name, profile in entry["fields"].items()
        if "scripts" in profile
    ]
    parts = [f'<div class="card">{markup.table(["field", "letters"], scripts, caption="Scripts", texts=(0, 1))}</div>']
    rows, cards = [], ""
    for name, splits in table.get("languages", {}).items():
        for split, entry in splits.items():
            rows += [
                [f"{name}, {split}", "undetermined" if code == UNDETERMINED else code, share]
                for code, share in entry["shares"].items()
            ]
            for code, examples in entry["examples"].items():
                cards += page.card_group(
                    f"{name}, {split}: texts identified as {code}",
                    [text_card({"split": split, **item}) for item in examples],
                )
    if rows:
        parts.append(
            f'<div class="card">{markup.table(["field", "language", "share of texts"], rows, caption="Languages", texts=(0, 1))}</div>'
        )
    rows = [
        [
            f"{name}, {split}",
            TITLES[kind],
            entry[kind]["rows"],
            entry[kind]["count"],
            ", ".join(map(str, entry[kind]["examples"])),
        ]
        for name, splits in table["personal_data"].items()
        for split, entry in splits.items()
        for kind in TITLES
        if entry[kind]["rows"]
    ]
    if rows:
        headers = ["field", "kind", "rows", "occurrences", "first rows"]
        parts.append(f'<div class="card">{markup.table(headers, rows, caption="Personal data", texts=(0, 1, 4))}</div>')
    rows = [[(REPAIRS | MAIL_REPAIRS).get(name, name), count] for name, count in table["repairs"].items()]
    rows += [[f"{path}: read as {encoding}", 1] for path, encoding in table["encodings"].items()]
    if rows:
        parts.append(f'<div class="card">{markup.table(["repair", "count"], rows, caption="Repairs")}</div>')
    lead = "" if table.get("languages") else f"Languages: {CURE}."
    return Section("Contents", "contents", f'<div class="half">{"".join(parts)}</div>{cards}', lead)


def drift_section(entry: Mapping[str, Any]) -> Section:
    """The comparison with another data set."""
    words, domain = entry["vocabulary"], entry["domain_classifier"]
    (_, one, _), (_, two, _) = entry["lengths"]["quartiles"]
    rows: list[list[Any]] = [
        ["words per text, median of the first", one, None],
        ["words per text, median of the other", two, None],
        [
            "Kolmogorov-Smirnov statistic of the lengths",
            entry["lengths"]["statistic"],
            f"p {entry['lengths']['p_value']:.2g}",
        ],
        ["Jensen-Shannon divergence of the words, bits", words["divergence"], None],
        ["the same for samples of equal size", words["sampled_divergence"], f"{words['chance']:.4g} by chance"],
        ["share of the other's words that are new", words["unseen"], None],
    ]
    classes = entry.get("classes", {})
    if "cramers_v" in classes:
        rows.append(["Cramér's V of the classes", classes["cramers_v"], f"p {classes['p_value']:.2g}"])
    if domain is not None:
        rows.append(
            [
                "ROC AUC of a domain classifier",
                domain["roc_auc"],
                f"95 % {domain['low']:.3f} to {domain['high']:.3f}; .5: cannot tell",
            ]
        )
    parts = [
        f'<div class="card">{markup.table(["measure", "value", ""], rows, caption="Differences", texts=(0, 2))}</div>'
    ]
    for key, title in (
        ("more_in_first", "More frequent in the first"),
        ("more_in_other", "More frequent in the other"),
    ):
        shown = [[item["word"], *item["shares"]] for item in words[key]]
        parts.append(
            f'<div class="card">{markup.table(["word", "share in the first", "in the other"], shown, caption=title)}</div>'
        )
    if classes:
        shown = [[name, *pair] for name, pair in classes["shares"].items()]
        parts.append(page.collapsible("Shares of the classes", markup.table(["class", "first", "other"], shown)))
    lead = f"{entry['rows'][0]:,} rows of the first data set, {entry['rows'][1]:,} of {entry['name']}."
    return Section(f"Against {entry['name']}", "against", f'<div class="half">{"".join(parts)}</div>', lead)
