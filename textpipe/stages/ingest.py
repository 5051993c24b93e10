"""Read rows, mend or refuse damaged ones, split them, and count what was found.

data/mail.tsv                       ->  train/00000.parquet ...   row, text, label
"Please reply.\\tyes"                    valid/...  test/...
                                        stats.json
"""

import json
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field as Limits
from pydantic import model_validator

from textpipe import catalog, rooms
from textpipe.config import Plugin, Section
from textpipe.errors import ConfigError, DataError, suggest
from textpipe.fields import Field
from textpipe.tables import sources, statistics
from textpipe.tables.profile import LabelProfile
from textpipe.tables.rows import Repairs, Rows
from textpipe.tables.splits import Batch, Split

INPUTS: tuple[str, ...] = ()
READING_ORDER = ("test", "valid", "train")  # train last: only then is it known which of its sources leak

log = logging.getLogger(__name__)


class Config(Section):
    """Where rows come from, and what becomes of them.

    dataset: the name of a dataset card, or files: one file, a list of files, {column: file} for line files side by
    side, or {split: any of these}. Paths are relative to the working directory. format: guessed from the first name.
    columns: {field of the task: column, or its number from 0}; a field not named has its own name as column.
    filter: {column: value or values}; other rows are left out.
    split: shares cut from the train rows, by a hash of the source text, for splits the files do not give.
    drop_duplicates: keep the first of equal rows of a split. on_leak = "drop" removes train rows whose source text
    occurs in valid or test. max_rows: rows kept of each split, the first ones.
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
        """Files a dataset's name stands for: its card, whose checksums stand for the data, and bundled data."""
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


