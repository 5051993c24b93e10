"""An explanation on a terminal: the text with coloured words, and the strongest parts as bars."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from textpipe.explanation.contributions import EXACT, TOP, Contributions, Part
from textpipe.report.comparison import one_line

BAR = 24  # letters of the longest bar
LONGEST_TEXT = 2000  # characters of a text that are shown
LONGEST_WORD = 40
FAINT = 0.05  # parts below this share of the strongest are not coloured


def heading(explanation: Contributions) -> list[str]:
    """The answer, and what the contributions add up to."""
    probability = "" if explanation.probability is None else f"  probability {explanation.probability:.4g}"
    label = one_line(explanation.label)
    lines = [f"{one_line(explanation.answer)}{probability if explanation.label == explanation.answer else ''}"]
    if explanation.label != explanation.answer:
        lines.append(f"explained: {label}{probability}")
    if explanation.method == EXACT:
        total = sum(part.contribution for part in explanation.parts)
        rest = f" {explanation.rest:+.4g} (marks of the text)" if explanation.rest else ""
        lines.append(
            f"{explanation.quantity} {explanation.logit:.4g} = bias {explanation.bias:.4g} {total:+.4g} (words){rest}"
        )
    else:
        lines.append(f"{explanation.quantity} {explanation.logit:.4g}; below: its fall when a word is left out")
    return lines


def bars(parts: Sequence[Part], *, fields: bool) -> Iterator[tuple[Part, str]]:
    """A line for each part: its contribution, its text, a bar."""
    most = max((abs(part.contribution) for part in parts), default=1.0)
    names = [
        shorten(f"{part.field}: {one_line(part.text)}" if fields else one_line(part.text), LONGEST_WORD)
        for part in parts
    ]
    width = max(map(len, names), default=0)
    for part, name in zip(parts, names, strict=True):
        bar = "█" * max(1, round(BAR * abs(part.contribution) / most))
        yield part, f"  {part.contribution:+9.4f}  {name:<{width}}  {bar}"


def feature_lines(explanation: Contributions, top: int) -> list[str]:
    """The strongest features of a row, with value and weight."""
    shown = list(explanation.features)[:top]
    fields = len(explanation.row) > 1
    names = [
        shorten(
            repr(f"{feature.field}: {feature.name}" if fields and feature.name != feature.field else feature.name), 60
        )
        for feature in shown
    ]
    width = max(map(len, names), default=0)
    lines = [
        f"  {feature.contribution:+9.4f}  {name:<{width}}  {feature.value:.4g} x {feature.weight:+.4g}"
        for feature, name in zip(shown, names, strict=True)
    ]
    return ["", "features (value x weight):", *lines] if lines else []


def plain(explanation: Contributions, top: int = TOP) -> str:
    """The explanation as lines of text."""
    shown = explanation.top(top)
    lines = [*heading(explanation), ""]
    lines += [line for _, line in bars(shown, fields=len(explanation.row) > 1)] or ["  no word has an effect"]
    lines += others(explanation, shown) + feature_lines(explanation, min(top, 10))
    return "\n".join([*lines, *([f"note: {explanation.note}"] if explanation.note else [])])


def others(explanation: Contributions, shown: Sequence[Part]) -> list[str]:
    """A line for the parts that are not shown."""
    hidden = sum(1 for part in explanation.parts if part.contribution) - len(shown)
    if hidden <= 0:
        return []
    total = sum(part.contribution for part in explanation.parts) - sum(part.contribution for part in shown)
    return [f"  {total:+9.4f}  {hidden:,} more"]


def print_rich(explanation: Contributions, console: Any, top: int = TOP) -> None:
    """Print with colours: green raises the answer, red lowers it."""
    from rich.text import Text

    shown = explanation.top(top)
    for line in heading(explanation):
        console.print(Text(line, style="bold"))
    for name, cell in explanation.row.items():
        if isinstance(cell, str):
            console.print(Text(f"{name}: " if len(explanation.row) > 1 else "") + coloured(explanation, name, cell))
    console.print()
    for part, line in bars(shown, fields=len(explanation.row) > 1):
        console.print(Text(line, style="green" if part.contribution > 0 else "red"), no_wrap=True, overflow="ellipsis")
    rest = others(explanation, shown) + feature_lines(explanation, min(top, 10))
    for line in [*rest, *([f"note: {explanation.note}"] if explanation.note else [])]:
        console.print(Text(line), no_wrap=True, overflow="ellipsis")


def coloured(explanation: Contributions, field: str, cell: str) -> Any:
    """A text whose words are coloured by their contribution."""
    from rich.text import Text

    shown = cell[:LONGEST_TEXT]
    text = Text(
        "".join(letter if letter.isprintable() or letter == "\n" else "\N{REPLACEMENT CHARACTER}" for letter in shown)
    )
    for start, end, strength in strengths(explanation, field):
        shade = round(70 + 120 * abs(strength))
        colour = f"rgb(0,{shade},60)" if strength > 0 else f"rgb({shade},0,30)"
        text.stylize(f"white on {colour}", start, min(end, len(shown)))
    if len(cell) > len(shown):
        text.append(f" … and {len(cell) - len(shown):,} characters more", style="dim")
    return text


def strengths(explanation: Contributions, field: str) -> list[tuple[int, int, float]]:
    """The parts of a text worth colouring: (start, end, contribution relative to the strongest, -1 to 1)."""
    most = max((abs(part.contribution) for part in explanation.parts), default=0.0)
    return [
        (part.start, part.end, part.contribution / most)
        for part in explanation.parts
        if part.field == field and part.start is not None and part.end is not None
        and most and abs(part.contribution) >= FAINT * most
    ]  # fmt: skip


def shorten(text: str, longest: int) -> str:
    """A text of at most `longest` characters."""
    return text if len(text) <= longest else text[: longest - 1] + "…"


def class_lines(table: Mapping[str, Any]) -> list[str]:
    """The strongest features of each class, as explanation/classes.py gives them."""
    lines: list[str] = []
    for label, features in table["classes"].items():
        lines += [one_line(label)] + [
            f"  {feature['weight']:+9.4f}  {shorten(one_line(feature['name']), 60)!r}"
            + (f"  ({feature['field']})" if len(table["fields"]) > 1 else "")
            for feature in features
        ] + [""]  # fmt: skip
    return lines[:-1]
