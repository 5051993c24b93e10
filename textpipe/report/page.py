"""One self-contained HTML page: its style, its head, its sections. Nothing is fetched and no script runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from textpipe import store
from textpipe.report.markup import attribute, escape, shown

STYLE = """
:root { color-scheme: light dark; --page: #f6f6f4; --card: #fff; --ink: #17191d; --quiet: #5d6570; --line: #dfe2e6;
  --grid: #eaecef; --a: #2a62c4; --b: #cf5a1f; --c: #17806a; --mark: #fde7a9; --heat: 42 98 196; }
@media (prefers-color-scheme: dark) { :root { --page: #101317; --card: #181c22; --ink: #e7eaee; --quiet: #9aa4af;
  --line: #2c333b; --grid: #252b32; --a: #77a7f7; --b: #f2935c; --c: #52c7ab; --mark: #5b4a13; --heat: 119 167 247; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif;
  -webkit-text-size-adjust: 100%; }
main { max-width: 1120px; margin: 0 auto; padding: 28px 16px 60px; }
header h1 { font-size: 26px; line-height: 1.2; margin: 0 0 2px; overflow-wrap: anywhere; }
header p { margin: 0; color: var(--quiet); overflow-wrap: anywhere; }
nav { display: flex; flex-wrap: wrap; gap: 4px 18px; margin: 14px 0 0; font-size: 14px; }
a { color: var(--a); text-underline-offset: 3px; }
:focus-visible { outline: 2px solid var(--a); outline-offset: 2px; border-radius: 3px; }
section { margin-top: 40px; }
h2 { font-size: 19px; margin: 0 0 4px; }
h3 { font-size: 15px; margin: 22px 0 8px; }
section > p { color: var(--quiet); max-width: 90ch; margin: 0 0 14px; }
.tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(220px, 1fr)); gap: 10px; margin: 22px 0 0; padding: 0; }
.tiles div { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 10px 14px 11px; }
.tiles dt { color: var(--quiet); font-size: 13px; }
.tiles dd { margin: 0; font-size: 25px; line-height: 1.25; font-variant-numeric: tabular-nums; font-weight: 600; letter-spacing: -.01em; }
.tiles dd small { display: block; font-size: 12.5px; font-weight: 400; color: var(--quiet); letter-spacing: 0; }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 330px), 1fr)); gap: 12px; }
.half svg { max-width: 430px; }
.half { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 430px), 1fr)); gap: 12px; align-items: start; }
figure, .card { margin: 0; background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 12px 14px; min-width: 0; }
figcaption { font-weight: 600; font-size: 14px; margin-bottom: 4px; overflow-wrap: anywhere; }
.keys { list-style: none; display: flex; flex-wrap: wrap; gap: 2px 14px; margin: 0 0 4px; padding: 0; font-size: 12.5px; color: var(--quiet); }
.key { display: inline-block; width: 14px; height: 3px; border-radius: 2px; vertical-align: middle; margin-right: 6px; background: currentColor; }
.note { color: var(--quiet); font-size: 12.5px; margin: 6px 0 0; }
svg { display: block; width: 100%; height: auto; font: 11px system-ui, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif; }
svg text { fill: var(--quiet); font-variant-numeric: tabular-nums; unicode-bidi: isolate; }
svg .row, svg .mark { fill: var(--ink); }
svg .mark { font-weight: 600; paint-order: stroke; stroke: var(--card); stroke-width: 4px; stroke-linejoin: round; }
svg .grid { stroke: var(--grid); } svg .rule { stroke: var(--quiet); stroke-dasharray: 3 3; }
.line { fill: none; stroke-width: 1.8; stroke-linejoin: round; stroke-linecap: round; }
.a { color: var(--a); } .b { color: var(--b); } .c { color: var(--c); } .faint { color: var(--quiet); }
.line.a, .line.b, .line.c, .line.faint, .span { stroke: currentColor; } .line.b { stroke-dasharray: 6 2.5; } .span { stroke-width: 2.4; stroke-linecap: round; }
.bar, .dot { fill: currentColor; } .bar { rx: 1.5; } .dot { stroke: var(--card); stroke-width: .8; } .many .dot { fill-opacity: .5; stroke: none; }
.ring { fill: none; stroke: var(--ink); stroke-width: 1.4; } .whisker { stroke: var(--ink); stroke-width: 1.1; opacity: .75; }
details { font-size: 13px; margin-top: 8px; } summary { cursor: pointer; color: var(--quiet); width: max-content; max-width: 100%; }
details.card > summary { color: var(--ink); } details.card[open] > summary { margin-bottom: 8px; }
.stack { display: grid; gap: 8px; } .stack > * { min-width: 0; } section > * + .card, section > * + details { margin-top: 8px; }
.group > summary { color: var(--ink); font-weight: 600; font-size: 15px; padding: 6px 0; }
.scroll { overflow: auto; max-height: 520px; }
table { border-collapse: collapse; font-size: 13.5px; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding-bottom: 6px; }
th, td { text-align: start; padding: 4px 14px 4px 0; border-bottom: 1px solid var(--grid); vertical-align: top; font-weight: 400; }
thead th { color: var(--quiet); font-size: 12.5px; position: sticky; top: 0; background: var(--card); vertical-align: bottom; max-width: 14ch; }
figure > details { margin-top: 6px; }
th.n, td.n { text-align: right; } td.n { white-space: nowrap; } tbody th { max-width: 46ch; min-width: 8ch; overflow-wrap: break-word; }
tbody td:not(.n) { max-width: 60ch; overflow-wrap: break-word; }
table.heat { border-collapse: separate; border-spacing: 2px; font-size: 12px; }
.heat th, .heat td { border: 0; padding: 2px 6px; white-space: nowrap; } .heat tbody td { text-align: center; min-width: 34px; border-radius: 3px;
  background: rgb(var(--heat) / var(--w)); color: var(--quiet); font-size: 11px; }
