"""Where a caption looked: the picture once for each word, bright where the word attended and dark elsewhere.

Shapes: U words, L regions of a grid, row by row.
"""

import base64
import html
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from textpipe.data import image_file
from textpipe.errors import ConfigError, suggest
from textpipe.report.attention_map import END, visible
from textpipe.report.figures import INK, QUIET

DARKNESS = 0.8  # of regions without attention
SIDE, GAP, LINE = 132, 12, 22  # of a picture, between them, and of a word, in pixels of an SVG
COLUMNS = 6
DECODED_PIXELS = 512  # side of a picture in a PNG

Weights = Sequence[Sequence[float]]


def draw(
    weights: Weights, grid: Sequence[int], words: Sequence[str], picture: bytes, path: Path, title: str = ""
) -> None:
    """Write a picture for each word; the suffix selects the format. Raises ConfigError for one that is not in KINDS.

    weights: [U, L]; grid: rows and columns of the regions; picture: a PNG or JPEG file.
    """
    if path.suffix.lower() not in KINDS:
        raise ConfigError(f"{path}: pictures are .png, .svg or .html{suggest(path.suffix, KINDS)}")
    path.parent.mkdir(parents=True, exist_ok=True)
    KINDS[path.suffix.lower()](weights, grid, words, picture, path, title)


def best_regions(weights: Weights, grid: Sequence[int], words: Sequence[str]) -> list[tuple[str, int, int, float]]:
    """(word, row, column, weight) of each word's region of largest weight, without the end token; counted from 0."""
    regions = []
    for word, row in zip(words, weights, strict=True):
        best = max(range(len(row)), key=row.__getitem__)
        if word != END:
            regions.append((word, *divmod(best, grid[1]), row[best]))
    return regions


def shades(row: Sequence[float]) -> list[float]:
    """How dark each region of a word is: 0 for the largest weight, up to DARKNESS for none."""
    largest = max(row) or 1.0
    return [DARKNESS * (1 - max(weight, 0.0) / largest) for weight in row]


def data_url(picture: bytes) -> str:
    """A picture as a URL that needs no request."""
    return f"data:image/{image_file.read(picture).format.lower()};base64,{base64.b64encode(picture).decode('ascii')}"


def sides(picture: bytes) -> tuple[float, float]:
    """Width and height of a drawn picture, in pixels of an SVG; the longer one is SIDE."""
    header = image_file.read(picture)
    scale = SIDE / max(header.width, header.height)
    return max(header.width * scale, 8.0), max(header.height * scale, 8.0)


def regions(row: Sequence[float], grid: Sequence[int], width: float, height: float) -> str:
    """The shades over a picture, as elements of an SVG."""
    across, down = width / grid[1], height / grid[0]
    elements = []
    for at, (shade, weight) in enumerate(zip(shades(row), row, strict=True)):
        line, column = divmod(at, grid[1])
        elements.append(
            f'<rect x="{column * across:.2f}" y="{line * down:.2f}" width="{across:.2f}" height="{down:.2f}" fill="#000" '
            f'fill-opacity="{shade:.3f}"><title>{weight:.3f}</title></rect>'
        )
    return "".join(elements)


def panel(row: Sequence[float], grid: Sequence[int], word: str, url: str, width: float, height: float) -> str:
    """A word with its picture, for a page."""
    label = html.escape(f"attention of {visible(word)}", quote=True)
    return (
        f'<figure style="margin:0"><svg viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}" role="img" '
        f'aria-label="{label}"><image href="{url}" width="{width:.0f}" height="{height:.0f}" preserveAspectRatio="none"/>'
        f'{regions(row, grid, width, height)}</svg><figcaption dir="auto">{html.escape(visible(word))}</figcaption></figure>'
    )


def panels(weights: Weights, grid: Sequence[int], words: Sequence[str], picture: bytes) -> str:
    """All words with their pictures, for a page."""
    width, height = sides(picture)
    url = data_url(picture)
    images = (panel(row, grid, word, url, width, height) for row, word in zip(weights, words, strict=True))
    return f'<div style="display:flex;flex-wrap:wrap;gap:12px">{"".join(images)}</div>'


