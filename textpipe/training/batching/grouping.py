"""Groups rows of similar length in every field, so that little of a batch is padding.

For steps that take any width, so there may be many groups. Rows are points with a length in each of F fields. Their
bounding box is split in two, repeatedly, where a split saves most padding, as long as both halves fill enough batches to
be shuffled.
"""

import heapq
from typing import Any

import numpy as np

# A group must fill this many batches: with fewer, the same rows would share a batch in every epoch.
MIN_BATCHES = 3


def group_rows(lengths: np.ndarray, batch_tokens: int) -> list[np.ndarray]:
    """Row indices in groups. lengths: [N, F], tokens by field; batch_tokens: rows * widest field of a batch.

    The padding of a group is the sum over its rows and fields of what they lack to the group's longest row.
    """
    # Rows of equal lengths are one point with a count: a million rows are a few thousand points.
    points, point = np.unique(lengths, axis=0, return_inverse=True)
    counts = np.bincount(point.reshape(-1), minlength=len(points))
    cells = [np.arange(len(points))] if len(points) else []
    queue: list[tuple[float, int, Any]] = []

    def push(number):
        saved, split = best_split(points, counts, cells[number], batch_tokens)
        if split is not None:
            heapq.heappush(queue, (-saved, number, split))

    if cells:
        push(0)
    while queue:
        _, number, (left, right) = heapq.heappop(queue)
        cells[number] = left
        cells.append(right)
        push(number)
        push(len(cells) - 1)
    owner = np.empty(len(points), np.int64)
    for number, cell in enumerate(cells):
        owner[cell] = number
    owner = owner[point.reshape(-1)]
    return [np.flatnonzero(owner == number) for number in range(len(cells))]


def best_split(points, counts, cell, batch_tokens):
    """Padded tokens saved by the best split of a cell, and its two halves; (0, None) if no split is allowed."""
    result = 0, None
    for field in range(points.shape[1]):
        order = cell[np.argsort(points[cell, field], kind="stable")]
        sizes, rows = points[order], counts[order]
        below, above = np.cumsum(rows), rows.sum() - np.cumsum(rows)
        largest_below = np.maximum.accumulate(sizes, axis=0)
        largest_above = np.maximum.accumulate(sizes[::-1], axis=0)[::-1]
        # Split after position i: between two different lengths of this field.
        splits = np.flatnonzero(sizes[:-1, field] != sizes[1:, field])
        if not len(splits):
            continue
        low, high = largest_below[splits], largest_above[splits + 1]
        full = MIN_BATCHES * batch_tokens
        allowed = (below[splits] * low.max(axis=1) >= full) & (above[splits] * high.max(axis=1) >= full)
        saved = (
            rows.sum() * sizes.max(axis=0).sum() - below[splits] * low.sum(axis=1) - above[splits] * high.sum(axis=1)
        )
        saved = np.where(allowed, saved, 0)
        best = int(saved.argmax())
        if saved[best] > result[0]:
            result = int(saved[best]), (order[: splits[best] + 1], order[splits[best] + 1 :])
    return result
