r"""A table: a line per row, cells separated by tabs, the names of the columns first; \n, \t, \p and \\ are escapes (text/table_syntax.py).

At ingest and in predict a cell may also be CSV text, a JSON list of rows, or the path of a .csv or .tsv file.
"""

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from textpipe.data import table_text
from textpipe.data.profile import add_counts, distribution

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    import tensorflow as tf

NOUN, PLURAL = "a table", "tables"
EXAMPLE = "City\tInhabitants\nGraz\t291,072\nLinz\t206,595"  # a cell, in a model card
FEATURE = "cells"
OPTIONAL = False  # rows with an empty cell are dropped
LISTS = True  # in JSON, a cell may be a list of rows


class TableProfile:
    """Rows and columns per table."""

    def __init__(self) -> None:
        self.rows: Counter[int] = Counter()
        self.columns: Counter[int] = Counter()

    def add(self, rows: "np.ndarray", texts: "pa.StringArray") -> None:
        """Add a batch of tables."""
        import numpy as np

        tables = texts.to_pylist()
        add_counts(self.rows, np.array([table.count("\n") for table in tables]))
        add_counts(self.columns, np.array([table.partition("\n")[0].count("\t") + 1 for table in tables]))

    def table(self) -> dict[str, Any]:
        """{"rows": {"mean": 28, ...}, "columns": {...}}"""
        return {"rows": distribution(self.rows), "columns": distribution(self.columns)}


profile = TableProfile


def arrow() -> "pa.DataType":
    """string"""
    import pyarrow as pa

    return pa.string()


def spec() -> "tf.TensorSpec":
    """[B] string."""
    import tensorflow as tf

    return tf.TensorSpec([None], tf.string)


def parse(cell: str) -> str:
    """The canonical text of a table. Raises ValueError with the reason."""
    return table_text.canonical(cell)


def tensor(column: "pa.Array") -> "tf.Tensor":
    """Convert a column to the tensor that callers send: [N] string."""
    from textpipe.data import arrow

    return arrow.to_tensor(column)


def line(table: Mapping[str, Any]) -> str:
    """Summarize a profile for the terminal: rows and columns."""
    rows, columns = table["rows"], table["columns"]
    return (
        f"rows {rows.get('p50', 0)} median, {rows.get('p95', 0)} at 95 %, {rows.get('max', 0)} max; "
        f"columns {columns.get('p50', 0)}, {columns.get('p95', 0)}, {columns.get('max', 0)}"
    )
