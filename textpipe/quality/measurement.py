"""All measurements of a data set as one table, which the terminal, JSON and the page show."""

import math
from collections.abc import Callable
from typing import Any

from textpipe.quality import drift, duplicates, label_errors, languages, personal_data
from textpipe.quality.corpus import Corpus

FORMAT = 1
BINS = 24  # of a histogram of lengths
TIMES_MEDIAN = 10  # a text this many times longer than the median is unusually long

Progress = Callable[[str, int, int], None]  # what is measured, steps done, all steps


def measure(corpus: Corpus, *, against: Corpus | None = None, on_progress: Progress | None = None) -> dict[str, Any]:
    """Measure a data set, and compare it with another one.

    {"format", "name", "fields", "splits": {split: {"rows", "fields": profiles}}, "repairs", "encodings", "duplicates", "leakage",
    "contradictions", "classes", "label_errors", "languages", "personal_data", "against"}; keys without meaning for the data set are absent. The
    same rows give the same table.
    """
    notify = on_progress or (lambda task, done, total: None)
    table: dict[str, Any] = {
        "format": FORMAT,
        "name": corpus.name,
        "fields": [{"name": item.name, "side": item.side, "kind": item.kind} for item in corpus.fields],
        "splits": {split: profile(corpus, split) for split in corpus.splits},
        "repairs": corpus.repairs,
        "encodings": corpus.encodings,
    }
    table |= duplicates.measure(corpus, on_progress=lambda done, total: notify("near duplicates", done, total))
    if corpus.label is not None:
        table["classes"] = {split: classes(corpus, split) for split in corpus.splits}
        if all(len(names) == 1 for split in corpus.splits for names in corpus.label_names(split)):
            notify("label errors", 0, 1)
            table["label_errors"] = label_errors.measure_corpus(corpus)
    if languages.available():
        table["languages"] = per_field(corpus, "languages", languages.measure, notify)
    table["personal_data"] = per_field(corpus, "personal data", personal_data.measure, notify)
    if against is not None:
        table["against"] = drift.measure(corpus, against, on_progress=notify)
    return table


def per_field(corpus: Corpus, task: str, measured: Callable[..., Any], notify: Progress) -> dict[str, Any]:
    """{field: {split: measured(texts, positions)}} of the text fields."""
    pairs = [(name, split) for name in corpus.text_fields for split in corpus.splits]
    table: dict[str, Any] = {name: {} for name in corpus.text_fields}
    for done, (name, split) in enumerate(pairs):
        notify(task, done, len(pairs))
        texts = corpus.texts(name, split)
        if texts:
            table[name][split] = measured(texts, corpus.text_positions(name, split))
    notify(task, len(pairs), len(pairs))
    return table


def profile(corpus: Corpus, split: str) -> dict[str, Any]:
    """Rows, and the profile of each field: lengths, scripts and unusual lengths of texts; classes of labels."""
    import numpy as np

    positions = np.array(corpus.positions[split], np.int64)
    fields: dict[str, Any] = {}
    for item in corpus.fields if len(positions) else ():
        measured = item.cells.profile()
        measured.add(positions, corpus.splits[split][item.name])
        fields[item.name] = measured.table()
        if item.has_text and hasattr(measured, "words"):
            fields[item.name] |= lengths(measured.words, measured.characters)
    return {"rows": len(positions), "fields": fields}


def lengths(words: dict[int, int], characters: dict[int, int]) -> dict[str, Any]:
    """The histogram of words per text up to the 99th percentile, and how many texts are unusually short or long."""
    total = sum(words.values())
    ordered = sorted(words.items())
    cumulative, limit = 0, 1
    for value, count in ordered:
        cumulative += count
        limit = value
        if cumulative * 100 >= 99 * total:
            break
    width = max(1, math.ceil((limit + 1) / BINS))
    counts = [0] * math.ceil((limit + 1) / width)
    for value, count in ordered:
        if value <= limit:
            counts[value // width] += count
    cumulative, median = 0, 0
    for value, count in sorted(characters.items()):
        cumulative += count
        median = value
        if 2 * cumulative >= total:
            break
    return {
        "histogram": {"width": width, "counts": counts},
        "one_word": words.get(1, 0) + words.get(0, 0),
        "much_longer": sum(count for value, count in characters.items() if value > TIMES_MEDIAN * median),
    }


def classes(corpus: Corpus, split: str) -> dict[str, Any]:
    """Rows of each class, the most frequent first; the entropy of the classes as a share of that of equally many rows each."""
    counts: dict[str, int] = {}
    for names in corpus.label_names(split):
        for name in names:
            counts[name] = counts.get(name, 0) + 1
    total = sum(counts.values())
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    entropy = -sum(count / total * math.log(count / total) for count in counts.values())
    return {
        "num_classes": len(counts),
        "evenness": round(entropy / math.log(len(counts)), 4) if len(counts) > 1 else None,
        "largest_to_smallest": round(ranked[0][1] / ranked[-1][1], 2) if ranked else None,
        "classes": dict(ranked),
    }