def run(config: Config, inputs: dict[str, Path], output: Path) -> None:
    """Write {split}/00000.parquet ... and stats.json; raises DataError naming file and line."""
    fields = fields_of(config.task)
    origin = sources.locate(config.dataset, config.files, config.format, wanted(config, fields))
    repairs = Repairs(config.on_invalid, config.on_bad_rows, config.max_characters)
    read: Counter[str] = Counter()
    splits: dict[str, Split] = {}
    try:
        for name in READING_ORDER:
            if name not in origin:
                continue
            shares = {other: share for other, share in config.split.items() if share > 0 and other not in origin}
            shares = shares if name == "train" else {}
            fed = [splits.setdefault(target, Split(target, fields, output)) for target in (name, *shares)]
            for batch in batches(config, fields, name, origin[name], repairs, read):
                deal(config, batch, name, shares, splits)
                if config.max_rows is not None and all(split.counts["rows"] >= config.max_rows for split in fed):
                    break
            log.info("%s: %s rows read", name, f"{read[name]:,}")
            if not read[name]:
                places = ", ".join(str(source) for source in origin[name])
                raise DataError(f"{places}: no row was found for {name}; give a file with rows below its header")
        for split in splits.values():
            require_rows(split, read, repairs)
            split.close(None)
    except BaseException as error:
        for split in splits.values():
            split.close(error)
        raise
    stats = {
        "origin": {"dataset": config.dataset} if config.dataset else {"files": config.model_dump(mode="json")["files"]},
        "columns": {item.name: config.columns.get(item.name, item.name) for item in fields},
        **statistics.tables(splits, read, repairs),
    }
    (output / "stats.json").write_text(json.dumps(stats, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def summary(output: Path) -> str:
    """Splits, fields and repairs as lines for the terminal."""
    return statistics.summary(json.loads((output / "stats.json").read_text(encoding="utf-8")))


def wanted(config: Config, fields: Sequence[Field]) -> list[str | int]:
    """The columns to read: one per field, then those a filter looks at."""
    return [*(config.columns.get(item.name, item.name) for item in fields), *config.filter]


def batches(
    config: Config,
    fields: Sequence[Field],
    split: str,
    files: Sequence[sources.Source],
    repairs: Repairs,
    read: Counter[str],
) -> Iterator[Batch]:
    """Clean rows of one split's files, in order; row numbers run on from file to file."""
    columns = wanted(config, fields)
    accepted = [{value} if isinstance(value, str) else set(value) for value in config.filter.values()]
    start = 0
    for source in files:
        following = 0
        for raw in sources.read(source, config.format, repairs, columns, split):
            if not len(raw):
                continue
            following = raw.positions[-1] + 1
            read[split] += len(raw)
            rows = repairs.mend(raw)
            if accepted:
                rows = filtered(rows, accepted, repairs)
            for number, item in enumerate(fields):
                if item.kind == "label":
                    rows.columns[number] = [text.strip() for text in rows.columns[number]]
            rows = repairs.drop_empty(rows)
            if len(rows):
                yield Batch.of(rows, fields, start)
        start += following


def filtered(rows: Rows, accepted: Sequence[set[str]], repairs: Repairs) -> Rows:
    """Rows whose last columns hold accepted values, without those columns."""
    asked = len(rows.columns) - len(accepted)
    cells = zip(*rows.columns[asked:], strict=True)
    mask = [all(cell in values for cell, values in zip(row, accepted, strict=True)) for row in cells]
    repairs.counts["filtered_rows"] += mask.count(False)
    rows = rows.keep(mask)
    rows.columns = rows.columns[:asked]
    return rows


def deal(config: Config, batch: Batch, name: str, shares: dict[str, float], splits: dict[str, Split]) -> None:
    """Write a batch from the files of split `name`, some of it to the splits cut from it.

    Split by hash, not by position: a row appended tomorrow must not move the old ones.
    """
    import numpy as np

    place = batch.source_keys / 2.0**64  # [N], from 0 to 1
    left = np.ones(len(batch), bool)
    below = 0.0
    for other in ("test", "valid"):
        if other in shares:
            below += shares[other]
            chosen = left & (place < below)
            left &= ~chosen
            add(config, batch.take(chosen), splits[other], splits)
    add(config, batch.take(left), splits[name], splits)


def add(config: Config, batch: Batch, split: Split, splits: dict[str, Split]) -> None:
    """Write a batch to a split, as far as max_rows leaves room."""
    import numpy as np

    while config.max_rows is not None and len(batch):
        room = config.max_rows - split.counts["rows"]
        if room <= 0:
            return
        head = np.arange(len(batch)) < room
        add_whole(config, batch.take(head), split, splits)
        batch = batch.take(~head)
    add_whole(config, batch, split, splits)


def add_whole(config: Config, batch: Batch, split: Split, splits: dict[str, Split]) -> None:
    """Count duplicates and leaks of a batch, drop what is to be dropped, and write the rest."""
    import numpy as np

    if not len(batch):
        return
    first = split.see(batch)
    keep = first if config.drop_duplicates else np.ones(len(batch), bool)
    if config.on_leak == "drop" and split.name == "train":
        leaked = np.zeros(len(batch), bool)
        for other in splits.values():
            if other.name != "train":
                leaked |= other.source_keys.contains(batch.source_keys)
        split.counts["leaks_dropped"] += int((keep & leaked).sum())
        keep = keep & ~leaked
    kept = batch.take(keep)
    if len(kept):
        split.write(kept)


def require_rows(split: Split, read: Counter[str], repairs: Repairs) -> None:
    """A split that was asked for must have rows, and a label in train at least two classes."""
    rows = split.counts["rows"]
    if not rows and split.name == "train":
        causes = [f"{(statistics.REPAIRS | statistics.MAIL_REPAIRS)[name]}: {count:,}" for name, count in repairs.counts.items() if count]
        causes.append(f"dropped for leaking into valid or test: {split.counts['leaks_dropped']:,}")
        raise DataError(
            f"train: no rows left of {read['train']:,} read ({'; '.join(causes)}); mend the file or ask for less"
        )
    if not rows:
        cure = "give more rows, a larger share in split, or a file of its own"
        raise DataError(f"{split.name}: no rows fell into it; {cure}")
    for name, profile in split.profiles.items():
        if split.name == "train" and isinstance(profile, LabelProfile) and len(profile.classes) == 1:
            (only,) = profile.classes
            raise DataError(f"train: {name} has one class only, {only!r}, in all {rows:,} rows; a classifier needs two")
