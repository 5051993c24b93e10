"""The rows of a data set in memory, by split, with the repairs that reading took."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textpipe.config.fields import LONGEST_TEXT, Field
from textpipe.data import catalog, cleaning, hashes, shards, sources
from textpipe.data.rows import Repairs
from textpipe.data.splits import comparison_texts
from textpipe.data.statistics import MAIL_REPAIRS, REPAIRS
from textpipe.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

# Usual names of columns, tried in this order.
TEXTS = ("text", "message", "body", "sentence")
LABELS = ("label", "category", "class", "intent")


@dataclass(frozen=True)
class Columns:
    """The columns to read: texts, by name or number from 0, and the label; () and None choose by usual names."""

    texts: tuple[str | int, ...] = ()
    label: str | int | None = None


@dataclass
class Corpus:
    """The clean rows of a data set: splits {split: {field: cells}}, and the position of each row in its source.

    repairs: counts of dropped and repaired rows, named as in data/statistics.py; encodings: of files that are not UTF-8.
    """

    name: str
    fields: tuple[Field, ...]
    splits: dict[str, dict[str, "pa.Array"]] = field(default_factory=dict)
    positions: dict[str, list[int]] = field(default_factory=dict)
    repairs: dict[str, int] = field(default_factory=dict)
    encodings: dict[str, str] = field(default_factory=dict)

    @property
    def text_fields(self) -> list[str]:
        """The fields that contain text, the sources first."""
        ordered = sorted(self.fields, key=lambda item: item.side != "source")
        return [item.name for item in ordered if item.has_text and item.side != "about"]

    @property
    def compared_fields(self) -> list[str]:
        """The source fields that rows are compared by, as in ingest: those with text, or all if none has."""
        source_fields = [item for item in self.fields if item.side == "source"]
        return [item.name for item in source_fields if item.has_text] or [item.name for item in source_fields]

    @property
    def label(self) -> Field | None:
        """The target field if it is a label or a set of labels."""
        return next((item for item in self.fields if item.side == "target" and hasattr(item.cells, "names")), None)

    def rows(self, split: str) -> int:
        """The number of rows of a split."""
        return len(self.positions[split])

    def texts(self, name: str, split: str) -> list[str]:
        """The texts of a field."""
        cells = self.splits[split][name]
        return next(item for item in self.fields if item.name == name).cells.texts(cells).to_pylist()

    def text_positions(self, name: str, split: str) -> list[int]:
        """The position of the row of each text of a field; of a kind with several texts in a cell, numbers of texts."""
        positions, texts = self.positions[split], len(self.texts(name, split))
        return positions if len(positions) == texts else list(range(texts))

    def label_names(self, split: str) -> list[tuple[str, ...]]:
        """The label of each row, or its labels in order."""
        assert self.label is not None
        names = self.label.cells.names
        return [tuple(sorted(names(cell))) for cell in self.splits[split][self.label.name].to_pylist()]

    def forms(self, split: str) -> list[str]:
        """The source texts of each row in the form in which ingest compares them."""
        if not self.rows(split):
            return []
        kinds = {item.name: item.cells for item in self.fields}
        columns = [
            hashes.normal_forms(comparison_texts(self.splits[split][name].to_pylist(), kinds[name]))
            for name in self.compared_fields
        ]
        joined = columns[0] if len(columns) == 1 else map(b" \x1f ".join, zip(*columns, strict=True))
        return [form.decode() for form in joined]


def read_files(name: str, files: Mapping[str, Sequence[Path]], columns: Columns, form: Any = None) -> Corpus:
    """Read {split: files}; form: their format as in [ingest] format, guessed from the first name if None. Raises DataError."""
    first = next(iter(files.values()))[0]
    split_files = {split: list(paths) for split, paths in files.items()}
    parallel = next(iter(split_files.values()))
    options = sources.format_options(first, form or sources.infer_format(parallel), given=form is not None)
    texts = columns.texts or ((0,) if options.kind == "lines" and len(parallel) == 1 else ())
    origin = locate_files(split_files, options, texts)
    texts = texts or (find_column(origin, options, TEXTS),)
    label = columns.label
    if label is None and not columns.texts:
        label = find_column(origin, options, LABELS, required=False)
    return read(name, origin, options, Columns(texts, label))


def locate_files(split_files: Mapping[str, list[Path]], options: Any, texts: Sequence[str | int]) -> dict[str, Any]:
    """{split: sources}; without a train split the files are not those of a pipeline, but can be measured."""
    if "train" in split_files:
        return sources.locate(None, dict(split_files), options, texts)
    origin = sources.locate(None, {**split_files, "train": next(iter(split_files.values()))}, options, texts)
    return {split: origin[split] for split in split_files}


def find_column(
    origin: Mapping[str, Sequence[Any]], options: Any, names: Sequence[str], *, required: bool = True
) -> Any:
    """The first of the usual names that is a column of the first file; None without one, or DataError if it is required."""
    split, (source, *_) = next(iter(origin.items()))
    problem = ""
    for name in names:
        try:
            next(sources.read(source, options, Repairs(on_bad_rows="drop"), [name], split), None)
        except DataError as error:
            if "no column" not in str(error):
                raise
            problem = problem or str(error)
            continue
        return name
    if required:
        raise DataError(f"{problem}; name the column of the texts with --text COLUMN, or its number from 0")
    return None


def read_dataset(name: str, columns: Columns) -> Corpus:
    """Read all splits of a dataset's card; its files must be on disk, or are downloaded. Raises DataError."""
    card = catalog.load_card(name)
    known = list(card.columns)
    texts = columns.texts or tuple([item for item in TEXTS if item in known][:1] or known[:1])
    label = columns.label
    if label is None and not columns.texts:
        label = next((item for item in LABELS if item in known), None)
    column_names = [*texts, *([] if label is None else [label])]
    options = sources.format_options(card.place, card.format or sources.infer_format(card.splits), given=False)
    return read(name, sources.locate(name, None, options, column_names), options, Columns(texts, label))


