"""DataFrames, Series and lists of a Python caller: as the rows a model is asked, and as a file that ingest reads.

pandas is imported by whoever makes a frame; nothing here imports it for a caller who has none.
"""

import hashlib
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textpipe.config import plugins
from textpipe.data import shards, text_file
from textpipe.data.rows import value_text
from textpipe.errors import DataError, suggest
from textpipe.pipeline.runner import Pipeline

if TYPE_CHECKING:
    import pandas as pd

FOLDER = "frames"  # below the artifacts
# What stands in for the origin of a pipeline file that has none of its own, until the frames are written.
UNREAD = ("ingest.dataset=", "ingest.files=frames", "ingest.format=parquet")

Row = str | Mapping[str, str]


def is_frame(data: object) -> bool:
    """Whether something is a DataFrame."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(data, pandas.DataFrame)


def is_series(data: object) -> bool:
    """Whether something is a Series."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(data, pandas.Series)


# Rows for a model


def rows_of(
    data: Any, fields: Sequence[str] | Mapping[str, str], *, columns: Mapping[str, str | int] | None = None
) -> tuple[list[Row], "pd.Index | None"]:
    """Rows as models take them, and the index of a DataFrame or Series.

    fields: their names, of texts, or {field: dtype}. data: a DataFrame with a column for each field (others are left
    alone), a Series of texts, or any iterable of texts or of dicts by field. columns: {field: column of the DataFrame, or its number from 0}, where it is not the field's name.
    Raises DataError for a single text or dict, which would be taken apart, and for what is no text.
    """
    dtypes = dict(fields) if isinstance(fields, Mapping) else dict.fromkeys(fields, "string")
    fields = tuple(dtypes)
    if isinstance(data, str | bytes):
        raise DataError(
            f"rows: expected texts or a table, found one text, {short(data)}; give a list, for example "
            f"predict(model, [{short(data)}])"
        )
    if isinstance(data, Mapping):
        raise DataError(
            "rows: expected rows, found one dict; give a list of dicts, or pandas.DataFrame(...) of columns"
        )
    if is_frame(data):
        return of_frame(data, dtypes, columns or {}), data.index
    if columns:
        raise DataError(f"columns: are of a DataFrame, and the rows are a {type(data).__name__}; leave columns out")
    if is_series(data):
        if len(fields) != 1:
            raise DataError(f"rows: the model takes {', '.join(fields)}; give a DataFrame with these columns")
        return list(texts(data, "rows", missing=None)), data.index
    if not isinstance(data, Iterable):
        raise DataError(f"rows: expected texts, dicts or a DataFrame, found {type(data).__name__}")
    return [checked(row, number, fields) for number, row in enumerate(data)], None


def of_frame(frame: "pd.DataFrame", dtypes: Mapping[str, str], columns: Mapping[str, str | int]) -> list[Row]:
    """The rows of a frame by field; a number that is missing is an empty cell."""
    fields = tuple(dtypes)
    for name in columns:
        if name not in fields:
            raise DataError(f"columns: the model has no field {name!r}{suggest(name, fields)}")
    names = names_of(frame, "rows")
    cure = f"; say which column it is: columns={{{fields[0]!r}: ...}}"
    wanted = [columns.get(field, field) for field in fields]
    at = text_file.columns_at("rows", names, wanted, cure)
    found = [
        texts(frame.iloc[:, place], "rows", missing=None if dtype == "string" else "")
        for place, dtype in zip(at, dtypes.values(), strict=True)
    ]
    return [dict(zip(fields, row, strict=True)) for row in zip(*found, strict=True)]


def checked(row: Any, number: int, fields: Sequence[str]) -> Row:
    """A row of a list: a text or a dict; NumPy's texts are texts."""
    if isinstance(row, Mapping):
        return row
    if isinstance(row, bytes):
        row = row.decode(errors="replace")
    if not isinstance(row, str):
        raise DataError(f"row {number}: expected a text or a dict by field, found {describe(row)}")
    if len(fields) > 1:
        raise DataError(f"row {number}: expected a dict with {' and '.join(fields)}, found one text, {short(row)}")
    return row


def as_frame(found: Sequence[Mapping[str, Any]], index: "pd.Index | None", names: Sequence[str] = ()) -> "pd.DataFrame":
    """Answers as a DataFrame, a column for each output, with the index of the rows that were asked.

    names: the outputs, where there may be no answer to read them from.
    """
    import pandas as pd

    return pd.DataFrame(
        list(found),
        columns=None if found else list(names),
        index=index if index is not None else pd.RangeIndex(len(found)),
    )


# Cells


def names_of(frame: "pd.DataFrame", place: str) -> list[str]:
    """The names of a frame's columns, numbers as texts; raises DataError for names of several levels."""
    if frame.columns.nlevels > 1:
        raise DataError(
            f"{place}: its columns have {frame.columns.nlevels} levels (a MultiIndex); flatten them, for example "
            "frame.columns = frame.columns.map('_'.join)"
        )
    return [str(name) for name in frame.columns]