.heat td.s { color: #fff; } @media (prefers-color-scheme: dark) { .heat td.s { color: #0c1116; font-weight: 600; } }
.heat thead th { vertical-align: bottom; text-align: center; color: var(--ink); height: 1px; }
.heat thead th span { writing-mode: vertical-rl; transform: rotate(180deg); max-height: 132px; overflow: hidden; text-overflow: ellipsis; }
.heat.few thead th span { writing-mode: horizontal-tb; transform: none; } .heat.few td, .heat.few th { font-size: 13px; padding: 6px 12px; }
.heat tbody th { position: sticky; left: 0; background: var(--card); text-align: end; max-width: 150px; overflow: hidden; text-overflow: ellipsis; }
.heat .corner { position: sticky; left: 0; background: var(--card); vertical-align: bottom; font-size: 11px; }
.sentence { padding: 11px 14px 12px; } .sentence + .sentence { margin-top: 8px; }
.sentence .facts { display: flex; flex-wrap: wrap; gap: 0 14px; font-size: 12.5px; color: var(--quiet); margin: 0 0 5px; }
.sentence dl { margin: 0; display: grid; grid-template-columns: minmax(70px, max-content) minmax(0, 1fr); gap: 2px 12px; }
.sentence dt { color: var(--quiet); font-size: 13px; overflow-wrap: anywhere; max-width: 130px; } .sentence dd { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere;
  unicode-bidi: isolate; max-height: 14em; overflow: auto; }
mark { background: var(--mark); color: inherit; border-radius: 2px; padding: 0 1px; }
.u { font: 10px/1 ui-monospace, monospace; border: 1px solid var(--quiet); border-radius: 3px; padding: 0 2px; color: var(--quiet); unicode-bidi: isolate; }
.quiet { color: var(--quiet); } code { font: 12.5px ui-monospace, "DejaVu Sans Mono", monospace; overflow-wrap: anywhere; }
footer { margin-top: 48px; color: var(--quiet); font-size: 13px; }
@media (max-width: 480px) { main { padding: 20px 12px 48px; } header h1 { font-size: 22px; } .tiles { grid-template-columns: 1fr 1fr; gap: 8px; }
  .tiles dd { font-size: 21px; } figure, .card { padding: 10px; } .sentence dl { grid-template-columns: minmax(0, 1fr); gap: 0; } .sentence dt { margin-top: 5px; max-width: none; } }
@media print { body { background: #fff; } figure, .card { break-inside: avoid; } nav { display: none; } }
""".strip()

# Names as people write them; others are told as they stand.
TITLES = {
    "bleu": "BLEU", "bleu_lowercased": "BLEU, lowercased", "chrf": "chrF", "ter": "TER", "exact_match": "exact match",
    "length_ratio": "length ratio", "empty_answers": "empty answers", "distinct_answers": "distinct answers",
    "unknown_in_answers": "answers with an unknown word", "f1_macro": "F1, macro", "precision_macro": "precision, macro",
    "recall_macro": "recall, macro", "f1": "F1", "roc_auc": "ROC AUC", "log_loss": "log loss",
    "calibration_error": "calibration error",
}  # fmt: skip

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


def titled(name: str) -> str:
    """A metric's name for people."""
    return TITLES.get(name, name.replace("_", " "))


def sentence(facts: Sequence[str], entries: Sequence[tuple[str, str]]) -> str:
    """A row of the data on a card: facts (text) above, then (label, HTML) pairs."""
    told = "".join(f"<span>{escape(fact)}</span>" for fact in facts)
    pairs = "".join(f'<dt>{escape(label)}</dt><dd dir="auto">{value}</dd>' for label, value in entries)
    return f'<article class="card sentence"><p class="facts">{told}</p><dl>{pairs}</dl></article>'


def references(given: str | Sequence[str]) -> str:
    """What should have been answered, each reference on a line of its own."""
    return "<br>".join(shown(one) for one in ([given] if isinstance(given, str) else given))


def group(title: str, cards: Sequence[str], *, opened: bool = False) -> str:
    """Cards behind a heading that opens."""
    if not cards:
        return ""
    state = " open" if opened else ""
    return f'<details class="group"{state}><summary>{escape(title)}</summary>{"".join(cards)}</details>'


def document(
    title: str, about: str, sections: Sequence[Section], *, tiles: Sequence[str] = (), footer: str = "", made_of: str = ""
) -> str:
    """The page as text; made_of: a word by which a later run knows whether the page is still true."""
    links = "".join(f'<a href="#{one.key}">{escape(one.title)}</a>' for one in sections)
    parts = []
    for one in sections:
        lead = f"<p>{escape(one.lead)}</p>" if one.lead else ""
        parts.append(f'<section id="{one.key}" aria-labelledby="{one.key}-title"><h2 id="{one.key}-title">{escape(one.title)}</h2>{lead}{one.body}</section>')
    cards = f'<dl class="tiles">{"".join(tiles)}</dl>' if tiles else ""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="made-of" content="{attribute(made_of)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        f"<title>{escape_title(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        f'<header><h1 dir="auto">{escape(title)}</h1><p>{escape(about)}</p><nav aria-label="Sections">{links}</nav></header>\n{cards}\n'
        + "\n".join(parts)
        + f"\n<footer>{escape(footer)}</footer>\n</main>\n</body>\n</html>\n"
    )


def escape_title(text: str) -> str:
    """A title holds no markup, so unseen characters stand there by number."""
    return attribute(text)


def write(path: Path, text: str) -> None:
    """Write a page so that a reader sees the old one or the new one, never half."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with store.out_of_space(path):
        store.write_atomically(path, text)


def made_of(path: Path) -> str | None:
    """What a written page was made of; None when there is no page."""
    try:
        with path.open(encoding="utf-8") as file:
            head = file.read(400)
    except (OSError, UnicodeDecodeError):
        return None
    _, found, rest = head.partition('<meta name="made-of" content="')
    return rest.partition('"')[0] if found else None
