"""Read rows, mend or refuse damaged ones, split them, and count what was found.

    data/mail.tsv                       ->  train/00000.parquet ...   row, text, label
    "Please reply.\\tyes"                    valid/...  test/...
                                            stats.json
"""

import json
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field as Limits
from pydantic import model_validator

from textpipe import catalog, rooms
from textpipe.config import Plugin, Section
from textpipe.errors import ConfigError, DataError, suggest
from textpipe.fields import Field
from textpipe.tables import shards, sources
from textpipe.tables.hashes import KeySet, normal_form, text_key
from textpipe.tables.profile import LabelProfile, TextProfile, profiles
from textpipe.tables.rows import Repairs, Rows

if TYPE_CHECKING:
    import numpy as np

INPUTS: tuple[str, ...] = ()
READING_ORDER = ("test", "valid", "train")  # train last: only then is it known which of its sources leak

log = logging.getLogger(__name__)


class Config(Section):
    """Where rows come from, and what becomes of them.

    dataset: the name of a dataset card, or files: one file, a list of files, {column: file} for line files side by side, or
    {split: any of these}. Paths are relative to the working directory. format: guessed from the first file's name.
    columns: {field of the task: column, or its number from 0}; a field not named has its own name as column.
    filter: {column: value or values}; other rows are left out.
    split: shares cut from the train rows, by a hash of the source text, for splits the files do not give.
    drop_duplicates: keep the first of equal rows of a split. on_leak = "drop" removes train rows whose source text occurs in
    valid or test. max_rows: rows kept of each split, the first ones.
    """

    task: str
    dataset: str | None = None
    files: Path | list[Path] | dict[str, Path | list[Path] | dict[str, Path]] | None = None
    format: Plugin.of("tables.formats") | None = None  # type: ignore[valid-type]
    columns: dict[str, str | int] = {}
    filter: dict[str, str | list[str]] = {}
    split: dict[Literal["valid", "test"], float] = {"valid": 0.1, "test": 0.1}
    drop_duplicates: bool = False
    on_leak: Literal["count", "drop"] = "count"
    on_invalid: Literal["replace", "drop", "error"] = "replace"
    on_bad_rows: Literal["error", "drop"] = "error"
    max_characters: int | None = Limits(default=None, ge=1)
    max_rows: int | None = Limits(default=None, ge=1)

    @model_validator(mode="before")
    @classmethod
    def guess_format(cls, table: Any) -> Any:
        """Fill `format` in, so that it is part of the section and thereby of the result's key."""
        if not isinstance(table, dict) or table.get("format") is not None:
            return table
        dataset, files = table.get("dataset"), table.get("files")
        if isinstance(dataset, str) and files is None:
            return {**table, "format": catalog.card(dataset).format or sources.guess(catalog.card(dataset).splits)}
        if files is not None and dataset is None:
            return {**table, "format": sources.guess(files)}
        return table

    @model_validator(mode="after")
    def check_choices(self) -> "Config":
        """Exactly one origin, columns of the task's fields, shares that leave rows for train."""
        if (self.dataset is None) == (self.files is None):
            raise ValueError("give either dataset (a card's name) or files" + (", not both" if self.dataset else ""))
        known = [item.name for item in fields_of(self.task)]
        for name in self.columns:
            if name not in known:
                raise ValueError(f"columns.{name}: task {self.task!r} has no such field{suggest(name, known)}")
        for name, share in self.split.items():
            if not 0 <= share < 1:
                raise ValueError(f"split.{name}: expected a share from 0 to below 1, found {share}")
        if sum(self.split.values()) >= 1:
            raise ValueError(f"split: the shares add up to {sum(self.split.values()):g} and leave nothing for train")
        return self

    def extra_files(self) -> list[Path]:
        """Files a dataset's name stands for: its card, whose checksums stand for the data, and the data when bundled."""
        if self.dataset is None:
            return []
        card = catalog.card(self.dataset)
        return [card.place, *catalog.bundled(card)]


def fields_of(task: str) -> tuple[Field, ...]:
    """A task's fields; raises ValueError when there is no such task."""
    try:
        return rooms.find("tasks", task).FIELDS
    except ConfigError as error:
        raise ValueError(str(error)) from None


