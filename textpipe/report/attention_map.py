"""The attention of an answer as a picture and as text.   Shapes: U target tokens, T source tokens.

PNG for documents; SVG and HTML for a browser, which has fonts for every script and handles reading direction.
"""

import html
import math
import unicodedata
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from textpipe.errors import ConfigError, suggest
from textpipe.report.figures import INK, QUIET, figure

END = "</s>"
BASE = "DejaVu Sans"  # bundled with matplotlib
LAST_RESORT = "Last Resort"  # also bundled; shows a symbol of the script for every letter
MISSING_GLYPH = "\u25a1"  # shown for a character that no installed font has

Weights = Sequence[Sequence[float]]


def hard_alignment(weights: Weights, source: Sequence[str], target: Sequence[str]) -> list[tuple[int, int]]:
    """The hard alignment: for each target token the source token with the largest weight, as (source, target) indices.

    End tokens are not aligned, nor tokens whose largest weight is on the source's end token.

    [[.9, .1, 0], [.2, .7, .1], [0, .1, .9]], ["▁Hallo", "▁Welt", "</s>"], ["▁Hello", "▁world", "</s>"]
    -> [(0, 0), (1, 1)]
    """
    alignment = []
    for position, row in enumerate(weights):
        best = max(range(len(row)), key=row.__getitem__)
        if target[position] != END and source[best] != END:
            alignment.append((best, position))
    return alignment


def draw(weights: Weights, source: Sequence[str], target: Sequence[str], path: Path, *, title: str = "") -> list[str]:
    """Write weights [U, T] as a picture, target tokens as rows and source tokens as columns; the suffix selects the format.

    Returns the characters that no installed font has, which a PNG shows as boxes. Raises ConfigError for a suffix that is
    not in KINDS.
    """
    if path.suffix.lower() not in KINDS:
        raise ConfigError(f"{path}: pictures are .png, .svg or .html{suggest(path.suffix, KINDS)}")
    path.parent.mkdir(parents=True, exist_ok=True)
    return KINDS[path.suffix.lower()](weights, source, target, path, title)


def png(weights: Weights, source: Sequence[str], target: Sequence[str], path: Path, title: str) -> list[str]:
    """PNG with the installed fonts."""
    families, missing = find_fonts("".join((*source, *target, title)))
    boxes = str.maketrans(dict.fromkeys(missing, MISSING_GLYPH))

    def boxed(text: str) -> str:
        return visible(text).translate(boxes)

    fig = heat_map(weights, [*map(boxed, source)], [*map(boxed, target)], boxed(title), families)
    fig.savefig(path, dpi=130, metadata={"Software": None})  # no date: equal pictures are equal files
    return missing


def svg(weights: Weights, source: Sequence[str], target: Sequence[str], path: Path, title: str) -> list[str]:
    """SVG with text as text: the viewer chooses fonts."""
    import matplotlib

    families, _ = find_fonts("".join((*source, *target, title)))
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "textpipe"}), warnings.catch_warnings():
        # Fonts are used only for text widths here; missing glyphs do not matter.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        heat_map(weights, source, target, title, [*families, "sans-serif"]).savefig(path, metadata={"Date": None})
    return []


def heat_map(weights: Weights, source: Sequence[str], target: Sequence[str], title: str, families: list[str]) -> Any:
    """The figure. Cells shrink as sentences grow, while the text stays legible."""
    cell = min(0.42, max(0.2, 18 / max(len(source), len(target))))  # inches
    size = 10 if cell > 0.3 else 7
    style = {"family": families, "color": INK, "size": size}
    letters = max(map(display_width, source), default=1), max(map(display_width, target), default=1)
    margins = [0.011 * size * count + 0.5 for count in letters]
    fig = figure(max(4.5, margins[1] + 1.2 + cell * len(source)), max(2.2, margins[0] + 0.6 + cell * len(target)))
    axes = fig.add_subplot()
    image = axes.imshow(weights, cmap="Blues", vmin=0, vmax=1, aspect="auto", interpolation="none")
    across = {"rotation": 60, "ha": "left", "rotation_mode": "anchor"}
    axes.set_xticks(range(len(source)), [plot_text(token) for token in source], **style, **across)
    axes.set_yticks(range(len(target)), [plot_text(token) for token in target], **style)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    for edge in axes.spines.values():
        edge.set_visible(False)
    for i, j in hard_alignment(weights, source, target):
        axes.plot(i, j, ".", color="white" if weights[j][i] > 0.5 else INK, markersize=5 * cell / 0.42)
    if title:
        axes.set_xlabel(plot_text(title), family=families, color=QUIET, size=8)
    fig.colorbar(image, ax=axes, fraction=0.03, pad=0.02, label="attention weight")
    return fig


def plot_text(token: str) -> str:
    """A token for matplotlib: control characters as symbols, and dollar signs escaped, which would begin mathematics.

    "a\\nb$" -> "a␊b\\$"
    """
    return visible(token).replace("$", r"\$")


def visible(token: str) -> str:
    """A token with control characters replaced by Unicode's symbols for them, so that it stays on one line."""
    return "".join(chr(0x2400 + ord(letter)) if letter < " " else letter for letter in token) or " "


