"""Rows of like length."""

GROUPS = 6  # of source lengths


def groups(lengths: list[int], count: int = GROUPS) -> list[tuple[int, int]]:
    """Ranges of lengths, ends included, that hold about equally many rows.

    groups([3, 3, 4, 5, 9, 12], 3) -> [(3, 3), (4, 5), (9, 12)]
    """
    ordered = sorted(lengths)
    ranges: list[tuple[int, int]] = []
    start = 0
    while start < len(ordered):
        # What is left is shared among the groups that are left; equal lengths stay together.
        end = min(len(ordered), start + max(1, round((len(ordered) - start) / max(1, count - len(ranges)))))
        while end < len(ordered) and ordered[end] == ordered[end - 1]:
            end += 1
        ranges.append((ordered[start], ordered[end - 1]))
        start = end
    return ranges
