"""Drawings of simple shapes as pixels and PNG files.   Shapes: H x W pixels.

A drawing is a line of text, "48x48 #f4f1ea; circle 12,20 9 #d62f2f; cross 33,30 6 #2f57d6": size and background, then shapes
from back to front, each with its center, radius (both in pixels, from the top left corner) and color.
"""

import re
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from textpipe.data.image_file import PNG_SIGNATURE

SAMPLES = 4  # per pixel and axis, averaged
MAX_SIDE = 1024
MAX_SHAPES = 100
HEAD = re.compile(r"(\d{1,4})x(\d{1,4}) (#[0-9a-f]{6})")
SHAPE = re.compile(r"(\w+) (-?\d{1,4}(?:\.\d+)?),(-?\d{1,4}(?:\.\d+)?) (\d{1,4}(?:\.\d+)?) (#[0-9a-f]{6})")

# Whether points lie in a shape of radius 1 around the origin; x to the right, y downwards.
SHAPES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "circle": lambda x, y: x**2 + y**2 <= 1,
    "square": lambda x, y: np.maximum(abs(x), abs(y)) <= 0.88,
    "triangle": lambda x, y: (y <= 0.75) & (abs(x) <= 0.57 * (y + 1)),
    "diamond": lambda x, y: 1.2 * abs(x) + abs(y) <= 1,
    "cross": lambda x, y: np.minimum(abs(x), abs(y)) <= np.where(np.maximum(abs(x), abs(y)) <= 1, 0.32, -1),
    "ring": lambda x, y: (x**2 + y**2 <= 1) & (x**2 + y**2 >= 0.3),
}


@dataclass(frozen=True)
class Shape:
    """A shape of a drawing: its name in SHAPES, center, radius and color #rrggbb."""

    name: str
    x: float
    y: float
    radius: float
    color: str


@dataclass(frozen=True)
class Drawing:
    """width, height: in pixels; background: its color #rrggbb; shapes: back to front."""

    width: int
    height: int
    background: str
    shapes: tuple[Shape, ...]


def parse(text: str) -> Drawing:
    """The drawing of a line. Raises ValueError that names the part which is none."""
    first, *others = (part.strip() for part in text.split(";"))
    head = HEAD.fullmatch(first)
    if head is None or not (1 <= int(head[1]) <= MAX_SIDE and 1 <= int(head[2]) <= MAX_SIDE):
        raise ValueError(
            f"{first[:60]!r} is not a size of at most {MAX_SIDE}x{MAX_SIDE} and background such as '48x48 #f4f1ea'"
        )
    if len(others) > MAX_SHAPES:
        raise ValueError(f"{len(others)} shapes, where at most {MAX_SHAPES} are allowed")
    shapes = []
    for part in others:
        match = SHAPE.fullmatch(part)
        if match is None or match[1] not in SHAPES:
            raise ValueError(
                f"{part[:60]!r} is not a shape such as 'circle 12,20 9 #d62f2f'; known: {', '.join(SHAPES)}"
            )
        shapes.append(Shape(match[1], float(match[2]), float(match[3]), float(match[4]), match[5]))
    return Drawing(int(head[1]), int(head[2]), head[3], tuple(shapes))


def coverage(drawing: Drawing, shape: Shape) -> np.ndarray:
    """The share of each pixel that a shape covers, seen without the others: [H, W] float64."""
    height, width = drawing.height, drawing.width
    y = (np.arange(height * SAMPLES)[:, None] + 0.5) / SAMPLES
    x = (np.arange(width * SAMPLES)[None, :] + 0.5) / SAMPLES
    radius = max(shape.radius, 1e-9)
    inside = SHAPES[shape.name]((x - shape.x) / radius, (y - shape.y) / radius)
    return inside.reshape(height, SAMPLES, width, SAMPLES).mean(axis=(1, 3))


def render(drawing: Drawing) -> np.ndarray:
    """The pixels of a drawing: [H, W, 3] uint8."""
    pixels = np.empty((drawing.height, drawing.width, 3))
    pixels[:] = rgb(drawing.background)
    for shape in drawing.shapes:
        share = coverage(drawing, shape)[:, :, None]
        pixels = pixels * (1 - share) + np.array(rgb(shape.color)) * share
    return np.rint(pixels).astype(np.uint8)


def rgb(color: str) -> tuple[int, ...]:
    """#ff8000 -> (255, 128, 0)"""
    return tuple(bytes.fromhex(color[1:]))


def png(pixels: np.ndarray, *, text: bytes = b"") -> bytes:
    """Pixels as a PNG file: [H, W, 1], [H, W, 3] or [H, W, 4] of uint8 or uint16.

    Each row is filtered by the difference to the pixel on its left, which compresses plain areas well. text: further chunks, complete.
    """
    height, width, channels = pixels.shape
    color = {1: 0, 3: 2, 4: 6}[channels]
    size = pixels.dtype.itemsize * channels
    rows = np.frombuffer(pixels.astype(pixels.dtype.newbyteorder(">")).tobytes(), np.uint8).reshape(
        height, width * size
    )
    filtered = rows.copy()
    filtered[:, size:] -= rows[:, :-size]
    data = np.concatenate([np.ones((height, 1), np.uint8), filtered], axis=1).tobytes()
    header = struct.pack(">IIBBBBB", width, height, 8 * pixels.dtype.itemsize, color, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + text + chunk(b"IDAT", zlib.compress(data, 9)) + chunk(b"IEND", b"")
    return PNG_SIGNATURE + chunks


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG file: length, type, data and checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
