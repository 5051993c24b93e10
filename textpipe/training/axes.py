"""Which axes of which weights stand for a vocabulary, and what their places stand for.

No model need say it: built a second time with larger vocabularies, it shows by its weights' shapes.
"""

import json
from pathlib import Path
from typing import Any

from textpipe import rooms
from textpipe.config import Section
from textpipe.errors import ConfigError
from textpipe.fields import Sizes
from textpipe.training import parts

# By how much vocabularies are made larger to see which axes grow with them: each sum of these differs from all others.
# Where a vocabulary is words and letters that spell unknown ones (num_words), the two are told apart.
LARGER = {"source": {"words": 1, "letters": 2, "all": 3}, "target": {"words": 4, "letters": 8, "all": 12}}

Grown = dict[int, tuple[str, str]]  # {by how much: (side, part of its vocabulary)}
Axes = dict[str, dict[int, tuple[str, str]]]  # {weight: {axis: (side, part)}}


def vocabulary(tokenize: Path, vectorize: Path, sizes: Sizes) -> dict[str, Any]:
    """What the places of the source's and the target's vocabulary axes stand for, as vocabulary.json holds it.

    {side: {"field", "kind": "ids" | "sparse" | "label", "names": pieces, buckets or classes}}. N-grams also have their
    "features", for buckets mean something only together with the options they were counted by; of words and letters,
    the first "num_words" are words.
    """
    sides = {"source": (sizes.source_name, sizes.source), "target": (sizes.target_name, sizes.target)}
    return {side: {"field": name, **named(tokenize, vectorize, name, size)} for side, (name, size) in sides.items()}


def named(tokenize: Path, vectorize: Path, name: str, size: dict[str, Any]) -> dict[str, Any]:
    """The kind and the names of one field's axis."""
    if size["kind"] == "label":
        return {"kind": "label", "names": size["classes"]}
    from textpipe.text import vectorizer

    if size["kind"] == "sparse":
        import numpy as np

        section = json.loads((vectorize / vectorizer.FEATURES).read_text(encoding="utf-8"))[name]
        counted = ("words", "characters", "pieces", "punctuation", "num_buckets")
        buckets = np.load(vectorize / f"{name}.buckets.npy").tolist()
        features = {option: section[option] for option in counted}
        if section.get("norm") == "family":  # each family has buckets of its own
            features["norm"] = "family"
        return {"kind": "sparse", "features": features, "names": buckets}
    import tensorflow as tf

    codec = vectorizer.load_codec(tokenize, name)
    pieces = codec.pieces(tf.range(codec.vocab_size)[None])[0].numpy()
    words = {"num_words": size["num_words"]} if "num_words" in size else {}
    return {"kind": "ids", **words, "names": [piece.decode("utf-8", errors="replace") for piece in pieces.tolist()]}


def part_of(table: dict[str, Any], part: str) -> list[Any]:
    """The names of all of a vocabulary, of its words or of its letters."""
    cut = table.get("num_words", 0)
    return {"all": table["names"], "words": table["names"][:cut], "letters": table["names"][cut:]}[part]


def build(config: Section, sizes: Sizes) -> Any:
    """A model whose layers are numbered from the beginning."""
    import keras

    keras.utils.clear_session(free_memory=False)
    return rooms.find("models", config.kind).build(config, sizes, seed=0)


def grown_shapes(config: Section, sizes: Sizes) -> tuple[Grown, list[tuple[int, ...]]]:
    """The shapes of a model's weights where the vocabularies are larger; and what is larger by how much."""
    try:
        sides, model = ("source", "target"), build(config, larger(sizes, LARGER["source"], LARGER["target"]))
    except ConfigError:  # both sides share one vocabulary
        sides, model = ("target",), build(config, larger(sizes, LARGER["target"], LARGER["target"]))
    grown = {by: (side, part) for side in sides for part, by in LARGER[side].items()}
    return grown, [tuple(weight.shape) for weight in model.weights]


def of_model(model: Any, grown: Grown, shapes: list[tuple[int, ...]]) -> Axes:
    """The axes of a model's weights that grow with a vocabulary, from grown_shapes.

    A recurrent model with one embedding for each side -> {"source_embedding": {0: ("source", "all")},
    "target_embedding": {0: ("target", "all")}, "decoder/readout/kernel": {}, ...}
    """
    axes = {}
    for weight, shape in zip(model.weights, shapes, strict=True):
        steps = [new - old for old, new in zip(weight.shape, shape, strict=True)]
        if steps and steps[-1] and weight.shape[-1] == 1:
            steps[-1] = LARGER["target"]["all"]  # two classes have one logit, more have one each
        axes[parts.name_of(weight)] = {axis: grown[step] for axis, step in enumerate(steps) if step}
    return axes


def larger(sizes: Sizes, source: dict[str, int], target: dict[str, int]) -> Sizes:
    """Size tables of vocabularies that are larger by so much."""

    def grown(size, by):
        if size["kind"] == "label":
            return {**size, "classes": [*size["classes"], *(f"{number}" for number in range(by["all"]))]}
        if "num_words" in size:
            size = {**size, "num_words": size["num_words"] + by["words"]}
        key = "dim" if size["kind"] == "sparse" else "vocab_size"
        return {**size, key: size[key] + by["all"]}

    return Sizes(sizes.source_name, grown(sizes.source, source), sizes.target_name, grown(sizes.target, target))
