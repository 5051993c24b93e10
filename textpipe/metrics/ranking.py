"""How well replies are ranked.   Shapes: N rows, R responses, V vector size."""

from collections.abc import Sequence
from typing import Any

import numpy as np

CUTS = (1, 3, 10, 20)
GROUP = 100
MAX_SAMPLED_ROWS = 2000  # rows of which 1-of-100 is measured


def ranks(scores: np.ndarray, reference_indices: np.ndarray) -> np.ndarray:
    """The place of each row's own response, from 1: scores [N, R], reference_indices [N] -> [N].

    Of equal scores the mean place: one among three equal ones at the top has 2.
    """
    reference_scores = np.take_along_axis(scores, reference_indices[:, None], axis=1)  # [N, 1]
    above = (scores > reference_scores).sum(axis=1)
    equal = (scores == reference_scores).sum(axis=1)  # itself among them
    return 1 + above + (equal - 1) / 2


def figures(reference_ranks: np.ndarray, cutoffs: Sequence[int] = CUTS) -> dict[str, float]:
    """Precision at each cut, the share of rows whose own response is among the first k, and the mean reciprocal rank."""
    precisions = {f"p_at_{k}": float(np.mean(reference_ranks <= k)) for k in cutoffs}
    return {**precisions, "mrr": float(np.mean(1 / reference_ranks))}


def one_of(messages: np.ndarray, replies: np.ndarray, *, seed: int = 1) -> dict[str, Any]:
    """How often a row's own reply scores highest among those of `GROUP` rows (Henderson et al. 2017: 1-of-100 accuracy).

    messages, replies: vectors [N, V] of rows. `MAX_SAMPLED_ROWS` rows at most are drawn without replacement and cut into groups; a last group that
    is not full is left out. With fewer rows than a group, nothing is measured.
    """
    order = np.random.default_rng(seed).permutation(len(messages))[:MAX_SAMPLED_ROWS]
    count = len(order) // GROUP
    if not count:
        return {}
    is_first = []
    for group in order[: count * GROUP].reshape(count, GROUP):
        scores = messages[group] @ replies[group].T
        is_first.append(ranks(scores, np.arange(GROUP)) == 1)
    return {"one_of_100": float(np.mean(is_first))}


def by_frequency(counts: Sequence[int], reference_indices: np.ndarray) -> np.ndarray:
    """Ranks [N] where every message gets the responses by their frequency: the baseline of every ranker."""
    scores = np.broadcast_to(np.asarray(counts, np.float64), (len(reference_indices), len(counts)))
    return ranks(scores, reference_indices)


__all__ = ["CUTS", "by_frequency", "figures", "one_of", "ranks"]