@dataclass
class Split:
    """What is known of one split while it is written."""

    name: str
    schema: Any
    output: Path
    profiles: dict[str, TextProfile | LabelProfile]
    writer: shards.Writer | None = None
    source_keys: KeySet = field(default_factory=KeySet)
    pair_keys: KeySet = field(default_factory=KeySet)
    row_keys: KeySet = field(default_factory=KeySet)
    counts: Counter[str] = field(default_factory=Counter)

    def write(self, batch: "Batch") -> None:
        """Append rows and count them."""
        import pyarrow as pa

        self.counts["rows"] += len(batch.rows)
        for name, texts in zip(self.schema.names[1:], batch.columns, strict=True):
            self.profiles[name].add(batch.rows, texts)
        if self.writer is None:
            self.writer = shards.Writer(self.output, self.name, self.schema).__enter__()
        arrays = [pa.array(batch.rows, pa.int64()), *(pa.array(texts, pa.string()) for texts in batch.columns)]
        self.writer.write(pa.RecordBatch.from_arrays(arrays, schema=self.schema))


@dataclass
class Batch:
    """Clean rows with their keys: columns in the order of the task's fields, keys [N] uint64."""

    rows: list[int]
    columns: list[Sequence[str]]
    source_keys: "np.ndarray"
    pair_keys: "np.ndarray"
    row_keys: "np.ndarray"

    def take(self, mask: "np.ndarray") -> "Batch":
        """The rows whose mask [N] is true."""
        from itertools import compress

        if mask.all():
            return self
        chosen = mask.tolist()
        columns: list[Sequence[str]] = [list(compress(column, chosen)) for column in self.columns]
        keys = (self.source_keys[mask], self.pair_keys[mask], self.row_keys[mask])
        return Batch(list(compress(self.rows, chosen)), columns, *keys)


