"""Rows grouped by length."""

NUM_RANGES = 6  # ranges of source lengths


def length_ranges(lengths: list[int], count: int = NUM_RANGES) -> list[tuple[int, int]]:
    """Inclusive ranges of lengths with about equally many rows each.

    length_ranges([3, 3, 4, 5, 9, 12], 3) -> [(3, 3), (4, 5), (9, 12)]
    """
    ordered = sorted(lengths)
    ranges: list[tuple[int, int]] = []
    start = 0
    while start < len(ordered):
        # Divide the remaining rows among the remaining ranges; equal lengths stay together.
        end = min(len(ordered), start + max(1, round((len(ordered) - start) / max(1, count - len(ranges)))))
        while end < len(ordered) and ordered[end] == ordered[end - 1]:
            end += 1
        ranges.append((ordered[start], ordered[end - 1]))
        start = end
    return ranges
