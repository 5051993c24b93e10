"""The page of `textpipe data report`: the measurements of quality/measurement.py."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from textpipe.quality import findings
from textpipe.report import markup, page
from textpipe.report.data_contents import (
    classes_section,
    contents_section,
    drift_section,
    label_errors_section,
    text_card,
    texts_section,
)
from textpipe.report.page import Section
from textpipe.version import __version__


def write(table: Mapping[str, Any], path: Path) -> None:
    """Write the page of a measured data set."""
    page.write(path, document(table))


def document(table: Mapping[str, Any]) -> str:
    """The page as HTML."""
    sections = [findings_section(table), duplicates_section(table)]
    if table["leakage"]:
        sections.append(leakage_section(table))
    if "contradictions" in table:
        sections += [contradictions_section(table), classes_section(table)]
    if table.get("label_errors"):
        sections.append(label_errors_section(table["label_errors"]))
    sections += [texts_section(table), contents_section(table)]
    if "against" in table:
        sections.append(drift_section(table["against"]))
    rows = ", ".join(f"{entry['rows']:,} {split}" for split, entry in table["splits"].items())
    fields = ", ".join(f"{item['name']} ({item['kind']})" for item in table["fields"])
    return page.document(
        table["name"],
        f"Data report · {rows} rows · {fields}",
        sections,
        tiles=tiles(table),
        footer=f"textpipe {__version__}",
    )


def tiles(table: Mapping[str, Any]) -> list[str]:
    """The figures that decide whether a model can be trusted."""
    rows = sum(entry["rows"] for entry in table["splits"].values())
    shown = [
        page.tile(
            "rows",
            f"{rows:,}",
            f"{sum(entry['distinct'] for entry in table['duplicates'].values()):,} distinct texts by split",
        )
    ]
    for key, title in (("duplicates", "duplicates"), ("near_duplicates", "near duplicates")):
        count = sum(entry[key] for entry in table["duplicates"].values())
        shown.append(page.tile(title, findings.percent(count / max(rows, 1)), f"{count:,} within splits"))
    if table["leakage"]:
        entries = [entry for leaks_by_split in table["leakage"].values() for entry in leaks_by_split.values()]
        leaked, near = (sum(entry[key] for entry in entries) for key in ("rows", "near_rows"))
        shown.append(page.tile("rows also in another split", f"{leaked:,}", f"{near:,} more nearly"))
    if "contradictions" in table:
        entry = table["contradictions"]
        shown.append(
            page.tile("contradicting labels", f"{entry['rows']:,}", f"{entry['near_rows']:,} more in similar texts")
        )
    return shown


def findings_section(table: Mapping[str, Any]) -> Section:
    """The findings as a list."""
    items = "".join(f"<li>{markup.escape(text)}</li>" for text in findings.sentences(table))
    return Section(
        "Findings",
        "findings",
        f'<div class="card"><ul>{items}</ul></div>' if items else "",
        "" if items else "Nothing conspicuous.",
    )


def pair_card(entry: Mapping[str, Any]) -> str:
    """A card of two nearly equal texts, with their differences marked."""
    first, second = entry["text"], entry["other"]
    entries = [
        (f"{first['split']} row {first['row'] + 1}", markup.mark_differences(first["text"], second["text"])),
        (f"{second['split']} row {second['row'] + 1}", markup.mark_differences(second["text"], first["text"])),
    ]
    for at, key in enumerate(("labels", "other_labels")):
        if key in entry:
            entries.insert(2 * at + 1, ("label", markup.escape(labels_text(entry[key]))))
    return page.row_card([f"similarity {entry['similarity']:.3f}"], entries)


def labels_text(labels: Mapping[str, int]) -> str:
    """yes (3 rows), no (1 row)"""
    return ", ".join(f"{name} ({findings.count_phrase(rows, 'row')})" for name, rows in labels.items())


def duplicates_section(table: Mapping[str, Any]) -> Section:
    """Duplicates within each split."""
    rows, cards = [], ""
    for split, entry in table["duplicates"].items():
        rows.append(
            [
                split,
                *(
                    entry[key]
                    for key in (
                        "rows",
                        "distinct",
                        "duplicates",
                        "duplicate_share",
                        "near_duplicates",
                        "near_duplicate_share",
                    )
                ),
            ]
        )
        most = [text_card(item["text"], [f"{item['rows']:,} rows"]) for item in entry["most_frequent"]]
        cards += page.card_group(f"The most frequent texts of {split}", most)
        cards += page.card_group(f"Near duplicates within {split}", [pair_card(item) for item in entry["most_similar"]])
    headers = ["split", "rows", "distinct texts", "duplicates", "share", "near duplicates", "share"]
    body = f'<div class="card">{markup.table(headers, rows, caption="Duplicates")}</div>{cards}'
    lead = "Equal: the same letters, marks and digits after NFKC and case folding. Nearly equal: at least .8 of the character 5-grams of both texts are common (MinHash, verified)."
    return Section("Duplicates", "duplicates", body, lead)


def leakage_section(table: Mapping[str, Any]) -> Section:
    """Texts in several splits."""
    rows, cards = [], ""
    for split, leaks_by_split in table["leakage"].items():
        for other_split, entry in leaks_by_split.items():
            rows.append([split, other_split, *(entry[key] for key in ("rows", "share", "near_rows", "near_share"))])
            cards += page.card_group(
                f"Texts of {split} in {other_split}", [text_card(item["text"]) for item in entry["examples"]]
            )
            cards += page.card_group(
                f"Texts of {split} nearly in {other_split}", [pair_card(item) for item in entry["near_examples"]]
            )
    headers = ["rows of", "whose text is in", "rows", "share", "nearly, rows", "share"]
    body = f'<div class="card">{markup.table(headers, rows, caption="Leakage", texts=(0, 1))}</div>{cards}'
    return Section(
        "Leakage",
        "leakage",
        body,
        "A row of valid or test that the model has seen in train is no evidence of what it has learned.",
    )


def contradictions_section(table: Mapping[str, Any]) -> Section:
    """Equal and nearly equal texts with different labels."""
    entry = table["contradictions"]
    rows = [
        ["equal texts", entry["rows"], entry["share"]],
        ["nearly equal texts", entry["near_rows"], entry["near_share"]],
    ]
    cards = page.card_group(
        "Equal texts with different labels",
        [
            text_card(item["text"], (), [("labels", markup.escape(labels_text(item["labels"])))])
            for item in entry["examples"]
        ],
        opened=True,
    )
    cards += page.card_group(
        "Nearly equal texts with different labels", [pair_card(item) for item in entry["near_examples"]]
    )
    body = f'<div class="card">{markup.table(["", "rows", "share of all rows"], rows, caption="Contradicting labels")}</div>{cards}'
    return Section("Contradicting labels", "contradictions", body)
