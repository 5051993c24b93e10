"""The classes of a field: learned from train, and asked of valid and test."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from textpipe.errors import DataError, listed

Labelled = Callable[[], Iterator[tuple[str, int, Sequence[str]]]]  # (split, number of the row, labels of it)


def classes_path(folder: Path, name: str) -> Path:
    """Where the classes of a field are kept."""
    return Path(folder) / f"{name}.classes.json"


def write(folder: Path, name: str, classes: Sequence[str]) -> None:
    """Keep the classes of a field."""
    classes_path(folder, name).write_text(json.dumps(list(classes), ensure_ascii=False), encoding="utf-8")


def read(folder: Path, name: str) -> list[str]:
    """The classes of a field, in the order of their numbers."""
    return json.loads(classes_path(folder, name).read_text(encoding="utf-8"))


def num_logits(size: Mapping[str, Any]) -> int:
    """Logits of a classifier of such a target: one for each class, but of one label out of two the log-odds of the second."""
    classes = len(size["classes"])
    return 1 if size["kind"] == "label" and classes == 2 else classes


def count_labels(values: Callable[[], Iterable[Any]]) -> Counter[str]:
    """{label: rows}; values() gives string tensors."""
    seen: Counter[bytes] = Counter()
    for names in values():
        seen.update(names.numpy().tolist())
    return Counter({name.decode(): rows for name, rows in seen.items()})


def check(classes: Sequence[str], name: str, rows: Labelled) -> None:
    """Raise DataError that lists every label of valid and test that is no class."""
    known = frozenset(classes)
    unknown: Counter[str] = Counter()
    first = ""
    for split, number, labels in rows():
        for label in labels:
            if label not in known:
                first = first or f"{split}, row {number}: {name} {label!r}"
                unknown[label] += 1
    if unknown:
        more = listed(f"{label!r} ({rows:,})" for label, rows in unknown.most_common())
        raise DataError(
            f"[vectorize] {first} is not among the {len(classes)} labels of train"
            + (f", nor are others of valid and test: {more} rows" if len(unknown) > 1 else "")
            + "; add training rows for them, or leave such labels out with [ingest] min_count = 2"
        )
