"""The classes of a field, learned from train and checked on valid and test."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from textpipe.errors import DataError, join_names

LabelledRows = Callable[[], Iterator[tuple[str, int, Sequence[str]]]]  # (split, row number, labels of the row)


def classes_path(folder: Path, name: str) -> Path:
    """The file that holds the classes of a field."""
    return Path(folder) / f"{name}.classes.json"


def write(folder: Path, name: str, classes: Sequence[str]) -> None:
    """Save the classes of a field."""
    classes_path(folder, name).write_text(json.dumps(list(classes), ensure_ascii=False), encoding="utf-8")


def read(folder: Path, name: str) -> list[str]:
    """The classes of a field, in the order of their indices."""
    return json.loads(classes_path(folder, name).read_text(encoding="utf-8"))


def num_logits(size: Mapping[str, Any]) -> int:
    """The number of logits of a target: one per class, or the log-odds of the second class for a label with two."""
    num_classes = len(size["classes"])
    return 1 if size["kind"] == "label" and num_classes == 2 else num_classes


def count_labels(values: Callable[[], Iterable[Any]]) -> Counter[str]:
    """{label: number of rows}; values() yields string tensors."""
    counts: Counter[bytes] = Counter()
    for names in values():
        counts.update(names.numpy().tolist())
    return Counter({name.decode(): rows for name, rows in counts.items()})


def check(classes: Sequence[str], name: str, rows: LabelledRows) -> None:
    """Raise a DataError that lists the labels of valid and test that are not classes."""
    known = frozenset(classes)
    unknown: Counter[str] = Counter()
    first = ""
    for split, number, labels in rows():
        for label in labels:
            if label not in known:
                first = first or f"{split}, row {number + 1}: {name} {label!r}"
                unknown[label] += 1
    if unknown:
        more = join_names(f"{label!r} ({rows:,})" for label, rows in unknown.most_common())
        raise DataError(
            f"[vectorize] {first} is not among the {len(classes)} labels of train"
            + (f", nor are other labels of valid and test: {more} rows" if len(unknown) > 1 else "")
            + "; add training rows for them, or drop rare labels with [ingest] min_count = 2"
        )
