"""Synthetic training rows beside the real ones: [ingest.synthetic].

Rows written by `textpipe augment`, or by another program, are added to train after the splits are made, in shards of their own, so that no
synthetic row gets into valid or test, and so that normalize can tag their sources (Caswell, Chelba and Grangier 2019, Tagged
Back-Translation).
"""

import logging
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field as Limits
from pydantic import field_validator, model_validator

from textpipe.config.fields import Field
from textpipe.config.sections import Plugin, Section
from textpipe.data import cleaning, shards, sources
from textpipe.data.hashes import KeySet, normal_forms, stable_keys, text_keys
from textpipe.data.rows import Repairs, list_columns
from textpipe.data.splits import Batch, Split, comparison_texts
from textpipe.errors import DataError
from textpipe.text import reserved

if TYPE_CHECKING:
    import numpy as np

TAG = re.compile(r"[^\s\\,▁\ufdd0\x00-\x20]{2,32}")  # what sentencepiece and the escapes of its codec leave alone

log = logging.getLogger(__name__)


class Synthetic(Section):
    """[ingest.synthetic]: Synthetic rows that are added to train, such as those of `textpipe augment`.

    files: one file or a list; format: guessed from the first name; columns: {field of the task: column}, by default those of the fields'
    names. Rows whose source or target occurs in valid or test are left out.
    ratio: at most this many synthetic rows for each real row of train, chosen by a hash of the row; all rows by default.
    repeat: how often each real row is repeated, to balance many synthetic rows; 0 leaves the real rows out, to train on a teacher's
    answers alone (Kim and Rush 2016).
    tag: a token such as "<BT>" before the sources of synthetic rows. It becomes a single token that cannot occur in a text, neither in a
    real row nor in a text given to the exported model.
    """

    files: Path | list[Path]
    format: Plugin.of("data.formats") | None = None
    columns: dict[str, str | int] = {}
    ratio: float | None = Limits(default=None, gt=0)
    repeat: int = Limits(default=1, ge=0)
    tag: str | None = None

    @model_validator(mode="before")
    @classmethod
    def guess_format(cls, table: Any) -> Any:
        """Fill in `format`, so that it is part of the section and of the cache key."""
        if (
            isinstance(table, dict)
            and table.get("format") is None
            and (kind := sources.infer_format(table.get("files")))
        ):
            return {**table, "format": kind}
        return table

    @field_validator("tag")
    @classmethod
    def check_tag(cls, tag: str | None) -> str | None:
        if tag is not None and not TAG.fullmatch(tag):
            raise ValueError(
                f"expected 2 to 32 characters without spaces, commas and backslashes, such as '<BT>', found {tag!r}"
            )
        return tag

    @model_validator(mode="after")
    def has_files(self) -> "Synthetic":
        if self.files == []:
            raise ValueError("files: is empty; give a file or a list of files")
        twice = next((path for number, path in enumerate(self.paths) if path in self.paths[:number]), None)
        if twice is not None:
            raise ValueError(f"files: {twice} is named twice; name it once")
        return self

    @property
    def paths(self) -> list[Path]:
        return self.files if isinstance(self.files, list) else [self.files]


def check_fields(config: Synthetic, fields: Sequence[Field]) -> None:
    """Raise ValueError for columns of no field, and for a tag where no source is a text."""
    names = [item.name for item in fields]
    for name in config.columns:
        if name not in names:
            raise ValueError(
                f"synthetic.columns.{name}: the task has no such field; expected one of {', '.join(names)}"
            )
    if config.tag is not None and tagged_field(fields) is None:
        raise ValueError("synthetic.tag: no source of the task is a text; leave tag out")


def tagged_field(fields: Sequence[Field]) -> str | None:
    """The field whose texts get the tag: the first source with text."""
    return next((item.name for item in fields if item.side == "source" and item.has_text), None)