def display_width(token: str) -> int:
    """Approximate display width of a token in letters; East Asian letters count twice."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in token)


def find_fonts(text: str) -> tuple[list[str], list[str]]:
    """Font families that together cover the characters of a text, and the characters that no installed font has.

    Fonts other than matplotlib's are opened only if it lacks a character; those with the most missing characters come
    first.
    """
    from matplotlib import font_manager

    needed = {letter for letter in visible(text) + MISSING_GLYPH if letter != " "}
    families, missing = [BASE], needed - available_glyphs(font_manager.findfont(BASE), needed)
    if missing:
        installed = (font for font in font_manager.fontManager.ttflist if not font.name.startswith((BASE, LAST_RESORT)))
        upright = (font for font in installed if font.style == "normal")
        plain = sorted(upright, key=lambda font: (abs(font_weight(font.weight) - 400), font.name))
        has: dict[str, set[str]] = {font.name: set() for font in plain}
        for font in plain:
            has[font.name] = has[font.name] or available_glyphs(font.fname, missing)
        while missing and has:
            best = max(has, key=lambda name: len(has[name] & missing))
            if not has[best] & missing:
                break
            families.append(best)
            missing = missing - has.pop(best)
    return families, sorted(missing)


def available_glyphs(path: str, letters: Iterable[str]) -> set[str]:
    """The letters for which a font file has glyphs; none if it cannot be opened."""
    from matplotlib.font_manager import get_font

    try:
        known = get_font(path).get_charmap()
    except (OSError, RuntimeError):
        return set()
    return {letter for letter in letters if ord(letter) in known}


def font_weight(weight: Any) -> int:
    """A font's weight as a number; names as in matplotlib."""
    from matplotlib.font_manager import weight_dict

    return weight if isinstance(weight, int) else weight_dict.get(weight, 400)


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 15px/1.4 system-ui, sans-serif; color: {ink}; margin: 1.5rem; }}
p {{ max-width: 45rem; }}
div {{ overflow-x: auto; }}
table {{ border-collapse: separate; border-spacing: 1px; }}
th {{ font-weight: normal; white-space: pre; }}
thead th {{ writing-mode: vertical-rl; transform: rotate(180deg); text-align: left; padding: .3em 0; }}
tbody th {{ text-align: right; padding: 0 .5em; position: sticky; left: 0; background: #fff; }}
td {{ min-width: 1.7em; height: 1.7em; background: rgba(8, 48, 107, calc(var(--w) * .95 + .02)); }}
td.best {{ outline: 2px solid #d9822b; outline-offset: -2px; }}
td:hover {{ outline: 2px solid {ink}; outline-offset: -2px; }}
</style></head><body>
<h1 style="font-size: 1.15rem">{title}</h1>
<p>Rows are the tokens of the answer, columns those of the source; the darker a cell, the larger the attention weight. A
frame marks the largest weight of a row. Hover over a cell to see its weight.</p>
<div><table><thead><tr><th></th>{across}</tr></thead><tbody>
{rows}
</tbody></table></div></body></html>
"""


def page(weights: Weights, source: Sequence[str], target: Sequence[str], path: Path, title: str) -> list[str]:
    """One self-contained HTML page."""

    def name(token: str) -> str:
        return f'<th><bdi dir="auto">{html.escape(visible(token))}</bdi></th>'

    best, rows = set(hard_alignment(weights, source, target)), []
    for j, row in enumerate(weights):
        cells = []
        for i, weight in enumerate(row):
            tooltip = html.escape(f"{visible(source[i])} → {visible(target[j])}: {weight:.3f}")
            kind = ' class="best"' if (i, j) in best else ""
            cells.append(f'<td{kind} style="--w:{max(0.0, weight):.3f}" title="{tooltip}"></td>')
        rows.append(f"<tr>{name(target[j])}{''.join(cells)}</tr>")
    across = "".join(map(name, source))
    text = PAGE.format(title=html.escape(title or "attention"), ink=INK, across=across, rows="\n".join(rows))
    path.write_text(text, encoding="utf-8")
    return []


KINDS: dict[str, Callable[..., list[str]]] = {".png": png, ".svg": svg, ".html": page}


def describe_weights(model: dict[str, Any]) -> str:
    """Which attention weights an exported model reports, from its [model] table.

    {"kind": "transformer", "num_heads": 4, "layers": 4, ...} -> "mean over 4 heads of decoder layer 3 of 4"
    """
    model = model.get("decoder", model)  # of a model made of an encoder and a decoder
    if model.get("kind") == "transformer":
        layers = model.get("decoder_layers") or model["layers"]
        # The next-to-last layer aligns best; see TransformerModel.step.
        return f"mean over {model['num_heads']} heads of decoder layer {max(layers - 1, 1)} of {layers}"
    if model.get("kind") == "recurrent":
        heads = f", mean over {model['num_heads']} heads" if model["attention"] == "multi_head" else ""
        return f"{model['attention'].replace('_', ' ')} attention of the lowest decoder layer{heads}"
    return "attention"


def has_no_attention(weights: Weights) -> bool:
    """Whether all weights are 0, as in a model without attention."""
    return not any(math.fsum(row) for row in weights)
