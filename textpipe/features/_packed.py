"""Features that are a row of integers: records of fixed width, written one after another.

No integer is 0, so that rows are padded with 0 like token ids, and stored, batched, exported and replayed like them.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import tensorflow as tf

from textpipe.data import arrow

END = 1  # the last integer of a row


class Packed(tf.Module):
    """The base of features that are a row of integers; subclasses define `rows` and `size`."""

    @property
    def size(self) -> dict:
        """The size table of features.json."""
        raise NotImplementedError

    def rows(self, text: tf.Tensor) -> tuple[tf.RaggedTensor, dict[str, tf.Tensor]]:
        """[N] string -> integers [N, None] int32 without 0, and counts for stats.json."""
        raise NotImplementedError

    def __call__(self, text: tf.Tensor) -> tf.Tensor:
        """[N] string -> [N, T] int32, padded with 0."""
        return self.rows(text)[0].to_tensor(0)

    @cached_property
    def traced(self) -> Any:
        """`rows` as a traced function."""
        return arrow.trace_text_function(self.rows)

    def schema(self, name: str) -> list[pa.Field]:
        """name: list<int32>."""
        return [arrow.int_list_field(name)]

    def arrays(self, text: tf.Tensor, stats: Counter) -> list[pa.Array]:
        """[N] string -> the column of `schema`; adds the counts of `rows` to stats."""
        packed, counts = self.traced(text)
        for name, count in counts.items():
            stats[name] += int(count)
        return [arrow.to_int_lists(packed)]


def join(*parts: tf.RaggedTensor) -> tf.RaggedTensor:
    """Parts of each row [N, None] as one row, with the end."""
    count = parts[0].nrows(out_type=tf.int32)
    return tf.concat([*parts, tf.RaggedTensor.from_tensor(tf.fill([count, 1], END))], axis=1)


def from_records(records: tf.Tensor, lengths: tf.Tensor) -> tf.RaggedTensor:
    """Records [M, W], `lengths` [N] of them per row -> [N, None]."""
    width = records.shape[1]
    return tf.RaggedTensor.from_row_lengths(
        tf.reshape(records, [-1]), tf.cast(lengths, tf.int64) * width, validate=False
    )


def count_words(
    values: Callable[[], Iterable[Any]], texts: Callable[[tf.Tensor], tf.Tensor]
) -> tuple[Counter[str], int]:
    """({word: number of rows it is in}, number of rows) of the texts [M, None] of each row of the training cells."""
    counts: Counter[str] = Counter()
    rows = 0
    for batch in values():
        words = texts(batch)
        rows += int(tf.shape(batch)[0])
        for row in words.to_list():
            counts.update({word.decode() for word in row})
    return counts, rows


def asset(folder: Path, name: str) -> Path:
    """The file of the words that a feature learned."""
    return Path(folder) / f"{name}.words.json"
