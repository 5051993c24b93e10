"""DataFrames, Series and lists of a Python caller, converted to rows for a model; frame_files.py writes them for ingest.

pandas is imported here only if the caller passes or requests a DataFrame.
"""

import sys
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from textpipe.data import text_file
from textpipe.data.rows import value_text
from textpipe.errors import DataError, suggest
from textpipe.inference.cells import is_list, to_list

if TYPE_CHECKING:
    import pandas as pd

Row = str | Mapping[str, Any]


def is_frame(data: object) -> bool:
    """Whether data is a DataFrame."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(data, pandas.DataFrame)


def is_series(data: object) -> bool:
    """Whether data is a Series."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(data, pandas.Series)


# Rows for a model


def to_rows(
    data: Any, fields: Sequence[str] | Mapping[str, str], *, columns: Mapping[str, str | int] | None = None,
    lists: Container[str | int] = (),
) -> tuple[list[Row], "pd.Index | None"]:  # fmt: skip
    """Rows for a model, and the index of a DataFrame or Series.

    fields: names of text fields, or {field: dtype}. data: a DataFrame with a column for each field (other columns are
    ignored), a Series of texts, or any iterable of texts or of dicts by field. columns: {field: column of the DataFrame,
    or its number from 0} where the names differ. lists: the fields whose cells may be lists, which stay lists. Raises DataError
    for a single text or dict, and for cells that are not texts.
    """
    dtypes = dict(fields) if isinstance(fields, Mapping) else dict.fromkeys(fields, "string")
    fields = tuple(dtypes)
    if isinstance(data, str | bytes):
        raise DataError(
            f"rows: expected texts or a table, found one text, {short_repr(data)}; give a list, for example "
            f"predict(model, [{short_repr(data)}])"
        )
    if isinstance(data, Mapping):
        raise DataError(
            "rows: expected rows, found one dict; give a list of dicts, or pandas.DataFrame(...) of columns"
        )
    if is_frame(data):
        return frame_to_rows(data, dtypes, columns or {}, lists), data.index
    if columns:
        raise DataError(
            f"columns: only valid for a DataFrame, but the rows are a {type(data).__name__}; leave columns out"
        )
    if is_series(data):
        if len(fields) != 1:
            raise DataError(f"rows: the model reads {', '.join(fields)}; give a DataFrame with these columns")
        cells = cell_texts(data, "rows", missing=None, lists=fields[0] in lists)
        return [dict.fromkeys(fields, cell) if isinstance(cell, list) else cell for cell in cells], data.index
    if not isinstance(data, Iterable):
        raise DataError(f"rows: expected texts, dicts or a DataFrame, found {type(data).__name__}")
    return [check_row(row, number, fields) for number, row in enumerate(data, 1)], None


def frame_to_rows(
    frame: "pd.DataFrame", dtypes: Mapping[str, str], columns: Mapping[str, str | int], lists: Container[str | int] = ()
) -> list[Row]:
    """The rows of a frame by field; a missing number becomes an empty cell."""
    fields = tuple(dtypes)
    for name in columns:
        if name not in fields:
            raise DataError(f"columns: the model has no field {name!r}{suggest(name, fields)}")
    names = column_names(frame, "rows")
    cure = f"; say which column it is: columns={{{fields[0]!r}: ...}}"
    requested = [columns.get(field, field) for field in fields]
    positions = text_file.column_indices("rows", names, requested, cure)
    cells = [
        cell_texts(frame.iloc[:, position], "rows", missing=None if dtype == "string" else "", lists=field in lists)
        for position, (field, dtype) in zip(positions, dtypes.items(), strict=True)
    ]
    return [dict(zip(fields, row, strict=True)) for row in zip(*cells, strict=True)]


