"""The strongest features of each class of a linear model, with their names.

An export knows the hash buckets of its n-grams, not their strings. The strings are found when they are asked for, in training texts: those of
the artifacts that the model was made of, where they still exist, else the rows that the export itself carries.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from textpipe.errors import ConfigError, ModelError, suggest
from textpipe.explanation.linear import Linear
from textpipe.explanation.subject import Subject

GOLDEN = "assets.extra/golden.jsonl"
MAX_TEXTS = 200_000
BATCH = 200_000  # characters whose n-grams are made at once


def strongest(subject: Subject, *, top: int, label: str | None = None, artifacts: Path | None = None) -> dict[str, Any]:
    """{"classes": {label: [{"field", "name", "weight"}, ...]}, "bias": {label: b}, "fields", "named_by", "unnamed"}: the largest weights of
    each class, in absolute value. With two classes only the second is listed: the first has the same weights with the other sign.

    artifacts: the store in which to look for the training texts. Raises ModelError for a model that is not linear.
    """
    import numpy as np

    linear = Linear.of(subject)
    if linear is None:
        raise ModelError(
            f"{subject.name}: is not a linear model, so its features have no weights of their own; explain a text instead"
        )
    labels = list(subject.about["labels"])
    if label is not None and label not in labels:
        raise ConfigError(f"--label {label}: {subject.name} has no such class{suggest(label, labels)}")
    chosen = [label] if label is not None else labels[1:] if len(linear.bias) == 1 else labels
    rows: dict[str, list[tuple[str, int, float]]] = {}
    bias = {}
    for name in chosen:
        at, sign = linear.column(labels.index(name))
        bias[name] = sign * float(linear.bias[at])
        candidates = []
        for field, kernel in linear.kernels.items():
            weights = sign * kernel[:, at]
            order = np.argsort(-np.abs(weights), kind="stable")[:top]
            candidates += [(field, int(column), float(weights[column])) for column in order if weights[column]]
        rows[name] = sorted(candidates, key=lambda one: -abs(one[2]))[:top]
    columns: dict[str, set[int]] = {field: set() for field in linear.kernels}
    for group in rows.values():
        for field, column, _ in group:
            columns[field].add(column)
    source, texts = training_texts(subject, artifacts)
    names = {field: column_names(subject, field, column_set, texts) for field, column_set in columns.items()}
    table = {
        name: [{"field": field, "name": names[field][column], "weight": weight} for field, column, weight in group]
        for name, group in rows.items()
    }
    unnamed = sum(name.startswith("bucket ") for field in names.values() for name in field.values())
    return {"classes": table, "bias": bias, "fields": list(linear.kernels), "named_by": source, "unnamed": unnamed}


Texts = Mapping[str, Iterable[str]]  # {field: normalized texts}


def column_names(subject: Subject, field: str, columns: set[int], texts: Texts) -> dict[int, str]:
    """{column: its name}: a token, or the n-grams of a bucket; "bucket 57" where no text has it."""
    table = subject.vocabulary[field]
    if table["kind"] != "sparse":
        return {column: str(table["names"][column]) if table["names"] else field for column in columns}
    buckets = {int(table["names"][column]): column for column in columns}
    names = ngram_names(table["features"], buckets, texts.get(field, ()))
    return {column: names.get(column, f"bucket {bucket}") for bucket, column in buckets.items()}


def ngram_names(table: dict[str, Any], buckets: Mapping[int, int], texts: Iterable[str]) -> dict[int, str]:
    """{column: the most frequent n-gram of its bucket, then others that share it}; buckets: {bucket: column}."""
    import numpy as np
    import tensorflow as tf

    from textpipe.explanation import ngram_spans
    from textpipe.features._ngrams import FAMILIES
    from textpipe.text.steps import casefold

    config = ngram_spans.options(table)
    families = [name for name in FAMILIES if getattr(config, name)]
    counts: dict[int, Counter[str]] = {column: Counter() for column in buckets.values()}
    known = np.array(sorted(buckets), np.int64)
    for batch in batched(texts):
        text = casefold.apply(tf.constant(batch), None) if config.casefold else tf.constant(batch)
        for number, family in enumerate(families):
            if family == "pieces":  # the tokens of a codec, which an export does not name
                continue
            counted, hashed = named_buckets(text, family, config)
            hashed = hashed + (number * config.num_buckets if config.separate_families else 0)
            chosen = np.flatnonzero(np.isin(hashed, known))
            names = tf.gather(counted, chosen).numpy().tolist()
            for bucket, name in zip(hashed[chosen].tolist(), names, strict=True):
                counts[buckets[bucket]][name.decode("utf-8", errors="replace")] += 1
    return {
        column: " / ".join(name for name, _ in counter.most_common(3)) for column, counter in counts.items() if counter
    }


def named_buckets(text: Any, family: str, config: Any) -> tuple[Any, Any]:
    """The n-grams of a family in texts [N], and their buckets before the offset of the family: string [G], int64 [G]."""
    import tensorflow as tf

    from textpipe.explanation.ngram_spans import PAIR
    from textpipe.text import ngrams, words

    if family == "pairs":
        split = words.split(text, punctuation=config.punctuation)
        first, second, _ = ngrams.pair_positions(split, config.pairs)
        names = tf.strings.join([tf.gather(split.flat_values, first), tf.gather(split.flat_values, second)], PAIR)
        return names, ngrams.word_pairs(text, config).flat_values.numpy()
    counted = (
        ngrams.word_ngrams(text, config.words, punctuation=config.punctuation, marks=config.marks)
        if family == "words"
        else ngrams.character_ngrams(text, config.characters)
    )
    return counted.flat_values, ngrams.hash_to_buckets(counted, family, config).flat_values.numpy()


def batched(texts: Iterable[str]) -> Iterator[list[str]]:
    """Texts in lists of at most BATCH characters, or one longer text."""
    batch: list[str] = []
    length = 0
    for text in texts:
        if batch and length + len(text) > BATCH:
            yield batch
            batch, length = [], 0
        batch.append(text)
        length += len(text)
    if batch:
        yield batch


def training_texts(subject: Subject, artifacts: Path | None) -> tuple[str, Texts]:
    """Where the names come from, and {field: normalized training texts}."""
    folder = find_artifact(artifacts, "normalize", (subject.about.get("artifacts") or {}).get("normalize"))
    text_fields = [name for name, dtype in subject.dtypes.items() if dtype == "string"]
    if folder is not None:
        return "training texts", {name: stored_texts(folder, name) for name in text_fields}
    golden = subject.path / GOLDEN if subject.path else None
    if golden is None or not golden.is_file():
        return "nothing", {}
    rows = [json.loads(line) for line in golden.read_text(encoding="ascii").splitlines()]
    return "sample rows of the export", {
        name: [subject.normalize[name](cell) for cell in golden_cells(rows, name)]
        for name in text_fields if name in subject.normalize
    }  # fmt: skip


def golden_cells(rows: Iterable[Mapping[str, Any]], field: str) -> Iterator[str]:
    """The texts of a field in golden rows."""
    for row in rows:
        cell = row.get("raw", row).get(field)
        if isinstance(cell, str):
            yield cell


def find_artifact(artifacts: Path | None, stage: str, digest: str | None) -> Path | None:
    """The stored result with this digest, or None."""
    from textpipe.cache import integrity

    if artifacts is None or digest is None or not (artifacts / stage).is_dir():
        return None
    for folder in sorted((artifacts / stage).iterdir()):
        try:
            if integrity.read_manifest(folder)[0]["digest"] == digest:
                return folder
        except (OSError, ValueError):
            continue
    return None


def stored_texts(folder: Path, field: str) -> Iterator[str]:
    """The normalized training texts of a field, at most MAX_TEXTS."""
    from textpipe.data import shards

    count = 0
    for batch in shards.read(folder, "train", (field,)):
        for text in batch.column(0).to_pylist():
            yield text
            count += 1
            if count == MAX_TEXTS:
                return
