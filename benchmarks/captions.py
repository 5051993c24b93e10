"""Captions: a model of scenes on known and on held-out pairs of color and shape, with other scenes' pictures, and where it looks; a model of
emoji beside retrieval of the nearest picture.

    python data/scenes/generate.py --out DIR --train 16000 --valid 800 --test 1000 --novel 1000
    textpipe run pipelines/scenes_captions.toml -s ingest.dataset= -s 'ingest.files={ train = "DIR/train.tsv.gz", ... }' ...
    python benchmarks/captions.py scenes saved_models/scenes_captions --scenes DIR
    TEXTPIPE_DATA=... python benchmarks/captions.py emoji saved_models/emoji_captions

Prints a JSON object. Both sides of a comparison answer the same pictures and are scored by the same code.
"""

import argparse
import csv
import gzip
import json
import random
import re
from pathlib import Path

import numpy as np
import tensorflow as tf

from textpipe.data import catalog, image_ops, raster
from textpipe.kinds import image
from textpipe.metrics import bootstrap, cider, generation
from textpipe.savedmodel.loader import Model
from textpipe.savedmodel.signatures import ATTENTION, find_giving

SEED = 1
COLORS = {"red": "#d62f2f", "green": "#2fa84a", "blue": "#2f57d6", "yellow": "#e8c81e", "purple": "#8a3fb5", "black": "#222222"}  # fmt: skip
NAMED = re.compile(rf"({'|'.join(COLORS)}) ({'|'.join(raster.SHAPES)})")
SIDE = 16  # of the pictures that retrieval compares


