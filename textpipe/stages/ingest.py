"""Read rows, repair or reject damaged ones, split them, and collect statistics.

data/mail.tsv                       ->  train/00000.parquet ...   row, text, label
"Please reply.\\tyes"                    valid/...  test/...
                                        stats.json, logs/origin.json, with [ingest.require] quality.json
"""

import functools
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field as Limits
from pydantic import field_validator, model_validator

from textpipe.config import plugins
from textpipe.config.chosen_fields import TaskName
from textpipe.config.fields import LONGEST_TEXT, Field
from textpipe.config.sections import Plugin, Section
from textpipe.data import catalog, cleaning, encodings, sources, split_assignment, statistics
from textpipe.data.rows import Repairs, list_columns
from textpipe.data.splits import Split
from textpipe.errors import ConfigError, suggest
from textpipe.quality import requirements
from textpipe.stages import _ingest_fields, _ingest_splits, _ingest_synthetic

INPUTS: tuple[str, ...] = ()
READING_ORDER = ("test", "valid", "train")  # train last: its leaks into the others are then known

log = logging.getLogger(__name__)


class Config(Section):
    """Where rows come from, and how they are filtered and split.

    dataset: the name of a dataset card, or files: one file, a list of files, {column: file} for parallel line files,
    or {split: any of these}. Paths are relative to the working directory. format: the file format; by default inferred from the first
    file name.
    encoding: the encoding of text files, "cp1252" for example; by default UTF-8, or detected from the file (and logged).
    columns: {field of the task: column, or its number from 0}; a field not listed is read from the column of the same name.
    filter: {column: value or values}; other rows are dropped. White space around a cell is ignored.
    keep: columns kept in addition to the fields, as texts that may be empty, for stages that use them (who wrote a reply, for example); no
    model reads them, and rows that differ only in them are equal.
    min_count: labels with fewer rows than this in the train files are dropped, or replaced by rare_label if it is set.
    rare_label: the label that replaces rare ones.
    split: shares taken from the train rows, by a hash of the source text, for splits without files. Every label stays in
    train, and is in each split whose share of its rows is at least one row.
    drop_duplicates: keep only the first of equal rows of a split.
    identify_by: source fields by which rows are compared: rows that are equal in these go into the same split, and count as duplicates
    and leaks. Leave out the headers of mails, for example, which always differ. By default all source fields for duplicates, and those with text for
    splits and leaks: name the table as well, if the same question is asked about several tables.
    on_leak: "drop" removes train rows whose source text occurs in valid or test, and valid rows whose source text
    occurs in test.
    on_invalid: bytes that are invalid in the file's encoding: replace each with U+FFFD, decode them as cp1252, drop their
    row, or raise an error.
    on_bad_rows: whether a row that does not fit its format is an error or is dropped.
    max_characters: maximum length of a text in characters; on_too_long says how longer texts are handled.
    on_too_long: for a text longer than max_characters, drop its row, cut the text, or raise an error.
    max_rows: keep only the first rows of each split, at most this many.
    require: limits for duplicates, leaks, contradicting labels and rare classes, {max_leakage = 0}; if the rows violate one, the pipeline
    stops after ingest.
    synthetic: synthetic rows, such as back-translations, that are added to train, and how many of them per real row.
    """

    task: TaskName
    dataset: str | None = None
    files: Path | list[Path] | dict[str, Path | list[Path] | dict[str, Path | list[Path]]] | None = None
    format: Plugin.of("data.formats") | None = None
    encoding: str | None = None
    columns: dict[str, str | int] = {}
    filter: dict[str, str | list[str]] = {}
    keep: list[str] = []
    min_count: int = Limits(default=1, ge=1)
    rare_label: str | None = None
    split: dict[Literal["valid", "test"], float] = {"valid": 0.1, "test": 0.1}
    drop_duplicates: bool = False
    on_leak: Literal["count", "drop"] = "count"
    on_invalid: Literal["replace", "cp1252", "drop", "error"] = "replace"
    on_bad_rows: Literal["error", "drop"] = "error"
    max_characters: int = Limits(default=LONGEST_TEXT, ge=1, le=LONGEST_TEXT)
    on_too_long: Literal["drop", "cut", "error"] = "drop"
    identify_by: list[str] = []
    max_rows: int | None = Limits(default=None, ge=1)
    require: requirements.Requirements | None = None
    synthetic: _ingest_synthetic.Synthetic | None = None

    @model_validator(mode="before")
    @classmethod
    def guess_format(cls, table: Any) -> Any:
        """Fill in `format`, so that it is part of the section and of the cache key."""
        if not isinstance(table, dict) or table.get("format") is not None:
            return table
        dataset, files = table.get("dataset"), table.get("files")
        if isinstance(dataset, str) and files is None:
            return {
                **table,
                "format": catalog.load_card(dataset).format or sources.infer_format(catalog.load_card(dataset).splits),
            }
        if files is not None and dataset is None:
            unlike = sources.find_mismatched_file(files)
            if unlike is not None:
                raise ValueError(
                    f"files: {unlike} has another format than the first; give files of one format, or name it in format"
                )
            return {**table, "format": sources.infer_format(files)}
        return table

    @field_validator("filter", mode="before")
    @classmethod
    def values_as_text(cls, table: Any) -> Any:
        """5 -> "5", true -> "true": cells are compared as texts."""
        if not isinstance(table, dict):
            return table
        return {
            name: [cleaning.cell_text(item) for item in value] if isinstance(value, list) else cleaning.cell_text(value)
            for name, value in table.items()
        }

    @field_validator("encoding")
    @classmethod
    def known_encoding(cls, name: str | None) -> str | None:
        if name is not None:
            encodings.canonical_name(name)
        return name

    @model_validator(mode="after")
    def check_choices(self) -> "Config":
        """Check that there is exactly one origin, columns name fields of the task, and shares leave rows for train."""
        if (self.dataset is None) == (self.files is None):
            raise ValueError("give either dataset (a card's name) or files" + (", not both" if self.dataset else ""))
        if self.files is not None and not isinstance(self.files, Path) and not self.files:
            raise ValueError("files: is empty; give a file, a list of files, or a table of them")
        fields = fields_of(self.task)
        _ingest_fields.check_kept(self.keep, fields)
        _ingest_fields.check_identity(self.identify_by, fields)
        known = [*(item.name for item in fields), *self.keep]
        labels = [item.name for item in fields if item.side == "target" and hasattr(item.cells, "names")]
        for key, is_set in (("min_count", self.min_count > 1), ("rare_label", self.rare_label is not None)):
            if is_set and not labels:
                raise ValueError(f"{key}: task {self.task!r} has no labels; leave it out")
        for key in (key for key in requirements.NEEDS_LABELS if self.require and key in self.require.limits):
            if not labels:
                raise ValueError(f"require.{key}: task {self.task!r} has no labels; leave it out")
        if self.rare_label is not None and (self.min_count == 1 or not self.rare_label.strip()):
            raise ValueError(
                "rare_label: replaces labels rarer than min_count; set min_count to 2 or more, and rare_label to a name"
            )
        kind = getattr(self.format, "kind", None)
        if (
            self.encoding is not None
            and kind is not None
            and not getattr(plugins.find(sources.PACKAGE, kind), "TAKES_ENCODING", False)
        ):
            raise ValueError(f"encoding: files of format {kind!r} declare their own encoding; leave it out")
        for name in self.columns:
            if name not in known:
                raise ValueError(f"columns.{name}: task {self.task!r} has no such field{suggest(name, known)}")
        _ingest_fields.check_columns(self.columns, fields)
        if self.synthetic is not None:
            _ingest_synthetic.check_fields(self.synthetic, fields)
        for name, share in self.split.items():
            if not 0 <= share < 1:
                raise ValueError(f"split.{name}: expected a share from 0 to below 1, found {share}")
        if sum(self.split.values()) >= 1:
            raise ValueError(f"split: the shares add up to {sum(self.split.values()):g} and leave nothing for train")
        return self

    def extra_files(self) -> list[Path]:
        """The files of a dataset: its card, whose checksums identify the data, and bundled data."""
        if self.dataset is None:
            return []
        card = catalog.load_card(self.dataset)
        return [card.place, *catalog.bundled_files(card)]


