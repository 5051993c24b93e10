"""What normalize, tokenize and vectorize share: a task's fields, and text columns as batches for a graph."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from textpipe.config import plugins
from textpipe.config.fields import Field
from textpipe.data import shards
from textpipe.data.arrow import to_arrow, to_tensor, trace_text_function
from textpipe.errors import ConfigError

MAX_ROWS = 4096  # texts in one call of a graph
MAX_BYTES = 4 * 2**20  # and their bytes, so that n-grams of long texts do not exhaust memory


def fields_of(task: str) -> tuple[Field, ...]:
    """The task's fields; raises ConfigError for an unknown task."""
    return plugins.find("tasks", task).FIELDS


def text_fields(task: str) -> tuple[str, ...]:
    """The names of the task's fields that hold text."""
    return tuple(field.name for field in fields_of(task) if field.has_text)


def validate_task(task: str) -> str:
    """Return the task's name; raises ValueError, as a pydantic validator must, for an unknown task."""
    try:
        fields_of(task)
    except ConfigError as error:
        raise ValueError(str(error)) from None
    return task


def batches(
    folder: Path, split: str, texts: Sequence[str], columns: Sequence[str] | None = None, *, number: int | None = None
) -> Iterator[Any]:
    """The rows of a split, or of one of its shards, as record batches small enough for one call of a graph.

    texts: the columns with text, whose bytes are limited.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    for batch in shards.read(folder, split, columns, number=number):
        size = np.zeros(batch.num_rows, np.int64)
        for name in texts:
            if pa.types.is_string(batch.schema.field(name).type):  # for several texts in a cell the row limit suffices
                size += np.asarray(pc.fill_null(pc.binary_length(batch.column(name)), 0))
        before = np.concatenate([[0], np.cumsum(size)])
        start = 0
        while start < batch.num_rows:
            end = int(np.searchsorted(before, before[start] + MAX_BYTES, "right")) - 1
            end = min(max(end, start + 1), start + MAX_ROWS, batch.num_rows)
            yield batch.slice(start, end - start)
            start = end


def ratio(count: int, total: int) -> float:
    """count / total, and 0 when total is 0; rounded for readable files."""
    return round(count / total, 6) if total else 0.0


__all__ = [
    "batches",
    "fields_of",
    "ratio",
    "text_fields",
    "to_arrow",
    "to_tensor",
    "trace_text_function",
    "validate_task",
]