def page(weights: Weights, grid: Sequence[int], words: Sequence[str], picture: bytes, path: Path, title: str) -> None:
    """One self-contained HTML page."""
    name = html.escape(title or "attention")
    path.write_text(
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" '
        f'content="width=device-width, initial-scale=1">\n<title>{name}</title></head>\n'
        f'<body style="font:15px/1.4 system-ui,sans-serif;color:{INK};margin:1.5rem">\n<h1 style="font-size:1.15rem">{name}</h1>\n'
        "<p>Bright regions have the most attention weight of a word. Point at a region to see its weight.</p>\n"
        f"{panels(weights, grid, words, picture)}\n</body></html>\n",
        encoding="utf-8",
    )


def svg(weights: Weights, grid: Sequence[int], words: Sequence[str], picture: bytes, path: Path, title: str) -> None:
    """One SVG with all words; the viewer chooses fonts."""
    width, height = sides(picture)
    columns = min(COLUMNS, max(len(words), 1))
    total_width = columns * (width + GAP) + GAP
    total_height = -(-len(words) // columns) * (height + LINE + GAP) + LINE + GAP
    out = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {total_width:.0f} {total_height:.0f}" width="{total_width:.0f}" '
            f'height="{total_height:.0f}" font-family="system-ui, sans-serif"><rect width="100%" height="100%" fill="#fff"/>'
            f'<defs><image id="picture" href="{data_url(picture)}" width="{width:.0f}" height="{height:.0f}" preserveAspectRatio="none"/></defs>'
        )
    ]
    for at, (row, word) in enumerate(zip(weights, words, strict=True)):
        line, column = divmod(at, columns)
        x, y = GAP + column * (width + GAP), GAP + line * (height + LINE + GAP)
        out.append(
            f'<g transform="translate({x:.1f} {y:.1f})"><use href="#picture"/>{regions(row, grid, width, height)}'
            f'<text x="{width / 2:.1f}" y="{height + 16:.1f}" text-anchor="middle" font-size="14" fill="{INK}">'
            f"{html.escape(visible(word))}</text></g>"
        )
    out.append(
        f'<text x="{GAP}" y="{total_height - 8:.0f}" font-size="11" fill="{QUIET}">{html.escape(title)}</text></svg>\n'
    )
    path.write_text("\n".join(out), encoding="utf-8")


def png(weights: Weights, grid: Sequence[int], words: Sequence[str], picture: bytes, path: Path, title: str) -> None:
    """A PNG with the installed fonts."""
    import numpy as np
    import tensorflow as tf

    from textpipe.data import image_ops
    from textpipe.report.attention_map import find_fonts, plot_text
    from textpipe.report.figures import figure

    pixels: Any = tf.cast(image_ops.decoded(tf.constant(picture)), tf.float32)
    scale = min(1.0, DECODED_PIXELS / max(pixels.shape))
    size = [max(1, round(side * scale)) for side in pixels.shape[:2]]
    pixels = np.clip(tf.image.resize(pixels, size, antialias=True).numpy(), 0, 255).astype(np.uint8)
    families, _ = find_fonts("".join((*words, title)))
    columns = min(COLUMNS, max(len(words), 1))
    rows = -(-len(words) // columns)
    fig = figure(max(3.0, 1.35 * columns), 1.6 * rows * size[0] / max(size) + 0.5)
    for at, (row, word) in enumerate(zip(weights, words, strict=True)):
        axes = fig.add_subplot(rows, columns, at + 1)
        extent = (0, size[1], size[0], 0)
        axes.imshow(pixels, extent=extent)
        dark = np.zeros((*grid, 4))
        dark[:, :, 3] = np.reshape(shades(row), grid)
        axes.imshow(dark, extent=extent, interpolation="nearest")
        axes.set_axis_off()
        axes.set_title(plot_text(word), family=families, color=INK, size=9)
    if title:
        fig.suptitle(plot_text(title), y=0.02, va="bottom", family=families, color=QUIET, size=8)
    fig.savefig(path, dpi=130, metadata={"Software": None})  # no date: equal pictures are equal files


KINDS: dict[str, Callable[..., None]] = {".png": png, ".svg": svg, ".html": page}
