"""Write the scenes corpus: train, valid, test and novel.tsv.gz, of drawings and captions; a seed always gives the same lines.

    python data/scenes/generate.py [--seed N] [--out DIR] [--train N] [--valid N] [--test N] [--novel N]

A scene has one to three shapes, and its caption follows from what can be seen: size, color, shape and place of one, the relation
of a large to a small one, or the order of three. Some pairs of color and shape occur in novel only.
"""

import argparse
import gzip
import io
import random
from dataclasses import dataclass
from pathlib import Path

SEED = 7
SIZES = {"train": 3_500, "valid": 400, "test": 400, "novel": 400}
SIDE = 48
COLORS = {
    "red": "#d62f2f", "green": "#2fa84a", "blue": "#2f57d6", "yellow": "#e8c81e", "purple": "#8a3fb5", "black": "#222222",
}  # fmt: skip
SHAPES = ("circle", "square", "triangle", "diamond", "cross", "ring")
HELD_OUT = {("red", "triangle"), ("green", "circle"), ("blue", "cross"), ("yellow", "diamond"), ("purple", "square"), ("black", "ring")}  # fmt: skip
CONTAINERS = ("circle", "square")  # shapes that another can be inside of
SMALL, LARGE = (5.0, 6.0), (10.0, 11.5)  # radii, in pixels
MIDDLE = (6.0, 7.0)  # of three shapes in a row
PLACES = (
    ("at the top left", "at the top", "at the top right"),
    ("at the left", "in the center", "at the right"),
    ("at the bottom left", "at the bottom", "at the bottom right"),
)
# The direction from the small shape to the large one.
RELATIONS = {"left of": (-1, 0), "right of": (1, 0), "above": (0, -1), "below": (0, 1)}


@dataclass(frozen=True)
class Thing:
    """A shape of a scene, and its name in the caption."""

    color: str
    shape: str
    radius: float
    x: float
    y: float

    @property
    def name(self):
        return f"{self.color} {self.shape}"

    @property
    def drawn(self):
        return f"{self.shape} {self.x:g},{self.y:g} {self.radius:g} {COLORS[self.color]}"


@dataclass(frozen=True)
class Scene:
    """things: in the order of the caption; back: index of the one that is drawn first."""

    things: tuple
    caption: str
    background: str
    back: int = 0

    @property
    def drawing(self):
        order = sorted(range(len(self.things)), key=lambda at: at != self.back)
        return "; ".join([f"{SIDE}x{SIDE} {self.background}", *(self.things[at].drawn for at in order)])

    @property
    def pairs(self):
        return {(thing.color, thing.shape) for thing in self.things}


def uniform(draw, low, high):
    """A number in tenths, so that a drawing is short and exact."""
    return draw.randrange(round(low * 10), round(high * 10) + 1) / 10


def draw_names(draw, count):
    """Different pairs of color and shape."""
    pairs = [(color, shape) for color in COLORS for shape in SHAPES]
    return draw.sample(pairs, count)


def background(draw):
    """A light color."""
    return "#" + "".join(f"{draw.randrange(228, 256):02x}" for _ in range(3))


def one(draw):
    """a small red circle at the top left"""
    ((color, shape),) = draw_names(draw, 1)
    size, radii = draw.choice([("small", SMALL), ("large", LARGE)])
    row, column = draw.randrange(3), draw.randrange(3)
    centers = (11.5, 24.0, 36.5)
    x, y = (centers[at] + uniform(draw, -1.5, 1.5) for at in (column, row))
    thing = Thing(color, shape, uniform(draw, *radii), round(x, 1), round(y, 1))
    return Scene((thing,), f"a {size} {thing.name} {PLACES[row][column]}", background(draw))


