"""Finds the axes of weights that are indexed by a vocabulary, and describes the vocabularies.

Models need not declare these axes: a second model with larger vocabularies differs in exactly these.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from textpipe.config import plugins
from textpipe.config.fields import Sizes
from textpipe.config.sections import Section
from textpipe.errors import ConfigError

Enlarged = dict[int, tuple[str, str]]  # {increment: (field, part of its vocabulary)}
Axes = dict[str, dict[int, tuple[str, str]]]  # {weight: {axis: (field, part)}}


def increments(number: int) -> dict[str, int]:
    """By how much the vocabulary of field `number` is enlarged, to find the axes that grow with it.

    All increments of all fields differ. Those of words and letters tell the two parts of a vocabulary with num_words apart.
    """
    return {"words": 3 * number + 1, "letters": 3 * number + 2, "all": 6 * number + 3}


def describe_vocabulary(tokenize: Path, vectorize: Path, sizes: Sizes) -> dict[str, Any]:
    """The vocabulary of each field, as stored in vocabulary.json.

    {field: {"side": "source" | "target", "kind": "ids" | "sparse" | "label" | ..., "names": pieces, buckets or classes}}.
    N-grams also have "features", because buckets are meaningful only with the options they were counted by. Of words and
    letters, the first "num_words" are words.
    """
    return {
        name: {
            "side": "target" if name == sizes.target_name else "source",
            **describe_field(tokenize, vectorize, name, size),
        }
        for name, size in sizes.tables.items()
    }


def describe_field(tokenize: Path, vectorize: Path, name: str, size: dict[str, Any]) -> dict[str, Any]:
    """The kind and the names of one field."""
    if "classes" in size:
        return {"kind": size["kind"], "names": size["classes"]}
    if size["kind"] not in ("ids", "sparse"):  # numbers have no names
        return {"kind": size["kind"], "names": []}
    from textpipe.text import vectorizer

    if size["kind"] == "sparse":
        import numpy as np

        section = json.loads((vectorize / vectorizer.FEATURES_FILE).read_text(encoding="utf-8"))[name]
        counted = ("words", "characters", "pieces", "punctuation", "num_buckets")
        learned = vectorize / f"{name}.buckets.npy"
        buckets = np.load(learned).tolist() if learned.exists() else list(range(size["dim"]))  # hashed has them all
        features = {option: section[option] for option in counted}
        features |= {option: True for option in ("casefold", "marks") if section.get(option)}  # older runs have neither
        features |= {"pairs": section["pairs"]} if section.get("pairs") else {}
        if section.get("norm") == "family":  # each family has its own buckets
            features["norm"] = "family"
        return {"kind": "sparse", "features": features, "names": buckets}
    import tensorflow as tf

    codec = vectorizer.load_codec(tokenize, name)
    pieces = codec.pieces(tf.range(codec.vocab_size)[None])[0].numpy()
    words = {"num_words": size["num_words"]} if "num_words" in size else {}
    return {"kind": "ids", **words, "names": [piece.decode("utf-8", errors="replace") for piece in pieces.tolist()]}


def build_model(config: Section, sizes: Sizes) -> Any:
    """Builds a model whose layers are numbered from the start."""
    import keras

    keras.utils.clear_session(free_memory=False)
    return plugins.find("models", config.kind).build(config, sizes, seed=0)


def enlarged_shapes(config: Section, sizes: Sizes) -> tuple[Enlarged, list[tuple[int, ...]]]:
    """The increments of the vocabularies, and the shapes of a model's weights with the enlarged vocabularies."""
    grow = {name: increments(number) for number, name in enumerate(sizes.tables)}
    texts = [name for name, size in sizes.inputs.items() if "vocab_size" in size]
    texts_alike = {**grow, **dict.fromkeys(texts, grow[texts[0]])} if texts else grow
    for attempt in (grow, texts_alike, dict.fromkeys(sizes.tables, grow[sizes.target_name])):
        try:
            model = build_model(config, enlarge(sizes, attempt))
        except ConfigError:  # fields share a vocabulary, and must grow alike
            continue
        break
    else:
        model = build_model(config, enlarge(sizes, attempt))  # raises
    grow = {name: grow[name] for name, parts in grow.items() if parts in attempt.values()}
    enlarged = {by: (name, part) for name, parts in grow.items() for part, by in parts.items()}
    return enlarged, [tuple(weight.shape) for weight in model.weights]


def find_axes(weights: Mapping[str, Any], enlarged: Enlarged, shapes: list[tuple[int, ...]]) -> Axes:
    """The axes of weights, by name, that grow with a vocabulary. enlarged, shapes: from enlarged_shapes.

    A recurrent model with an embedding for each side -> {"source_embedding": {0: ("source", "all")},
    "target_embedding": {0: ("target", "all")}, "decoder/readout/kernel": {}, ...}
    """
    target = list(enlarged)[-1]  # "all" of the target, the last field
    axes = {}
    for (name, weight), shape in zip(weights.items(), shapes, strict=True):
        steps = [new - old for old, new in zip(weight.shape, shape, strict=True)]
        if steps and steps[-1] and weight.shape[-1] == 1:
            steps[-1] = target  # two classes share one logit, more have one each
        axes[name] = {axis: enlarged[step] for axis, step in enumerate(steps) if step}
    return axes


def enlarge(sizes: Sizes, grow: Mapping[str, Mapping[str, int]]) -> Sizes:
    """Size tables with vocabularies enlarged by {field: {part: increment}}."""

    def enlarged(size: dict[str, Any], by: Mapping[str, int]) -> dict[str, Any]:
        if "classes" in size:
            return {**size, "classes": [*size["classes"], *(f"{number}" for number in range(by["all"]))]}
        if size["kind"] not in ("ids", "sparse"):
            return size
        if "num_words" in size:
            size = {**size, "num_words": size["num_words"] + by["words"]}
        key = "dim" if size["kind"] == "sparse" else "vocab_size"
        return {**size, key: size[key] + by["all"]}

    inputs = {name: enlarged(size, grow[name]) for name, size in sizes.inputs.items()}
    return Sizes(inputs, sizes.target_name, enlarged(sizes.target, grow[sizes.target_name]))


def names_of_part(vocabulary: dict[str, Any], part: str) -> list[Any]:
    """The names in a vocabulary: all, or only its words or letters."""
    num_words = vocabulary.get("num_words", 0)
    return {
        "all": vocabulary["names"],
        "words": vocabulary["names"][:num_words],
        "letters": vocabulary["names"][num_words:],
    }[part]


def number_duplicates(names: Sequence[Any]) -> list[tuple[Any, int]]:
    """Makes names unique by the number of earlier occurrences: ["a", "b", "a"] -> [(a, 0), (b, 0), (a, 1)]."""
    counts: dict[Any, int] = {}
    numbered = []
    for name in names:
        numbered.append((name, counts.get(name, 0)))
        counts[name] = counts.get(name, 0) + 1
    return numbered
