"""Rows for measurements that do not need all of them."""

from collections.abc import Sequence
from typing import Any


def equally_spaced(rows: Sequence[Any], limit: int) -> list[Any]:
    """At most `limit` rows at equal distances.

    [0, 1, 2, 3, 4, 5], 3 -> [0, 2, 4]
    """
    count = min(len(rows), limit)
    return [rows[at * len(rows) // count] for at in range(count)]