def fields_of(task: str) -> tuple[Field, ...]:
    """A task's fields; raises ValueError for an unknown task."""
    try:
        return plugins.find("tasks", task).FIELDS
    except ConfigError as error:
        raise ValueError(str(error)) from None


def run(config: Config, inputs: dict[str, Path], output: Path) -> None:
    """Write {split}/00000.parquet ..., stats.json and logs/origin.json (files or dataset, and columns).

    Raises DataError with file and line.
    """
    fields = all_fields(config)
    origin = sources.locate(config.dataset, config.files, config.format, required_columns(config, fields))
    rare = cleaning.RareLabels(config.min_count, config.rare_label)
    reader = new_reader(config, rare)
    if config.min_count > 1 and reader.label is not None:
        reader.count_labels(origin["train"])
    for_worker = functools.partial(new_reader, config, rare)
    splits: dict[str, Split] = {}
    shares: dict[str, float] = {name: share for name, share in config.split.items() if share > 0 and name not in origin}
    try:
        assigner = split_assignment.SplitAssigner(
            splits, reader.label, config.drop_duplicates, config.on_leak, config.max_rows
        )
        for name in READING_ORDER:
            if name in origin:
                cut = shares if name == "train" else {}
                splits.update({split: Split(split, fields, output) for split in (name, *cut)})
                _ingest_splits.write(reader, assigner, name, origin[name], cut, for_worker)
                divided = f", of which {' and '.join(cut)} get shares" if cut else ""
                log.info("%s: %s rows read%s", name, f"{reader.read[name]:,}", divided)
        if shares:
            _ingest_splits.rebalance_labels(reader, assigner, origin["train"], shares, for_worker)
        for split in splits.values():
            num_sources = sum(len(other.source_keys) for other in splits.values())
            _ingest_splits.require_rows(
                split, reader.read, reader.repairs, shares, num_sources, assigner, config.identify_by
            )
            split.close(None)
    except BaseException as error:
        for split in splits.values():
            split.close(error)
        raise
    reader.repairs.counts["unlearned_rows"] = assigner.left_out
    origin_table = {
        "origin": {"dataset": config.dataset} if config.dataset else {"files": config.model_dump(mode="json")["files"]},
        "columns": {item.name: column(config, item) for item in fields},
    }
    # Under logs/, which digests ignore: renaming a file does not change its rows.
    (output / "logs").mkdir()
    write_json(output / "logs" / "origin.json", origin_table)
    labels = {
        "rare_labels": rare.table(),
        "labels_in_train_only": split_assignment.labels_only_in_train(splits, shares),
    }
    if config.require is not None and config.require.limits:
        requirements.write(output, fields)
    added: dict[str, Any] = {}
    if config.synthetic is not None:
        added["synthetic"] = _ingest_synthetic.add_rows(
            config.synthetic,
            fields_of(config.task),
            reader.repairs,
            splits,
            output,
            drop_duplicates=config.drop_duplicates,
            identify_by=config.identify_by,
        )
    stats = {**statistics.build_stats(splits, reader.read, reader.repairs), **labels, **added}
    write_json(output / "stats.json", stats)


