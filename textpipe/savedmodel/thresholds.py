"""The threshold at which a two-class model answers a given share of rows, from its textpipe.json.

"coverage": {"label": the positive class, "rows": number of valid rows measured, "thresholds": 101 probabilities}. The probability of
`label` is at least thresholds[c] in c % of these rows, up to one row, or in more if there are ties. Export writes it; see answers/label.py.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from textpipe.errors import ModelError

KEY = "coverage"
PERCENTS = 100


def thresholds(probabilities: Sequence[float]) -> list[float]:
    """The probability at each percent of coverage, 0 to 100: probabilities [N] -> 101 values, descending.

    They interpolate between the sorted probabilities, so that thresholds[0] is the highest and thresholds[100] the lowest. They are
    float32 values, as probabilities in a graph are: equal ones stay equal.

    [.1, .2, .3] -> [.3, .298, ..., .1]
    """
    import numpy as np

    values = np.quantile(np.asarray(probabilities, np.float64), 1 - np.arange(PERCENTS + 1) / PERCENTS)
    return [float(value) for value in values.astype(np.float32)]


def threshold_at(about: Mapping[str, Any], coverage: float, *, model: str = "the model") -> float:
    """The threshold that a share `coverage` of rows reaches, interpolated linearly between percents.

    about: textpipe.json of an exported model; model: its name in messages. Raises ModelError for a coverage outside 0 to 1, and for a
    model whose description has no thresholds or malformed ones.

    threshold_at({"coverage": {"thresholds": [.9, ..., .1], ...}}, 0.115) -> halfway between entries 11 and 12
    """
    if isinstance(coverage, bool) or not isinstance(coverage, int | float) or not 0 <= coverage <= 1:
        raise ModelError(
            f"{model}: coverage: expected a share of rows from 0 to 1, found {coverage!r}; 0.11 answers 11 % of them"
        )
    entry = about.get(KEY)
    if entry is None:
        labels = about.get("labels")
        if not isinstance(labels, list) or len(labels) != 2 or about.get("answer", "label") != "label":
            raise ModelError(
                f"{model}: answers {describe_labels(labels)}, so it has no threshold for a coverage; expected a classifier with two "
                "classes, such as yes and no"
            )
        raise ModelError(
            f"{model}: textpipe.json has no thresholds for a coverage, because an earlier version wrote it or the valid split was empty; "
            "export the model again, or give a threshold instead"
        )
    values = entry.get("thresholds") if isinstance(entry, Mapping) else None
    if values is None or not is_thresholds(values):
        raise ModelError(
            f"{model}: textpipe.json coverage.thresholds: expected {PERCENTS + 1} probabilities, none above the one before; export the "
            "model again"
        )
    index = min(int(coverage * PERCENTS), PERCENTS - 1)
    share = coverage * PERCENTS - index
    low, high = values[index], values[index + 1]
    return float(low + share * (high - low)) if low != high else float(low)


def describe_labels(labels: Any) -> str:
    """What a model answers with, in a message: "one of 44 classes" or "no class"."""
    return f"one of {len(labels)} classes" if isinstance(labels, list) and labels else "no class"


def is_thresholds(values: Any) -> bool:
    """Whether a value is 101 descending probabilities."""
    return (
        isinstance(values, list)
        and len(values) == PERCENTS + 1
        and all(type(value) in (int, float) and 0 <= value <= 1 for value in values)
        and all(threshold >= next_value for threshold, next_value in pairwise(values))
    )
