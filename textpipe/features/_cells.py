"""Tables as integers, in the graph.   Shapes: N tables, M rows of all tables, C columns, K cells of all tables.

A row is [R + 1, C + 1, then (key, words) of the name of each column, then (key, bits of the number or of NaN, words) of each cell,
row by row, END]. table_text.py defines keys and numbers; missing words are table_text.NONE.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from textpipe.features._packed import Packed, from_records, join
from textpipe.text import table_text


class Parsed(NamedTuple):
    """names: [N, C] of the columns; cells: texts [K], row by row; rows, columns: of each table [N]; uneven: rows [] of other lengths."""

    names: tf.RaggedTensor
    cells: tf.Tensor
    rows: tf.Tensor
    columns: tf.Tensor
    uneven: tf.Tensor
    cut: tf.Tensor


def parse(text: tf.Tensor, max_rows: int, max_columns: int) -> Parsed:
    """Tables [N] in the syntax of table_syntax.py, with unescaped cells; short rows are filled, long ones cut."""
    lines = tf.strings.split(tf.strings.regex_replace(text, "\r", ""), "\n")
    lines = tf.ragged.boolean_mask(lines, ~tf.ragged.map_flat_values(tf.strings.regex_full_match, lines, r"\s*"))
    names = tf.strings.split(tf.reshape(lines[:, :1].to_tensor("", shape=[None, 1]), [-1]), "\t")
    has_header = lines.row_lengths() > 0
    columns = tf.where(has_header, tf.minimum(names.row_lengths(), max_columns), 0)  # [N]
    all_rows = tf.maximum(lines.row_lengths() - 1, 0)
    rows = tf.minimum(all_rows, max_rows)
    num_truncated = tf.math.count_nonzero((all_rows > rows) | (has_header & (names.row_lengths() > columns)))
    body = lines[:, 1 : max_rows + 1]
    cells = tf.strings.split(body.flat_values, "\t")  # [M, None]
    width = tf.repeat(columns, rows)  # [M]
    full = tf.repeat(names.row_lengths(), rows)
    names = names[:, :max_columns]  # before it becomes dense, as wide as the widest table of the batch
    uneven = tf.math.count_nonzero(cells.row_lengths() != full)
    widest = tf.maximum(tf.reduce_max(tf.concat([columns, [0]], axis=0)), 1)
    dense = cells[:, :widest].to_tensor("", shape=[None, None])
    dense = tf.pad(dense, [[0, 0], [0, widest - tf.shape(dense, out_type=tf.int64)[1]]], constant_values="")
    cell_values = tf.boolean_mask(dense, tf.sequence_mask(width, widest))
    names = tf.RaggedTensor.from_tensor(names.to_tensor("", shape=[None, None]), lengths=columns)
    names = tf.ragged.map_flat_values(table_text.unescape, names)
    return Parsed(names, cell_values, rows, columns, uneven, num_truncated)


def names_of_columns(text: tf.Tensor) -> tf.RaggedTensor:
    """The words of the names of the columns of each table: [N] -> [N, None]."""
    names = parse(text, 1, 500).names
    return table_text.words(tf.strings.reduce_join(names, axis=1, separator=" "))


def padded_hashes(tokens: tf.RaggedTensor, width: int) -> tf.Tensor:
    """Word hashes of the first words: [M, None] string -> [M, width] int32."""
    return table_text.hashed(tokens[:, :width]).to_tensor(table_text.NONE, shape=[None, width])


class Cells(Packed):
    """[N] string -> [N, T] int32."""

    def __init__(self, config: Any, words: Sequence[str]):
        super().__init__(name="cells")
        self.options = lambda: config
        self.words = lambda: list(words)

    @property
    def size(self) -> dict:
        """Adds the words with an embedding of their own, and the widths of the records."""
        config = self.options()
        limits = {
            name: getattr(config, name) for name in ("max_rows", "max_columns", "name_words", "cell_words", "key_words")
        }
        return {"kind": "cells", "words": self.words(), **limits}

    def rows(self, text: tf.Tensor) -> tuple[tf.RaggedTensor, dict[str, tf.Tensor]]:
        """[N] string -> integers [N, None], and counts of rows, columns, cells and what was cut or filled."""
        config = self.options()
        table = parse(text, config.max_rows, config.max_columns)
        names = table.names.flat_values
        name_records = tf.concat(
            [
                table_text.keys(names, config.key_words)[:, None],
                padded_hashes(table_text.words(names), config.name_words),
            ],
            axis=1,
        )
        # Cells repeat, and tables of several questions do: each text is read once.
        cells, indices = tf.unique(table.cells)
        records = tf.concat(
            [
                table_text.keys(cells, config.key_words)[:, None],
                table_text.float_bits(table_text.values(cells))[:, None],
                padded_hashes(table_text.words(cells), config.cell_words),
            ],
            axis=1,
        )
        head = tf.cast(tf.stack([table.rows, table.columns], axis=1), tf.int32) + 1
        packed = join(
            tf.RaggedTensor.from_tensor(head),
            from_records(name_records, table.columns),
            from_records(tf.gather(records, indices), table.rows * table.columns),
        )
        counts = {
            "rows": tf.reduce_sum(table.rows),
            "columns": tf.reduce_sum(table.columns),
            "cells": tf.size(table.cells),
            "cut_tables": table.cut,
            "uneven_rows": table.uneven,
            "empty_tables": tf.math.count_nonzero(table.rows == 0),
        }
        return packed, counts
