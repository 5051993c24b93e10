"""Read rows, mend or refuse damaged ones, split them, and count what was found.

data/mail.tsv                       ->  train/00000.parquet ...   row, text, label
"Please reply.\\tyes"                    valid/...  test/...
                                        stats.json, logs/origin.json
"""

import json
import logging
from collections import Counter
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
from textpipe.data.rows import Repairs
from textpipe.data.splits import Split
from textpipe.errors import ConfigError, DataError, suggest

INPUTS: tuple[str, ...] = ()
READING_ORDER = ("test", "valid", "train")  # train last: only then is it known which of its sources leak

log = logging.getLogger(__name__)


class Config(Section):
    """Where rows come from, and what becomes of them.

    dataset: the name of a dataset card, or files: one file, a list of files, {column: file} for line files side by
    side, or {split: any of these}. Paths are relative to the working directory. format: guessed from the first name.
    encoding: of text files, "cp1252" for example; by default UTF-8, or what a file shows (a guess is logged).
    columns: {field of the task: column, or its number from 0}; a field not named has its own name as column.
    filter: {column: value or values}; other rows are left out. Blanks around a cell do not count.
    min_count: labels with fewer rows in the train files are left out, or become rare_label where that is given.
    rare_label: the label that rare ones become.
    split: shares cut from the train rows, by a hash of the source text, for splits the files do not give. Every label
    stays in train, and is in a split that has a share for it of a row or more.
    drop_duplicates: keep the first of equal rows of a split.
    on_leak: "drop" removes train rows whose source text occurs in valid or test, and valid rows whose source text
    occurs in test.
    on_invalid: what becomes of bytes that are not of the file's encoding: U+FFFD for each, what cp1252 reads there, their row dropped, or
    an error.
    on_bad_rows: what becomes of rows that do not fit their format.
    max_characters: a row with a longer text in a field is dropped, or the text cut, or it is an error, as on_too_long says.
    on_too_long: what becomes of a row with a longer text than max_characters.
    max_rows: rows kept of each split, the first ones.
    """

    task: TaskName
    dataset: str | None = None
    files: Path | list[Path] | dict[str, Path | list[Path] | dict[str, Path | list[Path]]] | None = None
    format: Plugin.of("data.formats") | None = None
    encoding: str | None = None
    columns: dict[str, str | int] = {}
    filter: dict[str, str | list[str]] = {}
    min_count: int = Limits(default=1, ge=1)
    rare_label: str | None = None
    split: dict[Literal["valid", "test"], float] = {"valid": 0.1, "test": 0.1}
    drop_duplicates: bool = False
    on_leak: Literal["count", "drop"] = "count"
    on_invalid: Literal["replace", "cp1252", "drop", "error"] = "replace"
    on_bad_rows: Literal["error", "drop"] = "error"
    max_characters: int = Limits(default=LONGEST_TEXT, ge=1, le=LONGEST_TEXT)
    on_too_long: Literal["drop", "cut", "error"] = "drop"
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
            other = sources.unlike(files)
            if other is not None:
                raise ValueError(
                    f"files: {other} is of another format than the first; give files of one format, or name it in format"
                )
            return {**table, "format": sources.guess(files)}
        return table

    @field_validator("filter", mode="before")
    @classmethod
    def values_as_text(cls, table: Any) -> Any:
        """5 -> "5", true -> "true": cells are texts."""
        if not isinstance(table, dict):
            return table
        return {
            name: [cleaning.plain_text(item) for item in value]
            if isinstance(value, list)
            else cleaning.plain_text(value)
            for name, value in table.items()
        }

    @field_validator("encoding")
    @classmethod
    def known_encoding(cls, name: str | None) -> str | None:
        if name is not None:
            encodings.checked(name)
        return name

    @model_validator(mode="after")
    def check_choices(self) -> "Config":
        """Exactly one origin, columns of the task's fields, shares that leave rows for train."""
        if (self.dataset is None) == (self.files is None):
            raise ValueError("give either dataset (a card's name) or files" + (", not both" if self.dataset else ""))
        if self.files is not None and not isinstance(self.files, Path) and not self.files:
            raise ValueError("files: names no file; give a file, a list of files, or a table of them")
        fields = fields_of(self.task)
        known = [item.name for item in fields]
        labels = [item.name for item in fields if item.side == "target" and hasattr(item.cells, "names")]
        for key, given in (("min_count", self.min_count > 1), ("rare_label", self.rare_label is not None)):
            if given and not labels:
                raise ValueError(f"{key}: task {self.task!r} has no labels; leave it out")
        if self.rare_label is not None and (self.min_count == 1 or not self.rare_label.strip()):
            raise ValueError("rare_label: is the name that rarer labels get; set min_count to 2 or more, and a name")
        kind = getattr(self.format, "kind", None)
        if (
            self.encoding is not None
            and kind is not None
            and not getattr(plugins.find(sources.ROOM, kind), "TAKES_ENCODING", False)
        ):
            raise ValueError(f"encoding: files of format {kind!r} say themselves what their texts are; leave it out")
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
        return plugins.find("tasks", task).FIELDS
    except ConfigError as error:
        raise ValueError(str(error)) from None