def read(name: str, origin: Mapping[str, Sequence[Any]], options: Any, columns: Columns) -> Corpus:
    """Read the rows of sources; rows that do not fit the format are dropped and counted."""
    fields = [Field(f"column {text}" if isinstance(text, int) else text, "source", "text") for text in columns.texts]
    column_names = list(columns.texts)
    if columns.label is not None:
        title = f"column {columns.label}" if isinstance(columns.label, int) else columns.label
        fields.append(Field(title, "target", "label"))
        column_names.append(columns.label)
    if len({item.name for item in fields}) < len(fields):
        names = ", ".join(item.name for item in fields)
        raise DataError(f"--text, --label: expected different columns, found {names}; name each column once")
    repairs = Repairs(on_bad_rows="drop", max_characters=LONGEST_TEXT)
    reader = cleaning.RowReader(fields, column_names, {}, options, repairs, cleaning.RareLabels(1, None))
    corpus = Corpus(name, tuple(fields))
    for split in (name for name in shards.SPLITS if name in origin):
        batches = list(reader.batches(split, origin[split]))
        add_split(corpus, split, [batch.columns for batch in batches], [batch.rows for batch in batches])
    corpus.repairs = {key: count for key, count in repairs.counts.items() if count}
    corpus.encodings = {path: encoding.name for path, encoding in sorted(repairs.encodings.items())}
    if not any(map(corpus.rows, corpus.splits)):
        places = ", ".join(str(source) for split in origin.values() for source in split)
        dropped = "; ".join(f"{(REPAIRS | MAIL_REPAIRS)[key]}: {count:,}" for key, count in corpus.repairs.items())
        raise DataError(
            f"{places}: no rows with a text{f' ({dropped})' if dropped else ''}; check the columns, or give a file with rows below its header"
        )
    return corpus


def add_split(corpus: Corpus, split: str, columns: list[list[Any]], rows: list[Any]) -> None:
    """Add the batches of a split: columns of cells in the order of the fields, and their positions."""
    import pyarrow as pa

    corpus.splits[split] = {
        item.name: pa.concat_arrays([batch[at] for batch in columns]) if columns else pa.array([], item.cells.arrow())
        for at, item in enumerate(corpus.fields)
    }
    corpus.positions[split] = [position for batch in rows for position in batch.tolist()]


def read_ingested(name: str, folder: Path, fields: Sequence[Field], stats: Mapping[str, Any] | None = None) -> Corpus:
    """Read the rows that ingest wrote; stats: its stats.json, for the repairs."""
    data_fields = tuple(item for item in fields if item.side != "about")
    corpus = Corpus(name, data_fields)
    for split in shards.SPLITS:
        if shards.paths(folder, split):
            batches = list(shards.read(folder, split, ["row", *(item.name for item in data_fields)]))
            columns = [batch.columns[1:] for batch in batches]
            add_split(corpus, split, columns, [batch.column(0).to_numpy() for batch in batches])
    if stats is not None:
        corpus.repairs = {key: count for key, count in stats["repairs"].items() if count}
        corpus.encodings = {path: entry["encoding"] for path, entry in stats.get("encodings", {}).items()}
    return corpus