def run(config: Config, inputs: dict[str, Path], output: Path) -> None:
    """Write {split}/00000.parquet ... and stats.json; raises DataError naming file and line."""
    import pyarrow as pa

    fields = fields_of(config.task)
    schema = pa.schema([("row", pa.int64()), *((item.name, pa.string()) for item in fields)])
    origin = sources.locate(config.dataset, config.files, config.format, wanted(config, fields))
    splits: dict[str, Split] = {}

    def split_of(name: str) -> Split:
        if name not in splits:
            splits[name] = Split(name, schema, output, profiles(fields))
        return splits[name]

    read: Counter[str] = Counter()
    repairs = Repairs(config.on_invalid, config.on_bad_rows, config.max_characters)
    try:
        for name in READING_ORDER:
            if name not in origin:
                continue
            shares = {other: share for other, share in config.split.items() if other not in origin} if name == "train" else {}
            for target in (name, *(other for other in shards.SPLITS if shares.get(other, 0) > 0)):
                split_of(target)
            for batch in batches(config, fields, name, origin[name], repairs, read):
                deal(config, batch, name, shares, splits)
                if full(config, splits, name, shares):
                    break
            log.info("%s: %s rows read", name, f"{read[name]:,}")
        for split in splits.values():
            require_rows(config, split)
            if split.writer is not None:
                split.writer.close()
    except BaseException as error:
        for split in splits.values():
            if split.writer is not None:
                split.writer.__exit__(type(error), error, None)
        raise
    stats = statistics(config, fields, splits, read, repairs)
    (output / "stats.json").write_text(json.dumps(stats, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def wanted(config: Config, fields: Sequence[Field]) -> list[str | int]:
    """The columns to read: one per field, then those a filter looks at."""
    return [*(config.columns.get(item.name, item.name) for item in fields), *config.filter]


def batches(
    config: Config, fields: Sequence[Field], split: str, files: Sequence[sources.Source], repairs: Repairs, read: Counter[str]
) -> Iterator[Batch]:
    """Clean rows of one split's files, in order; row numbers run on from file to file."""
    columns = wanted(config, fields)
    accepted = [{value} if isinstance(value, str) else set(value) for value in config.filter.values()]
    start = 0
    for source in files:
        last = -1
        for raw in sources.read(source, config.format, repairs, columns, split):
            if raw.positions:
                last = raw.positions[-1]
            read[split] += len(raw)
            rows = repairs.mend(raw)
            if accepted:
                rows = filtered(rows, accepted, repairs)
            rows.columns = [
                [text.strip() for text in column] if item.kind == "label" else column
                for item, column in zip(fields, rows.columns, strict=False)
            ]
            mask = [all(map(str.strip, texts)) for texts in zip(*rows.columns, strict=True)]
            if not all(mask):
                repairs.counts["empty_rows"] += mask.count(False)
                rows = rows.keep(mask)
            if len(rows):
                yield keyed(rows, fields, start)
        start += last + 1


def filtered(rows: Rows, accepted: Sequence[set[str]], repairs: Repairs) -> Rows:
    """Rows whose last columns hold accepted values."""
    looked_at = rows.columns[-len(accepted) :]
    mask = [all(cell in values for cell, values in zip(cells, accepted, strict=True)) for cells in zip(*looked_at, strict=True)]
    repairs.counts["filtered_rows"] += mask.count(False)
    return rows if all(mask) else rows.keep(mask)


def keyed(rows: Rows, fields: Sequence[Field], start: int) -> Batch:
    """A batch with three keys a row: of the normalized source, of that with the target, and of the row as it stands.

    The first decides the split, so it must be the same for ever; the others only find equals within this run.
    """
    import numpy as np

    sides: dict[str, list[Sequence[str]]] = {"source": [], "target": []}
    for item, column in zip(fields, rows.columns, strict=True):
        sides[item.side].append(column)
    normal = [list(map(normal_form, column)) for column in sides["source"]]
    joined = normal[0] if len(normal) == 1 else ["\x1f".join(texts) for texts in zip(*normal, strict=True)]
    source_keys = np.fromiter(map(text_key, joined), np.uint64, len(joined))
    pairs = np.fromiter(map(hash, zip(joined, *sides["target"], strict=True)), np.int64, len(joined)).view(np.uint64)
    exact = np.fromiter(map(hash, zip(*rows.columns, strict=True)), np.int64, len(joined)).view(np.uint64)
    return Batch([start + position for position in rows.positions], rows.columns, source_keys, pairs, exact)


def deal(config: Config, batch: Batch, name: str, shares: dict[str, float], splits: dict[str, Split]) -> None:
    """Write a batch of the files of split `name`, some of it to the splits cut from it.

    Split by hash, not by position: a row appended tomorrow must not move the old ones.
    """
    import numpy as np

    place = batch.source_keys / 2.0**64  # [N] in [0, 1)
    left = np.ones(len(batch.rows), bool)
    below = 0.0
    for other in ("test", "valid"):
        if shares.get(other, 0) > 0:
            chosen = left & (place < below + shares[other])
            below += shares[other]
            left &= ~chosen
            add(config, batch.take(chosen), splits[other], splits)
    add(config, batch.take(left), splits[name], splits)


def add(config: Config, batch: Batch, split: Split, splits: dict[str, Split]) -> None:
    """Count duplicates and leaks of a batch, drop what is to be dropped, and write the rest."""
    import numpy as np

    if config.max_rows is not None:
        room = config.max_rows - split.counts["rows"]
        if not config.drop_duplicates and config.on_leak == "count":
            batch = batch.take(np.arange(len(batch.rows)) < room)
    if not batch.rows:
        return
    split.source_keys.add(batch.source_keys)
    split.pair_keys.add(batch.pair_keys)
    first = split.row_keys.add(batch.row_keys)
    split.counts["duplicates"] += int((~first).sum())
    keep = first if config.drop_duplicates else np.ones(len(batch.rows), bool)
    if config.on_leak == "drop" and split.name == "train":
        leaked = np.zeros(len(batch.rows), bool)
        for other in splits.values():
            if other.name != "train":
                leaked |= other.source_keys.contains(batch.source_keys)
        split.counts["leaks_dropped"] += int((keep & leaked).sum())
        keep = keep & ~leaked
    if config.max_rows is not None:
        keep = keep & (np.cumsum(keep) <= config.max_rows - split.counts["rows"])
    batch = batch.take(keep)
    if batch.rows:
        split.write(batch)


def full(config: Config, splits: dict[str, Split], name: str, shares: dict[str, float]) -> bool:
    """Whether every split these files feed has max_rows rows."""
    fed = [name, *(other for other, share in shares.items() if share > 0)]
    return config.max_rows is not None and all(splits[other].counts["rows"] >= config.max_rows for other in fed)


def require_rows(config: Config, split: Split) -> None:
    """A split that was asked for must have rows, and a label in train at least two classes."""
    if not split.counts["rows"]:
        cure = "give more rows, a larger share in split, or a file for it" if split.name != "train" else "every row was empty, dropped or filtered out"
        raise DataError(f"{split.name}: no rows left; {cure}")
    for name, profile in split.profiles.items():
        if split.name == "train" and isinstance(profile, LabelProfile) and len(profile.classes) == 1:
            (only,) = profile.classes
            raise DataError(f"train: {name} has one class only, {only!r}, in all {split.counts['rows']:,} rows; a classifier needs two")


def statistics(
    config: Config, fields: Sequence[Field], splits: dict[str, Split], read: Counter[str], repairs: Repairs
) -> dict[str, Any]:
    """The content of stats.json."""
    names = [name for name in shards.SPLITS if name in splits]
    return {
        "origin": {"dataset": config.dataset} if config.dataset else {"files": config.model_dump(mode="json")["files"]},
        "columns": {item.name: config.columns.get(item.name, item.name) for item in fields},
        "rows_read": {name: read[name] for name in names if name in read},
        "repairs": {name: repairs.counts[name] for name in REPAIRS},
        "splits": {name: split_statistics(splits[name]) for name in names},
        "leakage": {name: leakage(splits[name], splits["train"]) for name in names if name != "train" and "train" in splits},
    }


REPAIRS = {
    "empty_rows": "empty rows dropped",
    "bad_rows": "malformed rows dropped",
    "filtered_rows": "rows left out by filter",
    "too_long_rows": "rows dropped for their length",
    "invalid_utf8_rows": "rows with bytes that are not UTF-8",
    "invalid_utf8_bytes": "bytes that are not UTF-8",
    "nul_characters": "NUL characters removed",
}


def split_statistics(split: Split) -> dict[str, Any]:
    """Rows, duplicates, conflicts and profiles of one split.

    duplicates: rows equal in every field to an earlier one. conflicts: answers beyond the first that a source text, in its
    normal form, has.
    """
    return {
        "rows": split.counts["rows"],
        "duplicates": split.counts["duplicates"],
        "conflicts": len(split.pair_keys) - len(split.source_keys),
        "distinct_sources": len(split.source_keys),
        "leaks_dropped": split.counts["leaks_dropped"],
        "fields": {name: profile.table() for name, profile in split.profiles.items()},
    }


def leakage(split: Split, train: Split) -> dict[str, Any]:
    """How many distinct source texts of a split occur among the train rows, dropped ones included."""
    found = split.source_keys.shared_with(train.source_keys)
    return {"sources": found, "share": round(found / max(len(split.source_keys), 1), 6)}


def summary(output: Path) -> str:
    """stats.json as a table for the terminal."""
    stats = json.loads((output / "stats.json").read_text(encoding="utf-8"))
    lines = [f"{'split':<7}{'rows':>11}{'duplicates':>12}{'conflicts':>11}{'in train':>10}"]
    for name, split in stats["splits"].items():
        leaks = stats["leakage"].get(name)
        shown = f"{leaks['sources']:,}" if leaks else "-"
        lines.append(f"{name:<7}{split['rows']:>11,}{split['duplicates']:>12,}{split['conflicts']:>11,}{shown:>10}")
    for name, profile in stats["splits"].get("train", next(iter(stats["splits"].values())))["fields"].items():
        lines.append(f"{name}: {FIELD_LINE['characters' in profile](profile)}")
    for key, count in stats["repairs"].items():
        if count:
            lines.append(f"{REPAIRS[key]}: {count:,}")
    dropped = sum(split["leaks_dropped"] for split in stats["splits"].values())
    if dropped:
        lines.append(f"train rows dropped because their source is in valid or test: {dropped:,}")
    return "\n".join(lines)


def text_line(profile: dict[str, Any]) -> str:
    """Lengths and scripts of a text field in one line."""
    words, characters = profile["words"], profile["characters"]
    scripts = ", ".join(f"{name} {share:.1%}" for name, share in list(profile["scripts"].items())[:3])
    return (
        f"words {words['p50']} median, {words['p95']} at 95 %, {words['max']} most; "
        f"characters {characters['p50']}, {characters['p95']}, {characters['max']}; letters {scripts or 'none'}"
    )


def label_line(profile: dict[str, Any]) -> str:
    """The most frequent classes of a label field in one line."""
    classes = list(profile["classes"].items())
    shown = ", ".join(f"{name} {count:,}" for name, count in classes[:5])
    more = f" and {len(classes) - 5} more" if len(classes) > 5 else ""
    return f"{profile['num_classes']} classes{'' if profile['complete'] else ' or more'}: {shown}{more}"


FIELD_LINE: dict[bool, Callable[[dict[str, Any]], str]] = {True: text_line, False: label_line}
