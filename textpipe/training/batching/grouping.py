"""Rows of like lengths in every field together, so that little of a batch is padding.

Where a step takes any width, groups may be many. Rows are points, with a length in each of F fields; the box that holds
all of them is cut in two, again and again, wherever a cut saves most padding, while both parts still fill batches enough
to be shuffled.
"""

import heapq
from typing import Any

import numpy as np

# A part must fill this many batches: with fewer, the same rows would meet in every epoch.
MIN_BATCHES = 3


def group_rows(lengths: np.ndarray, batch_tokens: int) -> list[np.ndarray]:
    """Row indices in groups. lengths: [N, F], tokens by field; batch_tokens: of a batch's widest field.

    A group's padding is what its rows lack to the longest of it, in all fields.
    """
    # Rows of equal lengths are one point with a count: a million rows are a few thousand points.
    points, point = np.unique(lengths, axis=0, return_inverse=True)
    counts = np.bincount(point.reshape(-1), minlength=len(points))
    cells = [np.arange(len(points))] if len(points) else []
    queue: list[tuple[float, int, Any]] = []

    def consider(number):
        saved, parts = best_split(points, counts, cells[number], batch_tokens)
        if parts is not None:
            heapq.heappush(queue, (-saved, number, parts))

    if cells:
        consider(0)
    while queue:
        _, number, (left, right) = heapq.heappop(queue)
        cells[number] = left
        cells.append(right)
        consider(number)
        consider(len(cells) - 1)
    owner = np.empty(len(points), np.int64)
    for number, cell in enumerate(cells):
        owner[cell] = number
    owner = owner[point.reshape(-1)]
    return [np.flatnonzero(owner == number) for number in range(len(cells))]


def best_split(points, counts, cell, batch_tokens):
    """Padded tokens saved by the best cut of a cell, and its two parts; (0, None) where no cut may be made."""
    found = 0, None
    for field in range(points.shape[1]):
        order = cell[np.argsort(points[cell, field], kind="stable")]
        sizes, rows = points[order], counts[order]
        below, above = np.cumsum(rows), rows.sum() - np.cumsum(rows)
        largest_below = np.maximum.accumulate(sizes, axis=0)
        largest_above = np.maximum.accumulate(sizes[::-1], axis=0)[::-1]
        # A cut after position i: between two different lengths of this field.
        cuts = np.flatnonzero(sizes[:-1, field] != sizes[1:, field])
        if not len(cuts):
            continue
        low, high = largest_below[cuts], largest_above[cuts + 1]
        full = MIN_BATCHES * batch_tokens
        allowed = (below[cuts] * low.max(axis=1) >= full) & (above[cuts] * high.max(axis=1) >= full)
        saved = rows.sum() * sizes.max(axis=0).sum() - below[cuts] * low.sum(axis=1) - above[cuts] * high.sum(axis=1)
        saved = np.where(allowed, saved, 0)
        best = int(saved.argmax())
        if saved[best] > found[0]:
            found = int(saved[best]), (order[: cuts[best] + 1], order[cuts[best] + 1 :])
    return found
