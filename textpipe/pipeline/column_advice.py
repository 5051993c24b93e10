"""Explain a missing column in the options of `textpipe new`, with the columns that the file has."""

import re
from collections.abc import Sequence
from typing import Any

from textpipe.config.fields import Field
from textpipe.data import delimited, sources
from textpipe.data.formats import threads
from textpipe.data.rows import Repairs
from textpipe.errors import ColumnError, DataError, join_names, suggest
from textpipe.pipeline import columns_option, shell_text
from textpipe.pipeline.toml_text import toml

MAILBOX = {"text": "subject+body", "message": "body", "reply": "reply", "label": "answered"}
PLACEHOLDER = "COLUMN"
DELIMITED = ("csv", "tsv")


def explain(error: ColumnError, section: Any, fields: Sequence[Field], *, header: bool, chosen: bool) -> DataError:
    """The error in terms of `new`. section: [ingest]; chosen: whether the fields were made from columns."""
    kind = section.format.kind
    source, split = find_source(error, section)
    if error.column in error.names:
        return DataError(f"{error.source}: {repeated(error, kind)}")
    mapping = {field.name: section.columns.get(field.name, field.name) for field in fields}
    problem = f"{error.source}: no column {error.column!r}"
    if kind in DELIMITED and not header:
        example = numbered(fields)
        return DataError(
            f"{problem}, as with --header none columns have numbers from 0; give them, for example {example}"
        )
    delimiter = delimited.likely_delimiter(error.names) if kind in DELIMITED else None
    if delimiter:
        return DataError(
            f"{problem}, but one column, {error.names[0]!r}; {split_cure(section, mapping, fields, source, split, delimiter)}"
        )
    listed = f"{problem}; the columns are {join_names(map(repr, error.names))}"
    if chosen:
        close = suggest(error.column, error.names)
        return DataError(f"{listed}; name one of these in --columns{close if 'did you mean' in close else ''}")
    options = option(guess(mapping, fields, error.names, samples(section, source, split, error.names)))
    cure = f"name those of the fields, for example {options}"
    if unnamable := [name for name in error.names if not can_be_named(name)]:
        cure += f"; --columns cannot name {join_names(map(repr, unnamable))}: rename it in the file"
    if kind in DELIMITED:
        cure += f"; if the first line is no header: --header none {numbered(fields)}"
    return DataError(f"{listed}; {cure}")


def repeated(error: ColumnError, kind: str) -> str:
    """What is wrong with a column that occurs twice, and the cure."""
    names = error.names
    problem = f"{names.count(error.column)} columns are called {error.column!r}; rename one in the file"
    if kind not in DELIMITED:
        return problem
    unique: list[str] = []
    for name in names:
        unique.append(columns_option.unused_name(name, unique))
    return f"{problem}, or name them all: --format {shell_text.word(toml({'kind': kind, 'columns': unique}))}"


def split_cure(
    section: Any, mapping: dict[str, Any], fields: Sequence[Field], source: Any, split: str, delimiter: str
) -> str:
    """The options that read a file with another delimiter, and name its columns if they differ from the fields."""
    given = {name: value for name, value in section.format.model_dump(exclude_unset=True).items() if name != "quoting"}
    table = {**given, "kind": "csv", "delimiter": delimiter}
    options = f"--format {shell_text.word(toml(table))}"
    changed = section.model_copy(update={"format": sources.format_options(source, table, given=True)})
    try:
        next(
            sources.read(source, changed.format, Repairs(encoding=section.encoding), list(mapping.values()), split),
            None,
        )
    except ColumnError as error:
        rows = samples(changed, source, split, error.names)
        options += f" {option(guess(mapping, fields, error.names, rows))}"
    except DataError:  # of a row, which is reported when the file is read so
        pass
    shown = "a tab" if delimiter == "\t" else repr(delimiter)
    return f"if {shown} separates the columns, give {options}"


def find_source(error: ColumnError, section: Any) -> tuple[Any, str]:
    """The source that an error is about, and its split."""
    origin = sources.locate(None, section.files, section.format, list(section.columns.values()))
    found = [(source, split) for split, files in origin.items() for source in files]
    return next((pair for pair in found if error.source.startswith(str(pair[0]))), found[0])


def samples(section: Any, source: Any, split: str, names: Sequence[str]) -> dict[str, list[str]]:
    """The first cells of each column; none where they cannot be read."""
    repairs = Repairs(encoding=section.encoding, list_columns=frozenset(names))
    try:
        rows = next(sources.read(source, section.format, repairs, names, split), None)
    except DataError:
        return {}
    return dict(zip(names, rows.columns, strict=True)) if rows is not None else {}


def guess(
    mapping: dict[str, Any], fields: Sequence[Field], names: Sequence[str], cells: dict[str, list[str]]
) -> dict[str, Any]:
    """{field: column}: those that exist, then columns with the field's name in theirs, then by their cells.

    {"text": "text", "label": "label"}, ["ID", "E-Mail Text (raw)", "needs reply?"]
        -> {"text": "E-Mail Text (raw)", "label": "needs reply?"}
    """
    if list(names) == list(threads.COLUMNS):
        return {name: MAILBOX.get(name, PLACEHOLDER) for name in mapping}
    columns = {name: column for name, column in mapping.items() if column in names}

    def unused() -> list[str]:
        return [name for name in names if name not in columns.values() and can_be_named(name)]

    for name in [name for name in mapping if name not in columns]:
        fitting = [column for column in unused() if name in re.split(r"[\W_]+", column.casefold())]
        columns.update({name: fitting[0]} if fitting else {})
    for field in fields:
        if field.name not in columns and hasattr(field.cells, "names"):
            kinds = {name: len(set(cells[name])) for name in unused() if name in cells}
            classes = [name for name, count in kinds.items() if 1 < count <= max(2, len(cells[name]) / 2)]
            columns.update({field.name: min(classes, key=lambda name: kinds[name])} if classes else {})
    texts = [field.name for field in fields if field.name not in columns and field.has_text]
    by_length = sorted((name for name in unused() if name in cells), key=lambda name: -sum(map(len, cells[name])))
    longest = by_length[: len(texts)]
    columns.update(zip(texts, (name for name in names if name in longest), strict=False))
    missing = [name for name in mapping if name not in columns]
    if len(missing) == len(unused()) == 1:
        columns[missing[0]] = unused()[0]
    return {name: columns.get(name, PLACEHOLDER) for name in mapping}


def can_be_named(name: str) -> bool:
    """Whether --columns can name a column: commas separate pairs there, and plus signs columns."""
    return bool(name) and "," not in name and name == name.strip() and columns_option.split_columns(name) == [name]


def option(columns: dict[str, Any]) -> str:
    """--columns with these, without the fields whose column has their name."""
    pairs = [f"{field}={column}" for field, column in columns.items() if field != column]
    return f"--columns {shell_text.quoted(','.join(pairs))}"


def numbered(fields: Sequence[Field]) -> str:
    """--columns with a number for each field."""
    return option({field.name: number for number, field in enumerate(fields)})