def all_fields(config: Config) -> tuple[Field, ...]:
    """The task's fields, then the columns of `keep`."""
    return (*fields_of(config.task), *(Field(name, "about", "text") for name in config.keep))


def new_reader(config: Config, rare: cleaning.RareLabels) -> cleaning.RowReader:
    """Reads rows as the section says; rare: which labels to keep."""
    fields = all_fields(config)
    repairs = Repairs(
        config.on_invalid, config.on_bad_rows, config.max_characters,
        on_too_long=config.on_too_long, encoding=config.encoding,
        list_columns=list_columns((item.cells, column(config, item)) for item in fields),
    )  # fmt: skip
    assert config.format is not None, "sources.locate raises for files of no known format"
    return cleaning.RowReader(
        fields, required_columns(config, fields), config.filter, config.format, repairs, rare, config.identify_by
    )


def check_thresholds(config: Config, output: Path) -> None:
    """Raise ThresholdError if the rows miss a limit of [ingest.require]."""
    if config.require is not None:
        requirements.check(config.require, output)


def write_json(path: Path, table: dict[str, Any]) -> None:
    path.write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def summary(output: Path) -> str:
    """Splits, fields and repairs, as lines for the terminal."""
    stats = json.loads((output / "stats.json").read_text(encoding="utf-8"))
    lines = [statistics.summary(stats)]
    if "synthetic" in stats:
        lines.append(_ingest_synthetic.summary(stats["synthetic"]))
    return "\n".join(lines)


def required_columns(config: Config, fields: Sequence[Field]) -> list[str | int]:
    """The columns to read: one per field, then those of filters."""
    return [*(column(config, item) for item in fields), *config.filter]


def column(config: Config, field: Field) -> str | int:
    """The column of a field."""
    if field.name not in config.columns and field.column_of is not None:
        return config.columns.get(field.column_of, field.column_of)
    return config.columns.get(field.name, field.name)
