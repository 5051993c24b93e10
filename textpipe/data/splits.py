"""Batches of clean rows, and the splits they are written to, with their statistics."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from textpipe.config.fields import Field
from textpipe.data import shards
from textpipe.data.hashes import KeySet, normal_forms, process_keys, text_keys
from textpipe.data.profile import profiles
from textpipe.data.rows import Rows

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


HashRows = Callable[[Iterable[tuple[object, ...]]], "np.ndarray"]


@dataclass
class Batch:
    """Clean rows with three hash keys each: columns in the order of the task's fields, rows [N] int64, keys [N] uint64.

    source_keys hash the normalized source texts and determine the split, so they must never change; sources without
    text are hashed as they are. pair_keys include the target; row_keys hash the unnormalized row.
    """

    rows: "np.ndarray"
    columns: "list[pa.Array]"
    source_keys: "np.ndarray"
    pair_keys: "np.ndarray"
    row_keys: "np.ndarray"

    @classmethod
    def from_rows(
        cls,
        rows: Rows,
        fields: Sequence[Field],
        start: int,
        hash_rows: "HashRows" = process_keys,
        identify_by: Sequence[str] = (),
    ) -> "Batch":
        """Compute the keys of rows; start is the offset of their row numbers, the rows of earlier files.

        hash_rows: stable_keys where the batches of a split come from several processes. identify_by: the source fields that
        count; if empty, all for equal rows, and for splits and leaks those with text, if there are any.
        """
        import numpy as np
        import pyarrow as pa

        ignored = {
            item.name for item in fields if item.side == "source" and identify_by and item.name not in identify_by
        }
        sources = [item for item in fields if item.side == "source" and item.name not in ignored]
        texts = [item for item in sources if item.has_text]
        chosen = sources if identify_by else texts or sources
        by_name = {item.name: column for item, column in zip(fields, rows.columns, strict=True)}
        normal = [normal_forms(comparison_texts(by_name[item.name], item.cells)) for item in chosen]
        targets = [by_name[item.name] for item in fields if item.side == "target"]
        joined = normal[0] if len(normal) == 1 else list(map(b"\x1f".join, zip(*normal, strict=True)))
        return cls(
            np.array(rows.positions, np.int64) + start,
            [pa.array(column, item.cells.arrow()) for item, column in zip(fields, rows.columns, strict=True)],
            text_keys(joined),
            hash_rows(zip(joined, *targets, strict=True)),
            hash_rows(
                zip(
                    *(by_name[item.name] for item in fields if item.side != "about" and item.name not in ignored),
                    strict=True,
                )
            ),
        )

    def __len__(self) -> int:
        return len(self.rows)

    def select(self, mask: "np.ndarray") -> "Batch":
        """Return the rows whose mask [N] is true."""
        import pyarrow as pa

        if mask.all():
            return self
        chosen = pa.array(mask)
        columns = [column.filter(chosen) for column in self.columns]
        return Batch(self.rows[mask], columns, self.source_keys[mask], self.pair_keys[mask], self.row_keys[mask])


def comparison_texts(column: Sequence[Any], cells: ModuleType) -> Sequence[str]:
    """Convert cells to texts for comparison: strings unchanged, others by their kind's `identity` or their repr."""
    if hasattr(cells, "identity"):
        return list(map(cells.identity, column))
    return column if not column or isinstance(column[0], str) else list(map(repr, column))


@dataclass
class Split:
    """A split being written, with its statistics."""

    name: str
    fields: Sequence[Field]
    output: Path
    counts: Counter[str] = field(default_factory=Counter)
    source_keys: KeySet = field(default_factory=KeySet)
    pair_keys: KeySet = field(default_factory=KeySet)
    row_keys: KeySet = field(default_factory=KeySet)

    def __post_init__(self) -> None:
        self.profiles = profiles(self.fields)
        self.writer: shards.Writer | None = None
        self.held_out_keys: list[np.ndarray] = []  # source keys of all rows, only for valid and test

    def schema(self) -> "pa.Schema":
        """Return the schema: the column row, then a column per field."""
        import pyarrow as pa

        return pa.schema([("row", pa.int64()), *((item.name, item.cells.arrow()) for item in self.fields)])

    def add_keys(self, batch: Batch) -> "np.ndarray":
        """Add a batch's keys and count duplicates; return [N] bool: the first occurrences of rows."""
        self.source_keys.add(batch.source_keys)
        self.pair_keys.add(batch.pair_keys)
        first = self.row_keys.add(batch.row_keys)
        self.counts["duplicates"] += int((~first).sum())
        return first

    def write(self, batch: Batch) -> None:
        """Append rows and add them to the statistics."""
        import pyarrow as pa

        if self.writer is None:
            self.writer = shards.Writer(self.output, self.name, self.schema()).__enter__()
        for item, column in zip(self.fields, batch.columns, strict=True):
            self.profiles[item.name].add(batch.rows, column)
        self.counts["rows"] += len(batch)
        if self.name != "train":
            self.held_out_keys.append(batch.source_keys)
        self.writer.write(pa.RecordBatch.from_arrays([pa.array(batch.rows), *batch.columns], schema=self.schema()))

    def discard(self) -> None:
        """Remove the written shards, so that the split can be written again."""
        if self.writer is not None:
            self.writer.discard()

    def close(self, error: BaseException | None) -> None:
        """Finish the last shard, or remove all shards after an error."""
        if self.writer is not None:
            self.writer.__exit__(type(error) if error else None, error, None)

    def table(self) -> dict[str, Any]:
        """Return rows, duplicates, conflicts and profiles for stats.json.

        duplicates: rows equal to an earlier row in all fields. conflicts: number of distinct targets beyond the first
        of each source, sources being compared in normalized form.
        """
        return {
            "rows": self.counts["rows"],
            "duplicates": self.counts["duplicates"],
            "conflicts": len(self.pair_keys) - len(self.source_keys),
            "distinct_sources": len(self.source_keys),
            "leaks_dropped": self.counts["leaks_dropped"],
            "fields": {item.name: {"kind": item.kind, **self.profiles[item.name].table()} for item in self.fields},
        }

    def leakage(self, train: "Split") -> dict[str, Any]:
        """Count rows of this split whose source text occurs in train, including rows dropped from train.

        held_out: rows whose source text occurs in the other held-out split, if that was read before this one.
        """
        rows = sum(int(train.source_keys.contains(keys).sum()) for keys in self.held_out_keys)
        share = round(rows / max(self.counts["rows"], 1), 6)
        held_out = self.counts["leaks_held_out"]
        return {"rows": rows, "share": share} | ({"held_out": held_out} if held_out else {})
