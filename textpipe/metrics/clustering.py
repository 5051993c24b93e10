"""How well a clustering agrees with known classes.   Shapes: N items, K classes, L clusters."""

from collections.abc import Hashable, Sequence

import numpy as np


def v_measure(classes: Sequence[Hashable], clusters: Sequence[Hashable]) -> dict[str, float]:
    """Homogeneity, completeness and their harmonic mean (Rosenberg & Hirschberg 2007), of N items; all are 1 for none.

    homogeneity: 1 - H(class | cluster) / H(class), whether each cluster has members of one class alone; completeness: the other way round.
    Names do not matter: (["a", "a", "b"], [7, 7, 5]) -> {"homogeneity": 1, "completeness": 1, "v_measure": 1}
    """
    if len(classes) != len(clusters):
        raise ValueError(f"clusters: expected {len(classes)} as of classes, found {len(clusters)}")
    rows, columns = (numbered(names) for names in (classes, clusters))
    width = int(columns.max(initial=-1)) + 1
    joint = entropy(np.unique(rows * width + columns, return_counts=True)[1])
    of_classes, of_clusters = (entropy(np.bincount(numbers)) for numbers in (rows, columns))
    mutual = of_classes + of_clusters - joint
    homogeneity = min(1.0, max(0.0, mutual / of_classes)) if of_classes > 0 else 1.0
    completeness = min(1.0, max(0.0, mutual / of_clusters)) if of_clusters > 0 else 1.0
    total = homogeneity + completeness
    return {
        "homogeneity": homogeneity,
        "completeness": completeness,
        "v_measure": 2 * homogeneity * completeness / total if total else 0.0,
    }


def numbered(names: Sequence[Hashable]) -> np.ndarray:
    """A number for each distinct name: [N]."""
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(name, len(numbers)) for name in names], np.int64)


def entropy(counts: np.ndarray) -> float:
    """The entropy in nats of a distribution given by counts."""
    shares = counts[counts > 0] / max(1, counts.sum())
    return float(-(shares * np.log(shares)).sum()) + 0.0


__all__ = ["v_measure"]
