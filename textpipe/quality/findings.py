"""What a person should look at, in sentences, and the tables of the terminal."""

from collections.abc import Iterator, Mapping
from typing import Any

from textpipe.data.statistics import MAIL_REPAIRS, REPAIRS
from textpipe.quality.excerpt import excerpt
from textpipe.quality.languages import CURE, UNDETERMINED
from textpipe.quality.personal_data import TITLES

MIN_CLASS_ROWS = 20  # a class with fewer rows in train is hardly learned
MAX_IMBALANCE = 10  # times the rows of the smallest class
MAX_CHARACTERS = 100  # of an example
MIN_LANGUAGE = 0.9  # share of the first language


def sentences(table: Mapping[str, Any]) -> list[str]:
    """Findings of a measured data set, the gravest first; [] if there are none."""
    return [*leaks(table), *labels(table), *repetitions(table), *contents(table)]


def percent(share: float) -> str:
    """.0123 -> "1.2 %", .00004 -> "0.004 %" """
    return f"{100 * share:.2g} %" if share < 0.1 else f"{100 * share:.0f} %"


def count_phrase(count: int, noun: str) -> str:
    """ "1 row", "2,000 rows" """
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def leaks(table: Mapping[str, Any]) -> Iterator[str]:
    """Texts in several splits."""
    for split, leaks_by_split in table["leakage"].items():
        for other_split, entry in leaks_by_split.items():
            if entry["rows"]:
                yield (
                    f"{split}: {count_phrase(entry['rows'], 'row')} ({percent(entry['share'])}) with a text that occurs in {other_split}, so that scores "
                    f'on {split} are too good; [ingest] on_leak = "drop" removes them from {other_split}'
                )
            if entry["near_rows"]:
                yield f"{split}: {count_phrase(entry['near_rows'], 'row')} ({percent(entry['near_share'])}) with a text that nearly equals one of {other_split}"


def labels(table: Mapping[str, Any]) -> Iterator[str]:
    """Contradicting labels, and classes with few rows."""
    entry = table.get("contradictions", {})
    if entry.get("rows"):
        yield (
            f"{count_phrase(entry['rows'], 'row')} ({percent(entry['share'])}) with a text that occurs with another label: some of these labels are "
            "wrong, or the text alone does not tell"
        )
    if entry.get("near_rows"):
        yield f"{count_phrase(entry['near_rows'], 'row')} ({percent(entry['near_share'])}) with a text that nearly equals one with another label"
    errors = table.get("label_errors")
    if errors and errors["suspected"]:
        yield (
            f"{count_phrase(errors['suspected'], 'label')} of train ({percent(errors['share'])}) suspected to be wrong by confident learning; read the first "
            "ones in the page (--html)"
        )
    train = next(iter(table.get("classes", {}).values()), None)
    if train:
        rare = [name for name, rows in train["classes"].items() if rows < MIN_CLASS_ROWS]
        if rare:
            yield (
                f"{len(rare):,} of {train['num_classes']:,} classes have fewer than {MIN_CLASS_ROWS} rows; [ingest] min_count and "
                "rare_label drop or merge them"
            )
        if train["largest_to_smallest"] and train["largest_to_smallest"] >= MAX_IMBALANCE:
            yield (
                f"the largest class has {train['largest_to_smallest']:,.0f} times the rows of the smallest: judge by F1 (macro) rather than "
                "accuracy"
            )


def repetitions(table: Mapping[str, Any]) -> Iterator[str]:
    """Duplicates within splits."""
    for split, entry in table["duplicates"].items():
        if entry["duplicates"]:
            yield f"{split}: {count_phrase(entry['duplicates'], 'row')} ({percent(entry['duplicate_share'])}) with the text of an earlier row"
        if entry["near_duplicates"]:
            yield f"{split}: {count_phrase(entry['near_duplicates'], 'text')} ({percent(entry['near_duplicate_share'])}) that nearly equal an earlier one"


def contents(table: Mapping[str, Any]) -> Iterator[str]:
    """Personal data, languages, unusual lengths and repairs."""
    for name, splits in table["personal_data"].items():
        counts = {kind: sum(entry[kind]["rows"] for entry in splits.values()) for kind in TITLES}
        summary = ", ".join(f"{TITLES[kind]} in {count_phrase(rows, 'row')}" for kind, rows in counts.items() if rows)
        if summary:
            yield f"{name}: {summary}; steps of [normalize] such as mask_addresses replace them"
    for name, splits in table.get("languages", {}).items():
        for split, entry in splits.items():
            known = {code: share for code, share in entry["shares"].items() if code != UNDETERMINED}
            first = next(iter(known), None)
            other_languages = [f"{code} {percent(share)}" for code, share in list(known.items())[1:6]]
            if first and other_languages and known[first] < MIN_LANGUAGE * sum(known.values()):
                yield f"{name}, {split}: several languages: {first} {percent(known[first])}, {', '.join(other_languages)}"
    for split, entry in table["splits"].items():
        for name, profile in entry["fields"].items():
            if profile.get("much_longer"):
                yield (
                    f"{name}, {split}: {count_phrase(profile['much_longer'], 'text')} more than ten times longer than the median "
                    f"(up to {profile['longest']['characters']:,} characters)"
                )
    for name, count in table["repairs"].items():
        yield f"{(REPAIRS | MAIL_REPAIRS).get(name, name)}: {count:,}"
    for path, encoding in table["encodings"].items():
        yield f"{path}: not UTF-8, read as {encoding}"


