"""One self-contained HTML page: its style, its head, its sections. Nothing is fetched and no script runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from textpipe.cache import store
from textpipe.report.markup import attribute, escape, shown

STYLE = Path(__file__).with_name("style.css")

# Names as people write them; others are told as they stand.
TITLES = {
    "bleu": "BLEU", "bleu_lowercased": "BLEU, lowercased", "chrf": "chrF", "ter": "TER", "exact_match": "exact match",
    "length_ratio": "length ratio", "empty_answers": "empty answers", "distinct_answers": "distinct answers",
    "unknown_in_answers": "answers with an unknown word", "f1_macro": "F1, macro",
    "precision_macro": "precision, macro", "recall_macro": "recall, macro", "f1": "F1", "roc_auc": "ROC AUC",
    "log_loss": "log loss", "calibration_error": "calibration error",
}  # fmt: skip

OF_ONE_CLASS = ("f1", "precision", "recall")  # where there are two classes, of the second

# No script, no fetch: what a page of data must never do, a browser is told to refuse.
POLICY = "default-src 'none'; style-src 'unsafe-inline'"


@dataclass(frozen=True)
class Section:
    """A heading, an identifier to link to, what it says first (text), and its HTML."""

    title: str
    key: str
    body: str
    lead: str = ""


def tile(label: str, value: str, note: str = "") -> str:
    """A figure in large type."""
    small = f"<small>{escape(note)}</small>" if note else ""
    return f"<div><dt>{escape(label)}</dt><dd>{escape(value)}{small}</dd></div>"


def titled(name: str, positive: str | None = None) -> str:
    """A metric's name for people; positive: the class that F1, precision and recall of two classes are of.

    ("f1", "yes") -> "F1 of “yes”"
    """
    title = TITLES.get(name, name.replace("_", " "))
    return f"{title} of “{positive}”" if positive is not None and name in OF_ONE_CLASS else title


def sentence(facts: Sequence[str], entries: Sequence[tuple[str, str]]) -> str:
    """A row of the data on a card: facts (text) above, then (label, HTML) pairs."""
    told = "".join(f"<span>{escape(fact)}</span>" for fact in facts)
    pairs = "".join(f'<dt>{escape(label)}</dt><dd dir="auto">{value}</dd>' for label, value in entries)
    return f'<article class="card sentence"><p class="facts">{told}</p><dl>{pairs}</dl></article>'


def references(given: str | Sequence[str]) -> str:
    """What should have been answered, each reference on a line of its own."""
    return "<br>".join(shown(one) for one in ([given] if isinstance(given, str) else given))


def opening(title: str, body: str) -> str:
    """A card of HTML behind a heading that opens."""
    return f'<details class="card"><summary>{escape(title)}</summary>{body}</details>'


def group(title: str, cards: Sequence[str], *, opened: bool = False) -> str:
    """Cards behind a heading that opens."""
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
    """The page as text; made_of: a word by which a later run knows whether the page is still true."""
    links = "".join(f'<a href="#{one.key}">{escape(one.title)}</a>' for one in sections)
    parts = []
    for one in sections:
        lead = f"<p>{escape(one.lead)}</p>" if one.lead else ""
        parts.append(
            f'<section id="{one.key}" aria-labelledby="{one.key}-title">'
            f'<h2 id="{one.key}-title">{escape(one.title)}</h2>{lead}{one.body}</section>'
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
    """Write a page so that a reader sees the old one or the new one, never half."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with store.out_of_space(path):
        store.write_atomically(path, text)


def made_of(path: Path) -> str | None:
    """What a written page was made of; None when there is no page."""
    try:
        with path.open(encoding="utf-8") as file:
            head = file.read(4000)
    except (OSError, UnicodeDecodeError):
        return None
    _, found, rest = head.partition('<meta name="made-of" content="')
    return rest.partition('"')[0] if found else None
