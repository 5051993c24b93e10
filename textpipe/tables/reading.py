"""From the files of a split to batches of clean rows: filtered, mended, labels stripped and rare ones dropped or merged."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from textpipe.config import Section
from textpipe.fields import Field
from textpipe.tables import sources
from textpipe.tables.profile import MOST_CLASSES
from textpipe.tables.rows import Repairs, Rows
from textpipe.tables.splits import Batch

LONGEST_LABEL = 1_000  # characters; a longer one is no label, but a column taken for one


@dataclass
class RareLabels:
    """Labels with fewer rows in the train files than min_count: left out, or called `name`."""

    min_count: int
    name: str | None
    kept: frozenset[str] | None = None  # None: every label
    rare: dict[str, int] = field(default_factory=dict)

    def count(self, labels: Counter[str]) -> None:
        """Settle which labels stay."""
        self.kept = frozenset(label for label, rows in labels.items() if rows >= self.min_count)
        rare = [(label, rows) for label, rows in labels.items() if rows < self.min_count]
        self.rare = dict(sorted(rare, key=lambda item: (-item[1], item[0]))[:MOST_CLASSES])

    def applied(self, rows: Rows, label: int, repairs: Repairs) -> Rows:
        """Rows whose label, in column number `label`, is not rare, or is called `name`."""
        kept = self.kept
        if kept is None:
            return rows
        column = rows.columns[label]
        mask = [name in kept for name in column]
        if all(mask):
            return rows
        repairs.counts["rare_label_rows"] += mask.count(False)
        for name in set(column) - kept - self.rare.keys():  # of valid and test files
            self.rare[name] = 0
        if self.name is None:
            return rows.keep(mask)
        rows.columns[label] = [name if stays else self.name for name, stays in zip(column, mask, strict=True)]
        return rows

    def table(self) -> dict[str, Any]:
        """{"min_count": 5, "merged_into": None, "labels": {"never": 2}} for stats.json."""
        return {"min_count": self.min_count, "merged_into": self.name, "labels": self.rare}


class Reader:
    """Reads rows of a task's fields and counts what it read and mended.

    columns: the columns of the fields, then those of `filters`, {column: accepted cell or cells}.
    """

    def __init__(
        self,
        fields: Sequence[Field],
        columns: Sequence[str | int],
        filters: Mapping[str, str | Sequence[str]],
        format: Section,
        repairs: Repairs,
        rare: RareLabels,
    ):
        self.fields = fields
        self.columns = columns
        values = [[cells] if isinstance(cells, str) else cells for cells in filters.values()]
        self.accepted = [{cell.strip() for cell in cells} for cells in values]
        self.format = format
        self.repairs = repairs
        self.rare = rare
        self.read: Counter[str] = Counter()
        labels = [number for number, item in enumerate(fields) if item.kind == "label"]
        self.label = labels[0] if labels else None
        self._before: dict[str, Counter[str]] = {}

    def batches(self, split: str, files: Sequence[sources.Source]) -> Iterator[Batch]:
        """Clean rows of one split's files, in order; row numbers run on from file to file."""
        self._before[split] = Counter(self.repairs.counts)
        for rows, start in self._rows(split, files):
            if self.label is not None:
                rows = self.rare.applied(rows, self.label, self.repairs)
            if len(rows):
                yield Batch.of(rows, self.fields, start)

    def count_labels(self, files: Sequence[sources.Source]) -> None:
        """Read the train files for their labels, so that rare ones are known."""
        assert self.label is not None
        labels: Counter[str] = Counter()
        self._before["train"] = Counter(self.repairs.counts)
        for rows, _ in self._rows("train", files):
            labels.update(rows.columns[self.label])
        self.rare.count(labels)
        self.forget("train")

    def forget(self, split: str) -> None:
        """Take back what was counted of a split's files, before they are read again."""
        self.repairs.counts.clear()
        self.repairs.counts.update(self._before[split])
        self.read[split] = 0

    def _rows(self, split: str, files: Sequence[sources.Source]) -> Iterator[tuple[Rows, int]]:
        """(rows, what the files before theirs add to the row numbers)."""
        start = 0
        for source in files:
            following = 0
            for raw in sources.read(source, self.format, self.repairs, self.columns, split):
                if not len(raw):
                    continue
                following = raw.positions[-1] + 1
                self.read[split] += len(raw)
                yield self._clean(raw), start
            start += following

    def _clean(self, rows: Rows) -> Rows:
        if self.accepted:
            rows = self._filtered(rows)
        rows = self.repairs.mend(rows)
        for number, item in enumerate(self.fields):
            if item.kind == "label":
                rows.columns[number] = [text.strip() for text in rows.columns[number]]
        rows = self.repairs.drop_empty(rows)
        return rows if self.label is None else self._without_long_labels(rows, self.label)

    def _filtered(self, rows: Rows) -> Rows:
        """Rows whose last columns hold accepted values, without those columns."""
        asked = len(rows.columns) - len(self.accepted)
        mask = [True] * len(rows)
        for column, accepted in zip(rows.columns[asked:], self.accepted, strict=True):
            mask = [
                good and cell.replace("\0", "").strip() in accepted for good, cell in zip(mask, column, strict=True)
            ]
        self.repairs.counts["filtered_rows"] += mask.count(False)
        rows = rows.keep(mask)
        rows.columns = rows.columns[:asked]
        return rows

    def _without_long_labels(self, rows: Rows, label: int) -> Rows:
        column = rows.columns[label]
        if max(map(len, column), default=0) <= LONGEST_LABEL:
            return rows
        mask = [len(name) <= LONGEST_LABEL for name in column]
        for number, good in enumerate(mask):
            if not good:
                self.repairs.bad_row(
                    f"{rows.place}, {rows.unit} {rows.lines[number]}",
                    f"a label of {len(column[number]):,} characters, and a label has at most {LONGEST_LABEL:,}",
                    f"see whether {self.columns[label]!r} is the column of the labels",
                )
        return rows.keep(mask)


def plain_text(value: Any) -> Any:
    """A number or a truth value of a settings file as the text that a cell has: 5 -> "5", true -> "true"."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value
