"""What normalize, tokenize and vectorize share: a task's fields, and columns of text on their way into a graph and
out of it.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from textpipe import rooms
from textpipe.errors import ConfigError
from textpipe.fields import Field
from textpipe.tables import shards

ROWS = 4096  # texts of one call of a graph
BYTES = 4 * 2**20  # and their bytes, so that long texts do not fill the memory with n-grams


def fields_of(task: str) -> tuple[Field, ...]:
    """The task's fields; raises ConfigError when there is no such task."""
    return rooms.find("tasks", task).FIELDS


def text_fields(task: str) -> tuple[str, ...]:
    """The names of the task's fields that hold text."""
    return tuple(field.name for field in fields_of(task) if field.kind == "text")


def checked_task(task: str) -> str:
    """The task's name; raises ValueError, as a section's validator must, when there is none."""
    try:
        fields_of(task)
    except ConfigError as error:
        raise ValueError(str(error)) from None
    return task


def batches(folder: Path, split: str, texts: Sequence[str], columns: Sequence[str] | None = None) -> Iterator[Any]:
    """The rows of a split as record batches that one call of a graph can take: few rows, and few bytes in `texts`."""
    import numpy as np
    import pyarrow.compute as pc

    for batch in shards.read(folder, split, columns):
        size = np.zeros(batch.num_rows, np.int64)
        for name in texts:
            size += np.asarray(pc.fill_null(pc.binary_length(batch.column(name)), 0))
        before = np.concatenate([[0], np.cumsum(size)])
        start = 0
        while start < batch.num_rows:
            end = int(np.searchsorted(before, before[start] + BYTES, "right")) - 1
            end = min(max(end, start + 1), start + ROWS, batch.num_rows)
            yield batch.slice(start, end - start)
            start = end


def tensor(column: Any) -> Any:
    """A column of text as a string tensor [N]; a missing value is an empty text."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import tensorflow as tf

    values = pc.fill_null(column, "").cast(pa.binary()).to_numpy(zero_copy_only=False)
    return tf.constant(values, tf.string, shape=[len(values)])


def column(texts: Any, kind: Any) -> Any:
    """A string tensor [N] as a column of the Arrow type `kind`."""
    import pyarrow as pa

    return pa.array(texts.numpy(), type=pa.binary()).cast(kind)


def graph(function: Any) -> Any:
    """`function` of one [N] string tensor, traced once for every N.

    Whoever calls it keeps the codec or feature behind `function` alive: the graph holds its tables by handle alone.
    """
    import tensorflow as tf

    spec = tf.TensorSpec([None], tf.string)
    return tf.function(function, input_signature=[spec], autograph=False).get_concrete_function()


def shares(count: int, total: int) -> float:
    """count / total, 0 of nothing is 0; rounded, so that the files that hold it are easy to read."""
    return round(count / total, 6) if total else 0.0