def add_rows(
    config: Synthetic, task_fields: Sequence[Field], repairs: Repairs, splits: Mapping[str, Split], output: Path, *,
    drop_duplicates: bool = False, identify_by: Sequence[str] = (),
) -> dict[str, Any]:  # fmt: skip
    """Add copies of the real rows and the synthetic rows to train, whose splits are closed; returns the table of stats.json.

    task_fields: without those of `keep`, which are empty in synthetic rows. repairs: how the real rows were repaired.
    """
    train = splits["train"]
    num_real, first_row = train.counts["rows"], last_row(output) + 1
    first_shard = repeat_shards(output, config.repeat)
    reader = new_reader(config, task_fields, repairs, identify_by)
    held_out = HeldOut(task_fields, splits, output)
    limit = None if config.ratio is None else max(1, round(config.ratio * num_real))
    highest = None if limit is None else highest_key(accepted(reader, config, held_out, drop_duplicates), limit)
    counts = {"rows": 0, "held_out": 0}
    reader.read["train"] = 0
    reader.repairs.counts.clear()
    held_out.dropped = 0

    def chosen() -> Iterator[Batch]:
        for batch in accepted(reader, config, held_out, drop_duplicates):
            batch = batch if highest is None else batch.select(batch.row_keys <= highest)
            if limit is not None and counts["rows"] + len(batch) > limit:  # equal rows have equal keys
                import numpy as np

                batch = batch.select(np.arange(len(batch)) < limit - counts["rows"])
            counts["rows"] += len(batch)
            if len(batch):
                batch.rows = batch.rows + first_row
                yield batch

    write(train, chosen(), output, first_shard)
    paths = ", ".join(map(str, config.paths))
    if not counts["rows"]:
        raise DataError(
            f"[ingest.synthetic] {paths}: no rows left of {reader.read['train']:,} read ({held_out.dropped:,} of them occur in valid or "
            "test); give a file with rows, or leave [ingest.synthetic] out"
        )
    if limit is not None and counts["rows"] < limit:
        log.warning(
            "[ingest.synthetic] ratio: %g synthetic rows for each of %s real ones are %s, and only %s are there; all are used",
            config.ratio, f"{num_real:,}", f"{limit:,}", f"{counts['rows']:,}",
        )  # fmt: skip
    train.counts["rows"] = num_real * config.repeat + counts["rows"]
    if config.tag is not None:
        reserved.write(output, reserved.Tag(config.tag, str(tagged_field(task_fields)), first_shard))
    return {
        "files": [path.name for path in config.paths], "rows_read": reader.read["train"], "rows": counts["rows"],
        "held_out": held_out.dropped, "real_rows": num_real, "repeat": config.repeat, "tag": config.tag, "first_shard": first_shard,
        "repairs": {name: count for name, count in sorted(reader.repairs.counts.items()) if count},
    }  # fmt: skip


def new_reader(
    config: Synthetic, fields: Sequence[Field], repairs: Repairs, identify_by: Sequence[str]
) -> cleaning.RowReader:
    """Reads the synthetic files. repairs: how the real rows are repaired; identify_by: how they are compared."""
    if config.format is None:
        raise DataError(
            f"[ingest.synthetic] {config.paths[0]}: the format cannot be inferred from the name; set format, to jsonl for example"
        )
    columns = [column_of(config, item) for item in fields]
    synthetic_repairs = Repairs(
        repairs.on_invalid, repairs.on_bad_rows, repairs.max_characters, on_too_long=repairs.on_too_long,
        list_columns=list_columns((item.cells, name) for item, name in zip(fields, columns, strict=True)),
    )  # fmt: skip
    return cleaning.RowReader(
        fields, columns, {}, config.format, synthetic_repairs, cleaning.RareLabels(1, None), identify_by
    )


def column_of(config: Synthetic, field: Field) -> str | int:
    """The column of a field: the one given for it, or for the field whose column it shares, else the one of that name."""
    names = [field.name] if field.column_of is None else [field.name, field.column_of]
    return next((config.columns[name] for name in names if name in config.columns), names[-1])


def accepted(
    reader: cleaning.RowReader, config: Synthetic, held_out: "HeldOut", drop_duplicates: bool
) -> Iterator[Batch]:
    """The rows of the files that do not occur in valid or test, with keys that are the same in every process."""
    origin = sources.locate(None, list(config.paths), config.format, reader.columns)
    seen_keys = KeySet()
    for batch in reader.batches("train", origin["train"], hash_rows=stable_keys):
        new_rows = held_out.drop(batch)
        yield new_rows.select(seen_keys.add(new_rows.row_keys)) if drop_duplicates else new_rows