def run(config: Config, inputs: dict[str, Path], output: Path) -> None:
    """Write {split}/00000.parquet ..., stats.json and logs/origin.json (files or dataset, and columns); raises DataError
    naming file and line.
    """
    fields = fields_of(config.task)
    origin = sources.locate(config.dataset, config.files, config.format, wanted(config, fields))
    assert config.format is not None, "locate has refused what no format reads"
    repairs = Repairs(
        config.on_invalid, config.on_bad_rows, config.max_characters,
        on_too_long=config.on_too_long, encoding=config.encoding,
    )  # fmt: skip
    rare = cleaning.RareLabels(config.min_count, config.rare_label)
    reader = cleaning.Reader(fields, wanted(config, fields), config.filter, config.format, repairs, rare)
    if config.min_count > 1 and reader.label is not None:
        reader.count_labels(origin["train"])
    splits: dict[str, Split] = {}
    shares: dict[str, float] = {name: share for name, share in config.split.items() if share > 0 and name not in origin}
    try:
        dealer = split_assignment.Dealer(splits, reader.label, config.drop_duplicates, config.on_leak, config.max_rows)
        for name in READING_ORDER:
            if name in origin:
                cut = shares if name == "train" else {}
                splits.update({other: Split(other, fields, output) for other in (name, *cut)})
                write(reader, dealer, name, origin[name], cut)
                log.info("%s: %s rows read", name, f"{reader.read[name]:,}")
        if shares:
            rebalance_labels(reader, dealer, origin["train"], shares)
        for split in splits.values():
            require_rows(split, reader.read, repairs, shares)
            split.close(None)
    except BaseException as error:
        for split in splits.values():
            split.close(error)
        raise
    repairs.counts["unlearned_rows"] = dealer.left_out
    told = {
        "origin": {"dataset": config.dataset} if config.dataset else {"files": config.model_dump(mode="json")["files"]},
        "columns": {item.name: config.columns.get(item.name, item.name) for item in fields},
    }
    # Among the logs, which no digest counts: rows from a file that was renamed are the same rows.
    (output / "logs").mkdir()
    write_json(output / "logs" / "origin.json", told)
    labels = {"rare_labels": rare.table(), "labels_in_train_only": split_assignment.train_only(splits, shares)}
    write_json(output / "stats.json", {**statistics.tables(splits, reader.read, repairs), **labels})


def write_json(path: Path, table: dict[str, Any]) -> None:
    path.write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def write(
    reader: cleaning.Reader,
    dealer: split_assignment.Dealer,
    name: str,
    files: Sequence[sources.Source],
    shares: dict[str, float],
) -> None:
    """Write the rows of one split's files to it and to the splits that shares cut from it."""
    fed = [dealer.splits[other] for other in (name, *shares)]
    for batch in reader.batches(name, files):
        dealer.deal(batch, name, shares)
        if dealer.max_rows is not None and all(split.counts["rows"] >= dealer.max_rows for split in fed):
            break
    if not reader.read[name]:
        places = ", ".join(str(source) for source in files)
        raise DataError(f"{places}: no row was found for {name}; give a file with rows below its header")


def rebalance_labels(
    reader: cleaning.Reader, dealer: split_assignment.Dealer, files: Sequence[sources.Source], shares: dict[str, float]
) -> None:
    """Write the train files once more where the hash left train without a label, or a split without one it has room for."""
    moves = split_assignment.pulls(dealer, shares)
    if dealer.max_rows is not None:
        if moves:  # the rows that would be moved may lie behind those that are kept
            rewrite_train(reader, dealer, files, shares, {}, frozenset(split_assignment.counts(dealer.splits["train"]) or ()))
        return
    moves |= split_assignment.pushes(dealer, shares)
    while moves:
        rewrite_train(reader, dealer, files, shares, dealer.moves | moves, None)
        moves = split_assignment.pulls(dealer, shares)


def rewrite_train(
    reader: cleaning.Reader,
    dealer: split_assignment.Dealer,
    files: Sequence[sources.Source],
    shares: dict[str, float],
    moves: dict[int, str],
    classes: frozenset[str] | None,
) -> None:
    """Write the train files anew with other moves and classes."""
    for name in ("train", *shares):
        split = dealer.splits[name]
        split.discard()
        dealer.splits[name] = Split(name, split.fields, split.output)
    dealer.first, dealer.moves, dealer.classes = split_assignment.FirstTexts(), moves, classes
    reader.forget("train")
    write(reader, dealer, "train", files, shares)


def summary(output: Path) -> str:
    """Splits, fields and repairs as lines for the terminal."""
    return statistics.summary(json.loads((output / "stats.json").read_text(encoding="utf-8")))


def wanted(config: Config, fields: Sequence[Field]) -> list[str | int]:
    """The columns to read: one per field, then those a filter looks at."""
    return [*(config.columns.get(item.name, item.name) for item in fields), *config.filter]


def require_rows(split: Split, read: Counter[str], repairs: Repairs, shares: dict[str, float]) -> None:
    """A split that was asked for must have rows, and a label in train at least two classes."""
    rows = split.counts["rows"]
    if not rows and split.name == "train":
        causes = [
            f"{(statistics.REPAIRS | statistics.MAIL_REPAIRS)[name]}: {count:,}"
            for name, count in repairs.counts.items()
            if count
        ]
        causes.append(f"dropped for leaking into valid or test: {split.counts['leaks_dropped']:,}")
        raise DataError(
            f"train: no rows left of {read['train']:,} read ({'; '.join(causes)}); mend the file or ask for less"
        )
    if not rows and split.name in shares:
        found = f"a share of {shares[split.name]:g} of the {read['train']:,} rows read"
        cure = f"give more rows, a larger share in split (0 for no {split.name}), or a file of its own"
        raise DataError(f"{split.name}: no rows fell into it ({found}); {cure}")
    if not rows:
        raise DataError(f"{split.name}: no rows left of {read[split.name]:,} read; mend the file, or ask for less")
    for name, profile in split.profiles.items():
        fault = profile.fault(name, rows) if split.name == "train" and hasattr(profile, "fault") else None
        if fault:
            raise DataError(f"train: {fault}")
