"""An explanation as HTML: a fragment for notebooks, and a page."""

from pathlib import Path

from textpipe.explanation import terminal
from textpipe.explanation.contributions import TOP, Contributions
from textpipe.report import markup
from textpipe.report import page as pages

LONGEST_TEXT = 20_000  # characters of a text that are shown
LONGEST_PART = 100  # characters of a passage in the table
UP, DOWN = "22,140,60", "200,40,40"  # green and red


def fragment(explanation: Contributions, top: int = TOP) -> str:
    """The heading, each text with its words coloured, and the strongest parts as a table."""
    parts = [f"<p>{'<br>'.join(map(markup.escape, terminal.heading(explanation)))}</p>"]
    for name, cell in explanation.row.items():
        if isinstance(cell, str):
            label = f"<b>{markup.escape(name)}</b>: " if len(explanation.row) > 1 else ""
            parts.append(f'<p dir="auto" style="white-space:pre-wrap">{label}{coloured(explanation, name, cell)}</p>')
    shown = explanation.top(top)
    most = max((abs(part.contribution) for part in shown), default=1.0)
    rows = []
    for part in shown:
        colour, width = (UP if part.contribution > 0 else DOWN), 100 * abs(part.contribution) / most
        bar = markup.Raw(
            f'<span style="display:inline-block;height:.8em;width:{width:.0f}px;background:rgb({colour})"></span>'
        )
        rows.append(
            [
                terminal.shorten(part.text, LONGEST_PART),
                *([part.field] if len(explanation.row) > 1 else []),
                f"{part.contribution:+.4f}",
                bar,
            ]
        )
    if rows:
        headers = ["word", *(["field"] if len(explanation.row) > 1 else []), "contribution", ""]
        parts.append(markup.table(headers, rows))
    return "".join([*parts, *(f"<p>{markup.escape(line)}</p>" for line in [explanation.note] if line)])


def coloured(explanation: Contributions, field: str, cell: str) -> str:
    """A text as HTML whose words are coloured by their contribution."""
    shown = cell[:LONGEST_TEXT]
    out, at = [], 0
    for start, end, strength in terminal.strengths(explanation, field):
        if end > len(shown) or start < at:
            continue
        colour = UP if strength > 0 else DOWN
        out += [
            markup.escape(shown[at:start]),
            f'<span style="background:rgba({colour},{0.15 + 0.6 * abs(strength):.2f})">{markup.escape(shown[start:end])}</span>',
        ]
        at = end
    out.append(markup.escape(shown[at:]))
    if len(cell) > len(shown):
        out.append(f"<i> … and {len(cell) - len(shown):,} characters more</i>")
    return "".join(out)


def write(explanation: Contributions, path: Path, top: int = TOP) -> None:
    """Write a page that fetches nothing and runs no script."""
    rows = [
        [feature.name, feature.field, f"{feature.value:.4g}", f"{feature.weight:+.4g}", f"{feature.contribution:+.4f}"]
        for feature in list(explanation.features)[:top]
    ]
    sections = [pages.Section("Words", "words", fragment(explanation, top))]
    if rows:
        table = markup.table(["feature", "field", "value", "weight", "contribution"], rows, texts=(0, 1))
        sections.append(pages.Section("Features", "features", table, "Of the linear model: value times weight."))
    title = f"Why “{explanation.label}”?"
    pages.write(path, pages.document(title, explanation.model, sections))