class HeldOut:
    """The source and target texts of valid and test. dropped: rows that `drop` left out."""

    def __init__(self, fields: Sequence[Field], splits: Mapping[str, Split], folder: Path):
        self.sources, self.targets, self.dropped = KeySet(), KeySet(), 0
        self.target = next(number for number, item in enumerate(fields) if item.side == "target")
        self.cells = fields[self.target].cells
        self.has_text = fields[self.target].has_text
        for name, split in splits.items():
            if name == "train":
                continue
            for keys in split.held_out_keys:
                self.sources.add(keys)
            for batch in shards.read(folder, name, [fields[self.target].name]) if self.has_text else ():
                self.targets.add(self.keys(batch.column(0)))

    def keys(self, column: Any) -> "np.ndarray":
        """The keys of the normalized target texts [N]."""
        return text_keys(normal_forms(comparison_texts(column.to_pylist(), self.cells)))

    def drop(self, batch: Batch) -> Batch:
        """The rows of a batch whose texts occur in neither split."""
        leaked = self.sources.contains(batch.source_keys)
        if self.has_text:
            leaked |= self.targets.contains(self.keys(batch.columns[self.target]))
        self.dropped += int(leaked.sum())
        return batch.select(~leaked)


def highest_key(batches: Iterable[Batch], count: int) -> int | None:
    """The largest row key among the `count` smallest ones, of all rows; None if there are no more rows than that."""
    import numpy as np

    keys = np.concatenate([np.zeros(0, np.uint64), *(batch.row_keys for batch in batches)])
    return None if len(keys) <= count else int(np.partition(keys, count - 1)[count - 1])


def last_row(folder: Path) -> int:
    """The row number of the last row of train: rows are written in order."""
    number = len(shards.paths(folder, "train")) - 1
    *_, batch = shards.read(folder, "train", ["row"], number=number)
    return batch.column(0)[-1].as_py()


def repeat_shards(folder: Path, repeat: int) -> int:
    """Write each shard of train `repeat` times in all; returns the number of shards."""
    files = shards.paths(folder, "train")
    for copy in range(1, repeat):
        for number, file in enumerate(files, copy * len(files)):
            shutil.copyfile(file, file.with_name(f"{number:05d}{file.suffix}"))
    if not repeat:
        for file in files:
            file.unlink()
    return repeat * len(files)


def write(train: Split, batches: Iterable[Batch], folder: Path, first_shard: int) -> None:
    """Write synthetic rows as further shards of train, and add them to its profiles."""
    import pyarrow as pa

    schema = train.schema()
    rows, number = 0, first_shard
    writer = shards.Writer(folder, "train", schema, number=number).__enter__()
    try:
        for batch in batches:
            names = {item.name for item in train.fields}
            assert len(names) >= len(batch.columns)
            empty_columns = [
                pa.array([""] * len(batch), item.cells.arrow()) for item in train.fields[len(batch.columns) :]
            ]
            for item, column in zip(train.fields, [*batch.columns, *empty_columns], strict=True):
                train.profiles[item.name].add(batch.rows, column)
            table = pa.RecordBatch.from_arrays([pa.array(batch.rows), *batch.columns, *empty_columns], schema=schema)
            while table.num_rows:
                part = table.slice(0, shards.SHARD_ROWS - rows)
                writer.write(part)
                rows, table = rows + part.num_rows, table.slice(part.num_rows)
                if rows == shards.SHARD_ROWS and table.num_rows:
                    writer.close()
                    rows, number = 0, number + 1
                    writer = shards.Writer(folder, "train", schema, number=number).__enter__()
    except BaseException as error:
        writer.__exit__(type(error), error, None)
        raise
    writer.__exit__(None, None, None)


def summary(table: Mapping[str, Any]) -> str:
    """The line of `textpipe ingest`."""
    real = f"{table['real_rows']:,} real rows" + ("" if table["repeat"] == 1 else f" written {table['repeat']} times")
    tag = f", tagged {table['tag']}" if table["tag"] else ""
    dropped = f"; {table['held_out']:,} left out that occur in valid or test" if table["held_out"] else ""
    return f"train: {real if table['repeat'] else 'no real rows'} and {table['rows']:,} synthetic ones{tag}{dropped}"