def check_row(row: Any, number: int, fields: Sequence[str]) -> Row:
    """A row of a list as a text or a dict; NumPy strings and bytes become texts."""
    if isinstance(row, Mapping):
        return row
    if isinstance(row, bytes):
        row = row.decode(errors="replace")
    if not isinstance(row, str):
        raise DataError(f"row {number}: expected a text or a dict by field, found {describe_value(row)}")
    if len(fields) > 1:
        raise DataError(f"row {number}: expected a dict with {' and '.join(fields)}, found one text, {short_repr(row)}")
    return row


def to_frame(
    answers: Sequence[Mapping[str, Any]], index: "pd.Index | None", names: Sequence[str] = ()
) -> "pd.DataFrame":
    """Answers as a DataFrame with a column for each output and the index of the input rows.

    names: the output names, used if there are no answers.
    """
    import pandas as pd

    return pd.DataFrame(
        list(answers),
        columns=None if answers else list(names),
        index=index if index is not None else pd.RangeIndex(len(answers)),
    )


# Cells


def column_names(frame: "pd.DataFrame", source: str) -> list[str]:
    """The column names of a frame as strings; raises DataError for a MultiIndex."""
    if frame.columns.nlevels > 1:
        raise DataError(
            f"{source}: its columns have {frame.columns.nlevels} levels (a MultiIndex); flatten them, for example "
            "frame.columns = frame.columns.map('_'.join)"
        )
    return [str(name) for name in frame.columns]


def cell_texts(column: "pd.Series", source: str, *, missing: str | None, lists: bool = False) -> Iterable[Any]:
    """The cells of a column as the texts that a file would have: 3 -> "3", True -> "true", bytes decoded as UTF-8.

    missing: replaces None and NaN; if None, they raise DataError. Integers that pandas stores as floats because a value
    is missing are written as integers. lists: whether a list, tuple or array is a cell, as a list. Raises DataError naming the row.
    """
    import pandas as pd

    values = column.tolist()
    absent = column.isna().tolist()
    is_integral = pd.api.types.is_float_dtype(column.dtype) and all(
        is_missing or float(value).is_integer() for value, is_missing in zip(values, absent, strict=True)
    )
    if not is_integral and str(column.dtype) in ("float32", "float16"):
        values = [str(value) for value in column.to_numpy()]  # "0.1", not the digits of the nearest float64
    name = f" {column.name!r}" if column.name is not None else ""
    for number, (value, is_missing) in enumerate(zip(values, absent, strict=True), 1):
        if isinstance(is_missing, bool) and is_missing:
            if missing is None:
                what = f"column{name}" if name else "the text"
                raise DataError(
                    f"{source}, row {number}{index_label(column, number - 1)}: {what} is missing ({value}); fill it, for example with "
                    ".fillna(''), or drop the row"
                )
            yield missing
            continue
        if lists and is_list(value):
            yield to_list(value)
            continue
        if missing is None and isinstance(value, bytes):
            value = value.decode(errors="replace")
        text = cell_text(int(value) if is_integral else value)
        if text is None:
            cure = (
                "join its entries with .map('\\n'.join)"
                if isinstance(value, list)
                else "convert the column with .astype(str)"
            )
            raise DataError(
                f"{source}, row {number}{index_label(column, number - 1)}: column{name} holds {describe_value(value)} where a text was "
                f"expected; {cure}"
            )
        yield text


def cell_text(value: Any) -> str | None:
    """A text, number or Boolean as text, None for other types. Bytes that are not UTF-8 become lone surrogates."""
    if isinstance(value, bytes | bytearray):
        return text_file.decode(bytes(value))
    if hasattr(value, "item") and not isinstance(value, str) and getattr(value, "ndim", 1) == 0:
        value = value.item()  # NumPy scalars, which an object column may hold
    return value_text(value)


def index_label(column: "pd.Series", number: int) -> str:
    """The index label of a row, if it differs from its number."""
    value = column.index[number]
    return "" if isinstance(value, int) and value == number else f" (index {value!r})"


def describe_value(value: object) -> str:
    """A value and its type, for messages."""
    return f"{short_repr(value)} ({type(value).__name__})"


def short_repr(value: object) -> str:
    """A shortened repr."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
