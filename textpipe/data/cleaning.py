"""Read a split's files as batches of clean rows: filter, repair, parse cells, drop or merge rare labels."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from textpipe.config.fields import Field
from textpipe.config.sections import Section
from textpipe.data import sources
from textpipe.data.hashes import process_keys
from textpipe.data.profile import MAX_CLASSES
from textpipe.data.rows import Repairs, Rows
from textpipe.data.splits import Batch, HashRows


@dataclass
class RareLabels:
    """Drops labels with fewer than min_count rows in the train files, or merges them into the label `name`."""

    min_count: int
    name: str | None
    frequent: frozenset[str] | None = None  # None: all labels
    rare: dict[str, int] = field(default_factory=dict)

    def fit(self, labels: Counter[str]) -> None:
        """Decide which labels to keep from their counts in train."""
        self.frequent = frozenset(label for label, rows in labels.items() if rows >= self.min_count)
        rare = [(label, rows) for label, rows in labels.items() if rows < self.min_count]
        self.rare = dict(sorted(rare, key=lambda item: (-item[1], item[0]))[:MAX_CLASSES])

    def apply(self, rows: Rows, label: int, cells: ModuleType, repairs: Repairs) -> Rows:
        """Drop rows with rare labels, or rename those labels; label: index of the label column, cells: its kind."""
        kept_labels = self.frequent
        if kept_labels is None:
            return rows
        column = rows.columns[label]
        mask = [kept_labels.issuperset(cells.names(cell)) for cell in column]
        if all(mask):
            return rows
        repairs.counts["rare_label_rows"] += mask.count(False)
        for name in sorted({name for cell in column for name in cells.names(cell)} - kept_labels - self.rare.keys()):
            self.rare[name] = 0  # in valid and test files only
        rows.columns[label] = [
            cell if keep else cells.replace(cell, lambda name: name if name in kept_labels else self.name)
            for cell, keep in zip(column, mask, strict=True)
        ]
        return rows.keep([cell is not None for cell in rows.columns[label]])

    def table(self) -> dict[str, Any]:
        """{"min_count": 5, "merged_into": None, "labels": {"never": 2}} for stats.json."""
        return {"min_count": self.min_count, "merged_into": self.name, "labels": self.rare}


class RowReader:
    """Reads and cleans rows of a task's fields, and counts rows and repairs.

    columns: the columns of the fields, followed by those of `filters`, {column: accepted value or values}.
    """

    def __init__(
        self,
        fields: Sequence[Field],
        columns: Sequence[str | int],
        filters: Mapping[str, str | Sequence[str]],
        format: Section,
        repairs: Repairs,
        rare: RareLabels,
        identify_by: Sequence[str] = (),
    ):
        self.fields = fields
        self.identify_by = identify_by
        self.columns = columns
        values = [[cells] if isinstance(cells, str) else cells for cells in filters.values()]
        self.accepted = [{cell.strip() for cell in cells} for cells in values]
        self.format = format
        self.repairs = repairs
        self.rare = rare
        self.read: Counter[str] = Counter()
        self.cells = [item.cells for item in fields]
        self.required = [
            field_index for field_index, item in enumerate(fields) if not item.cells.OPTIONAL and item.side != "about"
        ]
        targets = [field_index for field_index, item in enumerate(fields) if item.side == "target"]
        self.label = next((field_index for field_index in targets if hasattr(self.cells[field_index], "names")), None)
        self._before: dict[str, Counter[str]] = {}
        self.num_rows = 0  # of the files read last, with those that were dropped

    def begin(self, split: str) -> None:
        """Remember the counts so far, so that `forget` can go back to them."""
        self._before[split] = Counter(self.repairs.counts)

    def batches(
        self, split: str, files: Sequence[sources.Source], hash_rows: HashRows = process_keys
    ) -> Iterator[Batch]:
        """Yield clean rows of one split's files in order; row numbers continue from file to file."""
        self.begin(split)
        for rows, start in self._rows(split, files):
            if self.label is not None:
                rows = self.rare.apply(rows, self.label, self.cells[self.label], self.repairs)
            if len(rows):
                yield Batch.from_rows(rows, self.fields, start, hash_rows, self.identify_by)

    def count_labels(self, files: Sequence[sources.Source]) -> None:
        """Read the train files once to count labels and find the rare ones."""
        assert self.label is not None
        labels: Counter[str] = Counter()
        self.begin("train")
        for rows, _ in self._rows("train", files):
            labels.update(name for cell in rows.columns[self.label] for name in self.cells[self.label].names(cell))
        self.rare.fit(labels)
        self.forget("train")

    def forget(self, split: str) -> None:
        """Reset the counts of a split's files before they are read again."""
        self.repairs.counts.clear()
        self.repairs.counts.update(self._before[split])
        self.read[split] = 0

    def _rows(self, split: str, files: Sequence[sources.Source]) -> Iterator[tuple[Rows, int]]:
        """Yield (rows, offset of their row numbers: the rows of the files before theirs)."""
        start = 0
        for source in files:
            num_rows = 0
            for raw in sources.read(source, self.format, self.repairs, self.columns, split):
                if not len(raw):
                    continue
                num_rows = raw.positions[-1] + 1
                self.read[split] += len(raw)
                yield self.clean(raw), start
            start += num_rows
        self.num_rows = start

    def clean(self, rows: Rows, *, open_files: bool = True) -> Rows:
        """Filter, repair and parse rows; open_files: also parse cells that name files, such as pictures."""
        if self.accepted:
            rows = self._filter(rows)
        rows = self.repairs.repair(rows)
        rows = self.repairs.drop_empty(rows, self.required)
        for field_index, cells in enumerate(self.cells):
            if hasattr(cells, "parse") and (open_files or not hasattr(cells, "parser")):
                rows = self._parse(rows, field_index)
        # A list can hold nothing: a story of no sentences is blank too.
        lists = [index for index in self.required if getattr(self.cells[index], "LISTS", False)]
        return self.repairs.drop_empty(rows, lists)

    def _filter(self, rows: Rows) -> Rows:
        """Keep rows whose filter columns, the last ones, have accepted values, and remove those columns."""
        num_fields = len(rows.columns) - len(self.accepted)
        mask = [True] * len(rows)
        for column, accepted in zip(rows.columns[num_fields:], self.accepted, strict=True):
            mask = [
                keep and cell.replace("\0", "").strip() in accepted for keep, cell in zip(mask, column, strict=True)
            ]
        self.repairs.counts["filtered_rows"] += mask.count(False)
        rows = rows.keep(mask)
        rows.columns = rows.columns[:num_fields]
        return rows

    def _parse(self, rows: Rows, field_index: int) -> Rows:
        """Parse the cells of field `field_index` as its kind does; a cell that fails makes its row a bad row."""
        cells = self.cells[field_index]
        parse_cell = cells.parser(Path(rows.source).parent) if hasattr(cells, "parser") else cells.parse
        column = rows.columns[field_index]
        done: list[Any] = []
        try:
            for cell in column:
                done.append(parse_cell(cell))
            rows.columns[field_index] = done
        except ValueError:
            parse_or_drop = self._parser(rows, field_index, parse_cell)
            rest = list(map(parse_or_drop, range(len(done), len(rows)), column[len(done) :]))
            rows.columns[field_index] = done + [cell for _, cell in rest]
            rows = rows.keep([True] * len(done) + [valid for valid, _ in rest])
        return rows

    def _parser(
        self, rows: Rows, field_index: int, parse_cell: Callable[[str], Any]
    ) -> Callable[[int, str], tuple[bool, Any]]:
        """Return a function of (index in `rows`, cell) that returns (whether the cell is valid, its value)."""
        cells = self.cells[field_index]

        def parse(index: int, cell: str) -> tuple[bool, Any]:
            try:
                return True, parse_cell(cell)
            except ValueError as error:
                self.repairs.bad_row(
                    f"{rows.source}, {rows.unit} {rows.lines[index]}",
                    str(error),
                    f"check whether {self.columns[field_index]!r} is the column of the {cells.PLURAL}",
                )
                return False, None

        return parse


def cell_text(value: Any) -> Any:
    """Convert a number or boolean from a pipeline file to the text of a cell: 5 -> "5", true -> "true"."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value