def show(table: Mapping[str, Any], *, examples: int = 3) -> None:
    """Print the measurements on stdout as tables, and the findings."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)

    def print_text(text: str, style: str = "") -> None:
        console.print(Text(text, style=style), soft_wrap=True)

    def grid(title: str, headers: list[str], rows: list[list[str]]) -> None:
        drawn = Table(title=Text(title), title_justify="left", title_style="bold", box=None, pad_edge=False)
        for at, header in enumerate(headers):
            drawn.add_column(header, justify="left" if at == 0 else "right", overflow="fold")
        for row in rows:
            drawn.add_row(*map(Text, row))
        console.print(drawn, "")

    fields = ", ".join(f"{item['name']} ({item['kind']})" for item in table["fields"])
    print_text(f"{table['name']}: {fields}\n")
    rows = [
        [split, *(f"{entry[key]:,}" for key in ("rows", "distinct", "duplicates", "near_duplicates"))]
        for split, entry in table["duplicates"].items()
    ]
    grid("Rows", ["split", "rows", "distinct texts", "duplicates", "near duplicates"], rows)
    rows = [
        [
            f"{name}, {split}",
            *(f"{profile['words'][key]:,}" for key in ("min", "p50", "p95", "max")),
            f"{profile['characters']['max']:,}",
            shares(profile["scripts"]),
        ]
        for split, entry in table["splits"].items()
        for name, profile in entry["fields"].items()
        if "words" in profile
    ]
    grid("Texts", ["field", "words: min", "median", "95 %", "max", "characters: max", "scripts"], rows)
    if table.get("languages"):
        rows = [
            [f"{name}, {split}", shares(entry["shares"])]
            for name, splits in table["languages"].items()
            for split, entry in splits.items()
        ]
        grid("Languages", ["field", "shares"], rows)
    else:
        print_text(f"Languages: {CURE}\n")
    for split, entry in table.get("classes", {}).items():
        largest = ", ".join(f"{name} {count:,}" for name, count in list(entry["classes"].items())[:3])
        smallest = ", ".join(f"{name} {count:,}" for name, count in list(entry["classes"].items())[-3:])
        print_text(f"{split}: {entry['num_classes']:,} classes; the largest {largest}; the smallest {smallest}")
    if "against" in table:
        print_text("")
        for line in drift_lines(table["against"]):
            print_text(line)
    findings = sentences(table)
    print_text("\nFindings" if findings else "\nNothing conspicuous was found.", "bold")
    for sentence in findings:
        print_text(f"- {sentence}")
    for line in example_lines(table, examples):
        print_text(line, "dim")


def shares(table: Mapping[str, float]) -> str:
    """Latin 99 %, Greek 1 %"""
    return ", ".join(f"{name} {percent(share)}" for name, share in list(table.items())[:4] if share >= 0.0005) or "none"


def example_lines(table: Mapping[str, Any], count: int) -> Iterator[str]:
    """The first contradictions and leaks."""
    for entry in table.get("contradictions", {}).get("examples", [])[:count]:
        labels = ", ".join(f"{label} {rows}" for label, rows in entry["labels"].items())
        yield f"  contradiction: {excerpt(entry['text']['text'], MAX_CHARACTERS)} ({labels})"
    for split, leaks_by_split in table["leakage"].items():
        for other_split, leaked in leaks_by_split.items():
            for entry in leaked["examples"][:count]:
                yield f"  {split} and {other_split}: {excerpt(entry['text']['text'], MAX_CHARACTERS)}"


def drift_lines(entry: Mapping[str, Any]) -> Iterator[str]:
    """The comparison with another data set."""
    yield f"Against {entry['name']} ({entry['rows'][0]:,} and {entry['rows'][1]:,} rows)"
    one, two = entry["lengths"]["quartiles"]
    yield f"  words per text: median {one[1]:g} and {two[1]:g}; Kolmogorov-Smirnov {entry['lengths']['statistic']:.3f} (p {entry['lengths']['p_value']:.2g})"
    words = entry["vocabulary"]
    yield f"  vocabulary: Jensen-Shannon divergence {words['divergence']:.3f} bits; of equal samples {words['sampled_divergence']:.3f}, by chance {words['chance']:.3f}; {percent(words['unseen'])} of the other's words are new"
    for key, title in (("more_in_first", "first"), ("more_in_other", "other")):
        yield f"    more in the {title}: {', '.join(excerpt(item['word'], 30) for item in words[key][:8])}"
    if "chi_squared" in entry.get("classes", {}):
        balance = entry["classes"]
        yield f"  classes: chi-squared {balance['chi_squared']:.1f} ({balance['degrees_of_freedom']} degrees of freedom, p {balance['p_value']:.2g}), Cramér's V {balance['cramers_v']:.3f}"
    domain = entry["domain_classifier"]
    if domain is None:
        yield "  domain classifier: too few rows"
    else:
        yield f"  domain classifier: ROC AUC {domain['roc_auc']:.3f} [{domain['low']:.3f}, {domain['high']:.3f}], where .5 means that the two cannot be told apart"
