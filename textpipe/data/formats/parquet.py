"""Parquet files. Numbers and booleans become text, null the empty string."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from textpipe.config.sections import Section
from textpipe.data import text_file
from textpipe.data.rows import BATCH_ROWS, Repairs, Rows
from textpipe.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_BYTES = 1 << 25  # limits the number of rows per batch for long texts
SUFFIXES = (".parquet", ".pq")


class Config(Section):
    """format = "parquet"."""

    kind: Literal["parquet"] = "parquet"


def read(source: Path, config: Config, repairs: Repairs, columns: Sequence[str | int]) -> Iterator[Rows]:
    """Yield the requested columns of a Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    text_file.check_exists(source)
    try:
        with pq.ParquetFile(source) as file:
            names = file.schema_arrow.names
            chosen = [names[number] for number in text_file.column_indices(str(source), names, columns)]
            start = 0
            groups = [file.metadata.row_group(number) for number in range(file.num_row_groups)]
            row_bytes = max((group.total_byte_size // max(group.num_rows, 1) for group in groups), default=0)
            size = max(1, min(BATCH_ROWS, BATCH_BYTES // max(row_bytes, 1)))
            for batch in file.iter_batches(size, columns=list(dict.fromkeys(chosen)), use_threads=False):
                texts = [column_texts(source, batch.column(name), name, repairs) for name in chosen]
                positions = list(range(start, start + batch.num_rows))
                start += batch.num_rows
                yield Rows(str(source), positions, [position + 1 for position in positions], texts, "row")
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        raise DataError(f"{source}: not a valid Parquet file: {error}; write it again") from None
    if not start:
        raise DataError(f"{source}: the file has no rows")


def column_texts(source: Path, column: "pa.Array", name: str, repairs: Repairs) -> list[str]:
    """Convert a column to text: invalid UTF-8 becomes lone surrogates, numbers use their shortest spelling."""
    import numpy as np
    import pyarrow as pa

    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if (
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
    ):
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        data = column.cast(pa.large_binary()).to_pylist()
        return ["" if value is None else text_file.decode(value) for value in data]
    cells = column.to_pylist()
    if pa.types.is_float32(kind) or pa.types.is_float16(kind):  # prints .1, not the nearest float64
        narrow = np.float32 if pa.types.is_float32(kind) else np.float16
        cells = [value if value is None or not np.isfinite(value) else str(narrow(value)) for value in cells]
    values = [repairs.value_text(float(value) if isinstance(value, np.floating) else value, name) for value in cells]
    if None in values:
        raise DataError(
            f"{source}: column {name!r} has type {column.type} where text was expected; write it as text, or use another column"
        )
    return values  # type: ignore[return-value]