def two(draw):
    """a large red circle left of a small blue square"""
    names = draw_names(draw, 2)
    large, small = uniform(draw, *LARGE), uniform(draw, *SMALL)
    relation = draw.choice(list(RELATIONS))
    across, down = RELATIONS[relation]
    distance = uniform(draw, large + small + 1, large + small + 5)
    drift = uniform(draw, -5, 5)
    dx, dy = (across * distance, drift) if across else (drift, down * distance)
    # Of the small shape's center: both shapes lie in the picture.
    low = [max(small, large - delta) + 1 for delta in (dx, dy)]
    high = [min(SIDE - small, SIDE - large - delta) - 1 for delta in (dx, dy)]
    if any(a > b for a, b in zip(low, high, strict=True)):
        return None
    x, y = (uniform(draw, a, b) for a, b in zip(low, high, strict=True))
    first = Thing(*names[0], large, round(x + dx, 1), round(y + dy, 1))
    second = Thing(*names[1], small, x, y)
    return Scene((first, second), f"a large {first.name} {relation} a small {second.name}", background(draw))


def inside(draw):
    """a small blue square inside a large red circle"""
    (inner, outer) = draw_names(draw, 2)
    if outer[1] not in CONTAINERS or inner[0] == outer[0]:
        return None
    radius = uniform(draw, 12, 13.5)
    x, y = (uniform(draw, radius + 1, SIDE - radius - 1) for _ in range(2))
    dx, dy = (uniform(draw, -2, 2) for _ in range(2))
    first = Thing(*inner, uniform(draw, 4.5, 5.5), round(x + dx, 1), round(y + dy, 1))
    second = Thing(*outer, radius, x, y)
    return Scene((first, second), f"a small {first.name} inside a large {second.name}", background(draw), back=1)


def three(draw):
    """a red circle, a blue square and a green ring from left to right"""
    names = draw_names(draw, 3)
    direction = draw.choice(["from left to right", "from top to bottom"])
    middle = uniform(draw, 12, 36)
    things = []
    for at, name in enumerate(names):
        along, across = 9.0 + 15 * at + uniform(draw, -0.8, 0.8), middle + uniform(draw, -3, 3)
        x, y = (along, across) if direction == "from left to right" else (across, along)
        things.append(Thing(*name, uniform(draw, *MIDDLE), round(x, 1), round(y, 1)))
    first, second, third = (thing.name for thing in things)
    return Scene(tuple(things), f"a {first}, a {second} and a {third} {direction}", background(draw))


KINDS = (one, two, two, inside, three, three)


def build(seed=SEED, sizes=SIZES):
    """{split: [Scene, ...]}; no drawing twice. Only scenes of novel have a held-out pair, at least one."""
    draw, splits, seen = random.Random(seed), {name: [] for name in sizes}, set()
    while any(len(splits[name]) < count for name, count in sizes.items()):
        kind, scene = draw.choice(KINDS), None
        while scene is None:
            scene = kind(draw)
        if scene.drawing in seen:
            continue
        if scene.pairs & HELD_OUT:
            name = "novel"
        else:
            # One of these in turn, until it is full.
            name = draw.choices(list(sizes), [0 if split == "novel" else count for split, count in sizes.items()])[0]
        if len(splits.get(name, ())) < sizes.get(name, 0):
            seen.add(scene.drawing)
            splits[name].append(scene)
    return splits


def lines(scenes):
    """The lines of a file: drawing, caption."""
    yield "drawing\tcaption\n"
    for scene in scenes:
        yield f"{scene.drawing}\t{scene.caption}\n"


def write(folder, splits):
    """Write the files, compressed, without a time in their headers."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, scenes in splits.items():
        packed = io.BytesIO()
        with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=9, mtime=0, filename="") as file:
            file.write("".join(lines(scenes)).encode())
        (folder / f"{name}.tsv.gz").write_bytes(packed.getvalue())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    for name, count in SIZES.items():
        parser.add_argument(f"--{name}", type=int, default=count)
    arguments = parser.parse_args()
    write(arguments.out, build(arguments.seed, {name: getattr(arguments, name) for name in SIZES}))


if __name__ == "__main__":
    main()
