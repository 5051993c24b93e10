"""A self-contained HTML page. It fetches nothing and runs no script."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from textpipe.cache import store
from textpipe.report.markup import attribute, escape, text_html

STYLE = Path(__file__).with_name("style.css")

# Display names of metrics; other names are shown with spaces for underscores.
TITLES = {
    "bleu": "BLEU", "bleu_lowercased": "BLEU, lowercased", "chrf": "chrF", "ter": "TER", "exact_match": "exact match",
    "length_ratio": "length ratio", "empty_answers": "empty answers", "distinct_answers": "distinct answers",
    "unknown_in_answers": "answers with an unknown word", "f1_macro": "F1, macro",
    "precision_macro": "precision, macro", "recall_macro": "recall, macro", "f1": "F1", "roc_auc": "ROC AUC",
    "log_loss": "log loss", "calibration_error": "calibration error",
}  # fmt: skip

PER_CLASS = ("f1", "precision", "recall")  # with two classes: figures of the second class

# Browsers enforce that a page of untrusted data runs no script and fetches nothing.
POLICY = "default-src 'none'; style-src 'unsafe-inline'"


@dataclass(frozen=True)
class Section:
    """A heading, an anchor, the HTML of its body, and an introductory text."""

    title: str
    key: str
    body: str
    lead: str = ""


def tile(label: str, value: str, note: str = "") -> str:
    """A figure in large type, with its label and a note."""
    small = f"<small>{escape(note)}</small>" if note else ""
    return f"<div><dt>{escape(label)}</dt><dd>{escape(value)}{small}</dd></div>"


def metric_title(name: str, positive: str | None = None) -> str:
    """The display name of a metric; positive: the class of F1, precision and recall when there are two classes.

    ("f1", "yes") -> "F1 of “yes”"
    """
    title = TITLES.get(name, name.replace("_", " "))
    return f"{title} of “{positive}”" if positive is not None and name in PER_CLASS else title


def row_card(facts: Sequence[str], entries: Sequence[tuple[str, str]]) -> str:
    """A card for a row of the data: facts (text), then (label, HTML) pairs."""
    header = "".join(f"<span>{escape(fact)}</span>" for fact in facts)
    pairs = "".join(f'<dt>{escape(label)}</dt><dd dir="auto">{value}</dd>' for label, value in entries)
    return f'<article class="card sentence"><p class="facts">{header}</p><dl>{pairs}</dl></article>'


def references_html(references: str | Sequence[str]) -> str:
    """One reference or several, each on its own line."""
    return "<br>".join(map(text_html, [references] if isinstance(references, str) else references))


def collapsible(title: str, body: str) -> str:
    """A collapsible card of HTML."""
    return f'<details class="card"><summary>{escape(title)}</summary>{body}</details>'


def card_group(title: str, cards: Sequence[str], *, opened: bool = False) -> str:
    """A collapsible group of cards."""
    if not cards:
        return ""
    state = " open" if opened else ""
    return f'<details class="group"{state}><summary>{escape(title)}</summary>{"".join(cards)}</details>'


def document(
    title: str,
    about: str,
    sections: Sequence[Section],
    *,
    tiles: Sequence[str] = (),
    footer: str = "",
    made_of: str = "",
) -> str:
    """The page as HTML; made_of: fingerprint of its contents, by which a later run knows whether it is up to date."""
    links = "".join(f'<a href="#{section.key}">{escape(section.title)}</a>' for section in sections)
    parts = []
    for section in sections:
        lead = f"<p>{escape(section.lead)}</p>" if section.lead else ""
        parts.append(
            f'<section id="{section.key}" aria-labelledby="{section.key}-title">'
            f'<h2 id="{section.key}-title">{escape(section.title)}</h2>{lead}{section.body}</section>'
        )
    cards = f'<dl class="tiles">{"".join(tiles)}</dl>' if tiles else ""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="made-of" content="{attribute(made_of)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        f"<title>{attribute(title)}</title>\n<style>{STYLE.read_text(encoding='utf-8')}</style>\n"
        f'</head>\n<body>\n<main>\n<header><h1 dir="auto">{escape(title)}</h1><p>{escape(about)}</p>'
        f'<nav aria-label="Sections">{links}</nav></header>\n{cards}\n'
        + "\n".join(parts)
        + f"\n<footer>{escape(footer)}</footer>\n</main>\n</body>\n</html>\n"
    )


def write(path: Path, text: str) -> None:
    """Write a page atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with store.explain_disk_errors(path):
        store.write_atomically(path, text)


def fingerprint_of(path: Path) -> str | None:
    """The fingerprint in a written page; None when there is no page."""
    try:
        with path.open(encoding="utf-8") as file:
            head = file.read(4000)
    except (OSError, UnicodeDecodeError):
        return None
    _, marker, rest = head.partition('<meta name="made-of" content="')
    return rest.partition('"')[0] if marker else None