def read_scenes(path):
    """(drawings, pictures, captions) of a file."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = [line.rstrip("\n").split("\t") for line in file][1:]
    drawings = [raster.parse(drawing) for drawing, _ in rows]
    return drawings, [raster.png(raster.render(drawing)) for drawing in drawings], [caption for _, caption in rows]


def scored(answers, captions):
    """Figures of answers, with an interval of the exact match."""
    references = [[caption] for caption in captions]
    equal = np.array([answer == caption for answer, caption in zip(answers, captions, strict=True)], float)
    low, high = bootstrap.confidence_interval(equal[:, None], lambda total: total[0] / len(equal), seed=SEED)
    return {
        "rows": len(equal),
        "exact_match": float(equal.mean()),
        "interval": [low, high],
        "bleu": generation.score(answers, captions, resamples=0)["metrics"]["bleu"],
        "cider": cider.score(answers, references),
    }


def by_kind(answers, captions):
    """The exact match of scenes with one shape inside another, and of all others."""
    kinds = {"inside": [], "others": []}
    for answer, caption in zip(answers, captions, strict=True):
        kinds["inside" if " inside " in caption else "others"].append(answer == caption)
    return {kind: {"rows": len(equal), "exact_match": float(np.mean(equal))} for kind, equal in kinds.items()}


def answers_of(model, pictures):
    return [row["answer"] for row in model.predict(pictures)]


def attention_on_objects(model, drawings, pictures, captions, count):
    """Of correct answers: the attention mass of a color's and a shape's word on the pixels of the object that they name.

    A region's weight is spread evenly over its pixels; the area is the share of the picture's pixels. So a model that looks anywhere has a ratio of 1.
    """
    signature = find_giving(model.described.values(), ATTENTION)
    rows = model.predict(pictures[:count], signature=signature.name)
    masses, areas = [], []
    for drawing, caption, row in zip(drawings, captions, rows, strict=False):
        words = [word for word in row["target_tokens"] if word not in ("", "<pad>", "</s>")]
        if " ".join(words).replace(" ,", ",") != caption:
            continue
        names = NAMED.findall(caption)
        at = [place for place, word in enumerate(words) if word in COLORS]
        for (color, shape), place in zip(names, at, strict=True):
            drawn = next(one for one in drawing.shapes if (one.name, one.color) == (shape, COLORS[color]))
            mask = raster.coverage(drawing, drawn)
            grid = row["grid"]
            cells = (
                mask.reshape(grid[0], drawing.height // grid[0], grid[1], drawing.width // grid[1])
                .mean(axis=(1, 3))
                .ravel()
            )
            for word in (place, place + 1):
                masses.append(float(np.dot(row["weights"][word][: len(cells)], cells)))
                areas.append(float(mask.mean()))
    ratios = np.array(masses) / np.array(areas)
    return {
        "words": len(masses), "mass": float(np.mean(masses)), "area": float(np.mean(areas)),
        "ratio": float(np.mean(masses) / np.mean(areas)), "share_above_2": float((ratios >= 2).mean()),
    }  # fmt: skip


def scenes(arguments):
    model = Model.load(arguments.model)
    drawings, pictures, captions = read_scenes(arguments.scenes / "test.tsv.gz")
    shuffled = list(range(len(pictures)))
    random.Random(SEED).shuffle(shuffled)
    answers = answers_of(model, pictures)
    _, novel_pictures, novel_captions = read_scenes(arguments.scenes / "novel.tsv.gz")
    novel_answers = answers_of(model, novel_pictures)
    return {
        "test": scored(answers, captions) | by_kind(answers, captions),
        "novel": scored(novel_answers, novel_captions) | by_kind(novel_answers, novel_captions),
        "shuffled_pictures": scored([answers[at] for at in shuffled], captions),
        "attention": attention_on_objects(model, drawings, pictures, captions, arguments.attended),
    }  # fmt: skip


def read_emoji(folder, language):
    """{split: (pictures, captions)}"""
    parse = image.parser(folder / "png72.tar")
    splits = {"train": ([], []), "val": ([], [])}
    with (folder / "captions.tsv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            pictures, captions = splits[row["split"]]
            pictures.append(parse(row["file"]))
            captions.append(row[f"caption_{language}"])
    return splits


def descriptors(pictures):
    """Small pictures as vectors: [N, SIDE * SIDE * 3]."""
    pixels = image_ops.to_pixels(tf.constant(pictures), height=SIDE, width=SIDE, channels=3)
    return pixels.numpy().reshape(len(pictures), -1).astype(np.float32)


def emoji(arguments):
    model = Model.load(arguments.model)
    splits = read_emoji(catalog.root_folder(catalog.load_card("emoji_captions")) / "emoji_captions", arguments.language)
    (train_pictures, train_captions), (pictures, captions) = splits["train"], splits["val"]
    held_out = set(map(image.identity, pictures))
    kept = [at for at, one in enumerate(train_pictures) if image.identity(one) not in held_out]
    known = descriptors([train_pictures[at] for at in kept])
    known_captions = [train_captions[at] for at in kept]
    wanted = descriptors(pictures)
    distances = (wanted**2).sum(1)[:, None] - 2 * wanted @ known.T + (known**2).sum(1)[None]
    nearest = [known_captions[at] for at in distances.argmin(axis=1)]
    answers = answers_of(model, pictures)
    seen = set(known_captions)
    return {
        "model": scored(answers, captions),
        "nearest_picture": scored(nearest, captions),
        "answers_that_are_no_training_caption": float(np.mean([answer not in seen for answer in answers])),
        "dropped_from_train": len(train_pictures) - len(kept),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["scenes", "emoji"])
    parser.add_argument("model", type=Path)
    parser.add_argument("--scenes", type=Path, default=Path("data/scenes"))
    parser.add_argument("--attended", type=int, default=300, help="scenes whose attention is measured")
    parser.add_argument("--language", choices=["en", "de"], default="en", help="of the emoji's names")
    arguments = parser.parse_args()
    print(json.dumps({"scenes": scenes, "emoji": emoji}[arguments.what](arguments), indent=1))


if __name__ == "__main__":
    main()