def texts(column: "pd.Series", place: str, *, missing: str | None) -> Iterable[str]:
    """The cells of a column as texts, as those of a file would be: 3 -> "3", True -> "true", bytes by UTF-8.

    missing: what stands for None and NaN; None refuses them. Whole numbers that pandas holds as floating-point ones, for
    it has no other place for a missing one, are written as whole numbers. Raises DataError naming the row.
    """
    import pandas as pd

    values = column.tolist()
    absent = column.isna().tolist()
    whole = pd.api.types.is_float_dtype(column.dtype) and all(
        gone or float(value).is_integer() for value, gone in zip(values, absent, strict=True)
    )
    if not whole and str(column.dtype) in ("float32", "float16"):
        values = [str(value) for value in column.to_numpy()]  # .1, and not the float64 next to it
    name = f" {column.name!r}" if column.name is not None else ""
    for number, (value, gone) in enumerate(zip(values, absent, strict=True)):
        if isinstance(gone, bool) and gone:
            if missing is None:
                what = f"column{name}" if name else "the text"
                raise DataError(
                    f"{place}, row {number}{label(column, number)}: {what} is missing ({value}); fill it, for example with "
                    ".fillna(''), or drop the row"
                )
            yield missing
            continue
        if missing is None and isinstance(value, bytes):
            value = value.decode(errors="replace")
        text = cell(int(value) if whole else value)
        if text is None:
            raise DataError(
                f"{place}, row {number}{label(column, number)}: column{name} holds {describe(value)} where a text was "
                "expected; convert the column with .astype(str)"
            )
        yield text


def cell(value: Any) -> str | None:
    """A value as text; None for what is no text, number or truth value. Bytes that are not UTF-8 become lone surrogates."""
    if isinstance(value, bytes | bytearray):
        return text_file.decode(bytes(value))
    if hasattr(value, "item") and not isinstance(value, str) and getattr(value, "ndim", 1) == 0:
        value = value.item()  # NumPy's own numbers, of which an object column may hold some
    return value_text(value)


def label(column: "pd.Series", number: int) -> str:
    """Where the row stands by its index, if that is not its number."""
    given = column.index[number]
    return "" if isinstance(given, int) and given == number else f" (index {given!r})"


def describe(value: object) -> str:
    """A value and its type, for messages."""
    return f"{short(value)} ({type(value).__name__})"


def short(value: object) -> str:
    """A value as Python writes it, cut."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


# A file for ingest


def pipeline_of(pipeline: Pipeline | str | Path, data: Any, artifacts: Path) -> Pipeline:
    """A pipeline whose rows are those of DataFrames: one, which is split, or {"train": ..., "valid": ..., "test": ...}.

    The columns that the pipeline reads are written to artifacts/frames, under a name that says what they hold, so that
    equal rows are one file and find the results they had. [ingest]'s other settings count as for any file.
    """
    if not isinstance(pipeline, Pipeline):
        pipeline = Pipeline.load(pipeline, UNREAD)
    section: Any = pipeline.sections["ingest"]
    ingest = plugins.find("stages", "ingest")
    fields = plugins.find("tasks", pipeline.task).FIELDS
    wanted = ingest.wanted(section, fields)
    given = dict(data) if isinstance(data, Mapping) else {"": data}
    if isinstance(data, Mapping):
        for split in given:
            if split not in shards.SPLITS:
                raise DataError(f"data[{split!r}]: no such split{suggest(str(split), shards.SPLITS)}")
        if "train" not in given:
            raise DataError(f"data: no train split, only {', '.join(given) or 'an empty dict'}; give data['train']")
    files: dict[str, Path] = {}
    names: list[str] = []
    for split, frame in given.items():
        place = f"data[{split!r}]" if split else "data"
        files[split], own = write(frame, place, wanted, artifacts / FOLDER)
        if names and own != names:
            raise DataError(f"{place}: its columns are {', '.join(own)} where other splits have {', '.join(names)}")
        names = own
    columns = {field.name: name for field, name in zip(fields, names, strict=False)}
    table = {name: getattr(section, name) for name in section.model_fields_set}
    table |= {"dataset": None, "format": "parquet", "files": files.get("", files), "columns": columns}
    return replace(pipeline, sections={**pipeline.sections, "ingest": type(section)(**table)})


def write(frame: Any, place: str, wanted: Sequence[str | int], folder: Path) -> tuple[Path, list[str]]:
    """The wanted columns of a frame as a Parquet file named by its contents, and their names, in the order wanted."""
    if not is_frame(frame):
        raise DataError(f"{place}: expected a pandas DataFrame, found {describe(frame)}")
    names = names_of(frame, place)
    cure = "; say which column holds which field in [ingest] columns"
    chosen = text_file.columns_at(place, names, wanted, cure)
    if not len(frame):
        raise DataError(f"{place}: the DataFrame has no rows; give one with rows")
    columns = {}
    for at in dict.fromkeys(chosen):
        cells = texts(frame.iloc[:, at], place, missing="")
        columns[names[at]] = [encode(text) for text in cells]
    path = folder / f"{digest_of(columns)[:32]}.parquet"
    if not path.exists():
        write_parquet(path, columns)
    return path, [names[at] for at in chosen]


def encode(text: str) -> bytes:
    """UTF-8; lone surrogates stand for the bytes they were read from, and others become bytes that ingest will mend."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        pass
    try:
        return text.encode(errors="surrogateescape")
    except UnicodeEncodeError:
        return text.encode(errors="surrogatepass")


def digest_of(columns: Mapping[str, Sequence[bytes]]) -> str:
    """SHA-256 of names and cells, each with its length."""
    found = hashlib.sha256()
    for name, cells in columns.items():
        for part in (name.encode(errors="surrogatepass"), *cells):
            found.update(len(part).to_bytes(8, "little"))
            found.update(part)
        found.update(b"\n")
    return found.hexdigest()


def write_parquet(path: Path, columns: Mapping[str, Sequence[bytes]]) -> None:
    """A file of binary columns, complete or absent."""
    import os

    import pyarrow as pa
    import pyarrow.parquet as pq

    from textpipe.cache import store

    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    table = pa.table({name: pa.array(cells, pa.large_binary()) for name, cells in columns.items()})
    with store.out_of_space(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            pq.write_table(table, temporary)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


__all__ = ["as_frame", "is_frame", "pipeline_of", "rows_of"]
