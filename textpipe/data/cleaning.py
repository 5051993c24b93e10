"""From the files of a split to batches of clean rows: filtered, mended, labels stripped and rare ones dropped or merged."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from textpipe.config.fields import Field
from textpipe.config.sections import Section
from textpipe.data import sources
from textpipe.data.profile import MAX_CLASSES
from textpipe.data.rows import Repairs, Rows
from textpipe.data.splits import Batch


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
        self.rare = dict(sorted(rare, key=lambda item: (-item[1], item[0]))[:MAX_CLASSES])

    def applied(self, rows: Rows, label: int, cells: ModuleType, repairs: Repairs) -> Rows:
        """Rows whose labels, in column number `label` of the kind `cells`, are not rare, or are called `name`."""
        kept = self.kept
        if kept is None:
            return rows
        column = rows.columns[label]
        mask = [kept.issuperset(cells.names(cell)) for cell in column]
        if all(mask):
            return rows
        repairs.counts["rare_label_rows"] += mask.count(False)
        for name in {name for cell in column for name in cells.names(cell)} - kept - self.rare.keys():
            self.rare[name] = 0  # of valid and test files
        rows.columns[label] = [
            cell if common else cells.replace(cell, lambda name: name if name in kept else self.name)
            for cell, common in zip(column, mask, strict=True)
        ]
        return rows.keep([cell is not None for cell in rows.columns[label]])

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
        self.cells = [item.cells for item in fields]
        self.required = [number for number, cells in enumerate(self.cells) if not cells.OPTIONAL]
        targets = [number for number, item in enumerate(fields) if item.side == "target"]
        self.label = next((number for number in targets if hasattr(self.cells[number], "names")), None)
        self._before: dict[str, Counter[str]] = {}

    def batches(self, split: str, files: Sequence[sources.Source]) -> Iterator[Batch]:
        """Clean rows of one split's files, in order; row numbers run on from file to file."""
        self._before[split] = Counter(self.repairs.counts)
        for rows, start in self._rows(split, files):
            if self.label is not None:
                rows = self.rare.applied(rows, self.label, self.cells[self.label], self.repairs)
            if len(rows):
                yield Batch.of(rows, self.fields, start)

    def count_labels(self, files: Sequence[sources.Source]) -> None:
        """Read the train files for their labels, so that rare ones are known."""
        assert self.label is not None
        labels: Counter[str] = Counter()
        self._before["train"] = Counter(self.repairs.counts)
        for rows, _ in self._rows("train", files):
            labels.update(name for cell in rows.columns[self.label] for name in self.cells[self.label].names(cell))
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
        rows = self.repairs.drop_empty(rows, self.required)
        for number, cells in enumerate(self.cells):
            if hasattr(cells, "parse"):
                rows = self._parsed(rows, number)
        return rows

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

    def _parsed(self, rows: Rows, number: int) -> Rows:
        """Rows with the cells of a field as its kind reads them; those it cannot read are bad rows."""
        cells = self.cells[number]
        try:
            rows.columns[number] = list(map(cells.parse, rows.columns[number]))
        except ValueError:
            parsed = list(map(self._parser(rows, number), range(len(rows)), rows.columns[number]))
            rows.columns[number] = [cell for _, cell in parsed]
            rows = rows.keep([good for good, _ in parsed])
        return rows

    def _parser(self, rows: Rows, number: int) -> Callable[[int, str], tuple[bool, Any]]:
        """A function of (place in `rows`, cell) to (whether it can be read, what it is)."""
        cells = self.cells[number]

        def parse(place: int, cell: str) -> tuple[bool, Any]:
            try:
                return True, cells.parse(cell)
            except ValueError as error:
                self.repairs.bad_row(
                    f"{rows.place}, {rows.unit} {rows.lines[place]}",
                    str(error),
                    f"see whether {self.columns[number]!r} is the column of the {cells.PLURAL}",
                )
                return False, None

        return parse


def plain_text(value: Any) -> Any:
    """A number or a truth value of a settings file as the text that a cell has: 5 -> "5", true -> "true"."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value
