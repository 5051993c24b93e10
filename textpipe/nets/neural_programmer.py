"""The network of models/neural_programmer.py.

Shapes: B batch, Q words, D units, C columns, R rows, N numbers of the question, O operations, T passes.
"""

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from textpipe.layers import packed_tables
from textpipe.layers import table_operations as operations
from textpipe.layers.rnn_cells import LSTM
from textpipe.layers.uniform_dropout import Dropout

PAD, UNKNOWN, NUMBER, ENTRY, CELL_MATCH, NAME_MATCH, FIRST_WORD = range(7)  # rows of the embedding before the words
NUM_NUMBERS = 3  # numbers of a question that cells are compared with
MASKED = -1e9


class Program(NamedTuple):
    """What ran. count [B]; printed [B, C, R]; operations [B, T, O], columns [B, T, C]: weights; selections [B, T, R]; cells: the table;
    last: the operation weights of the last pass [B, O]; score [B]."""

    count: Any
    printed: Any
    operations: Any
    columns: Any
    selections: Any
    cells: Any
    score: Any


class NeuralProgrammer(keras.Model):
    """{field: packed integers} -> Program."""

    def __init__(
        self, config: Any, sizes: dict[str, Any], table: str, question: str, known: Sequence[int], *, seed: int
    ):
        super().__init__(name="neural_programmer")
        self.config, self.table, self.question = config, table, question
        self.limits = {name: sizes[name] for name in ("name_words", "cell_words", "key_words")}
        self.known = np.array(known, np.int32)
        self.fixed_widths = False
        self.l2 = config.l2
        seeds = itertools.count(seed * 100_003)
        self.seeds = seeds
        self.lstm = LSTM(config.units, seeds=seeds, recurrent_dropout=config.recurrent_dropout, name="question")
        drops = ("words", "operations", "controller", "column_controller", "columns", "history")
        self.drops = {name: Dropout(config.dropout, seed=next(seeds), name=f"drop_{name}") for name in drops}
        self.drop_layers = list(self.drops.values())
        self.word_drop = keras.random.SeedGenerator(next(seeds))

    def build(self, input_shape: Any = None) -> None:
        size = self.config.units
        shapes = {
            "embedding": (FIRST_WORD + len(self.known), size), "unit": (len(operations.OPERATIONS), size), "flags": (4, size),
            "controller_history": (size, size), "controller": (2 * size, size), "column_history": (size, size),
            "column_controller": (2 * size, size), "column_operation": (2 * size, size), "history": (3 * size, size),
            "name_match": (2,), "history_bias": (size,),
        }  # fmt: skip
        self.parts = {}
        for name, shape in shapes.items():
            initializer = keras.initializers.RandomUniform(-0.1, 0.1, seed=next(self.seeds))
            if name in ("name_match", "history_bias"):
                initializer = keras.initializers.Zeros()
            self.parts[name] = self.add_weight(shape=shape, initializer=initializer, name=name)
        self.lstm.build((None, None, size))
        for drop in self.drop_layers:
            drop.build((None, size))
        self.built = True

    def word_rows(self, hashes: Any) -> tuple[Any, Any]:
        """The rows of the embedding of words, and whether they have one of their own: hashes [...] int32."""
        if not len(self.known):
            return ops.full_like(hashes, UNKNOWN), ops.zeros_like(hashes, dtype="bool")
        known = ops.convert_to_tensor(self.known)
        flat = ops.reshape(hashes, (-1,))
        index = ops.minimum(ops.searchsorted(known, flat), len(self.known) - 1)
        has_row = ops.equal(ops.take(known, index), flat)
        rows = ops.where(has_row, ops.cast(index, "int32") + FIRST_WORD, UNKNOWN)
        return ops.reshape(rows, ops.shape(hashes)), ops.reshape(has_row, ops.shape(hashes))

    def question_rows(
        self, words: packed_tables.Question, matches: packed_tables.Matches, training: bool
    ) -> tuple[Any, Any]:
        """Rows of the embedding [B, 2 + Q] and the mask: whether cells and whether names match, then the words.

        Padding is before the first token and behind the last, never between: the recurrent layer carries its state over it.
        """
        rows, has_row = self.word_rows(words.hashes)
        is_number = ops.logical_not(ops.isnan(words.numbers))
        rows = ops.where(ops.logical_and(is_number, ops.logical_not(has_row)), NUMBER, rows)
        rows = ops.where(ops.logical_and(matches.covered, ops.logical_not(is_number)), ENTRY, rows)
        if training and self.config.word_dropout:
            uniform = keras.random.uniform(ops.shape(rows), seed=self.word_drop)
            rows = ops.where(uniform < self.config.word_dropout, UNKNOWN, rows)
        cell = ops.any(ops.logical_or(matches.cells, matches.partial_cells), axis=(1, 2))
        name = ops.any(ops.logical_or(matches.names, matches.partial_names > 0), axis=1)
        first = ops.where(ops.logical_and(cell, name), CELL_MATCH, PAD)
        second = ops.where(name, NAME_MATCH, ops.where(cell, CELL_MATCH, PAD))
        rows = ops.concatenate([ops.stack([first, second], axis=1), ops.where(words.real, rows, PAD)], axis=1)
        return rows, ops.not_equal(rows, PAD)

    def column_vectors(self, cells: packed_tables.Table, matches: packed_tables.Matches, number: Any) -> Any:
        """[B, C, D]: the mean of the words of the name, and what is known of the cells."""
        rows, _ = self.word_rows(cells.name_words)
        real = ops.cast(ops.not_equal(cells.name_words, packed_tables.NONE), self.compute_dtype)[..., None]
        words = ops.take(self.parts["embedding"], rows, axis=0) * real  # [B, C, W, D]
        vectors = ops.sum(words, axis=2) / ops.maximum(ops.sum(real, axis=2), 1.0)
        row = ops.maximum(ops.sum(ops.cast(cells.rows, self.compute_dtype), axis=1), 1.0)[:, None]
        flags = [
            ops.any(matches.cells, axis=2),
            ops.any(matches.partial_cells, axis=2),
            ops.sum(ops.cast(number, self.compute_dtype), axis=2) / row,
            matches.names,
        ]
        stacked = ops.stack([ops.cast(flag, self.compute_dtype) for flag in flags], axis=2)  # [B, C, 4]
        return vectors + ops.matmul(stacked, self.parts["flags"])

    def pivots(self, words: packed_tables.Question, hidden: Any, unit: Any, hard: bool) -> tuple[Any, Any]:
        """The first numbers of the question [B, N] and their weights for each comparison [B, 4, N]; 0 if there is none.

        hidden [B, Q, D]: the state at each word.
        """
        is_number = ops.logical_not(ops.isnan(words.numbers))
        missing = ops.pad(ops.cast(ops.logical_not(is_number), "int32"), ((0, 0), (0, NUM_NUMBERS)), constant_values=1)
        order = ops.argsort(missing, axis=1)[:, :NUM_NUMBERS]  # numbers first, in order
        absent = ops.cast(ops.take_along_axis(missing, order, axis=1), hidden.dtype)  # [B, N]
        order = ops.minimum(order, ops.shape(words.numbers)[1] - 1)
        numbers = ops.take_along_axis(ops.where(is_number, words.numbers, 0.0), order, axis=1)
        states = ops.take_along_axis(hidden, order[:, :, None], axis=1)  # [B, N, D]
        at = operations.OPERATIONS.index(operations.COMPARISONS[0])
        logits = ops.einsum("bnd,od->bon", states, unit[at : at + 4]) + MASKED * absent[:, None]
        weights = one_hot_of_best(logits) if hard else ops.softmax(logits)
        return numbers, weights * (1 - absent[:, None])

    def call(self, inputs: Any, training: bool = False, hard: bool | None = None) -> Program:
        """Run all passes; hard: take the most probable operation and column, the default unless training."""
        hard = not training if hard is None else hard
        parts, dtype = self.parts, self.compute_dtype
        cells = packed_tables.table(inputs[self.table], self.limits["name_words"], self.limits["cell_words"])
        words = packed_tables.question(inputs[self.question])
        matches = packed_tables.matches(cells, words, self.limits["key_words"])
        number = ops.logical_not(ops.isnan(cells.values))  # [B, C, R]
        values = ops.where(number, cells.values, 0.0)

        rows, real = self.question_rows(words, matches, training)
        vectors = ops.take(parts["embedding"], ops.transpose(rows), axis=0)  # [2 + Q, B, D]
        vectors = self.drops["words"](vectors, training=training)
        states, last = self.lstm(vectors, real=ops.cast(ops.transpose(real), dtype), training=training)
        hidden, question_state = ops.transpose(states, (1, 0, 2)), last[0]  # [B, 2 + Q, D], [B, D]
        padding = MASKED * (1 - ops.cast(real, dtype))
        unit = self.drops["operations"](ops.convert_to_tensor(parts["unit"]), training=training)

        numbers, weights = self.pivots(words, hidden[:, 2:], unit, hard)
        compared = operations.comparisons(values, number, numbers, weights)
        match = ops.logical_or(matches.cells, matches.partial_cells)
        special_matches = ops.stack([operations.most_frequent(cells.keys, packed_tables.NONE), match], axis=1)
        matching = ops.concatenate([compared, ops.cast(special_matches, dtype)], axis=1)  # [B, 6, C, R]
        shape = ops.shape(matching)
        table = operations.Table(
            ops.cast(cells.rows, dtype), *operations.sorted_rows(values, number, -1), *operations.sorted_rows(values, number, 1),
            ops.cast(number, dtype), ops.reshape(matching, (shape[0], -1, shape[3])),
        )  # fmt: skip

        columns = self.column_vectors(cells, matches, number)
        columns = self.drops["columns"](columns, training=training)
        name_features = ops.stack([ops.cast(matches.names, dtype), ops.cast(matches.partial_names, dtype)], axis=2)
        column_bias = ops.matmul(name_features, parts["name_match"][:, None])[..., 0] + MASKED * (
            1 - ops.cast(cells.columns, dtype)
        )

        selection, history = table.mask, ops.zeros_like(question_state)
        trace: dict[str, list[Any]] = {"operations": [], "columns": [], "selections": [], "scores": []}
        count, printed = None, None
        for _ in range(self.config.passes):
            attention = ops.softmax(ops.einsum("bqd,bd->bq", hidden, history) + padding)
            question_context = ops.concatenate([question_state, ops.einsum("bq,bqd->bd", attention, hidden)], axis=1)
            control = ops.relu(
                ops.matmul(history, parts["controller_history"]) + ops.matmul(question_context, parts["controller"])
            )
            control = self.drops["controller"](control, training=training)
            soft_operation = ops.softmax(ops.matmul(control, ops.transpose(unit)))  # [B, O]
            chosen = ops.matmul(soft_operation, unit)
            control = ops.relu(
                ops.matmul(history, parts["column_history"]) + ops.matmul(question_context, parts["column_controller"])
            )
            control = ops.relu(ops.matmul(ops.concatenate([control, chosen], axis=1), parts["column_operation"]))
            control = self.drops["column_controller"](control, training=training)
            soft_column = ops.softmax(ops.einsum("bcd,bd->bc", columns, control) + column_bias)  # [B, C]
            operation = one_hot_of_best(soft_operation) if hard else soft_operation
            column = one_hot_of_best(soft_column) if hard else soft_column
            trace["selections"].append(selection)
            count, printed, selection = operations.apply(table, selection, operation, column)
            trace["operations"].append(operation)
            trace["columns"].append(column)
            trace["scores"].append(pass_score(soft_operation, soft_column))
            past = ops.concatenate([chosen, ops.einsum("bc,bcd->bd", soft_column, columns)], axis=1)
            past = self.drops["history"](past, training=training)
            history = (
                ops.tanh(ops.matmul(ops.concatenate([history, past], axis=1), parts["history"])) + parts["history_bias"]
            )
        stacked = {name: ops.stack(values, axis=1) for name, values in trace.items()}
        printed = printed * ops.cast(ops.logical_and(cells.columns[:, :, None], cells.rows[:, None, :]), dtype)
        return Program(
            count, printed, stacked["operations"], stacked["columns"], stacked["selections"], cells,
            ops.prod(stacked["scores"], axis=1),
        )  # fmt: skip


def one_hot_of_best(weights: Any) -> Any:
    """1 at the largest entry of the last axis, the first of several, else 0."""
    return ops.one_hot(ops.argmax(weights, axis=-1), ops.shape(weights)[-1], dtype=weights.dtype)


def pass_score(operation: Any, column: Any) -> Any:
    """The probability of the most probable choice of a pass [B]: of the operation, and of the column if it has one."""
    of_column = ops.convert_to_tensor([name in operations.OF_A_COLUMN for name in operations.OPERATIONS])
    needs = ops.take(of_column, ops.argmax(operation, axis=-1))
    return ops.max(operation, axis=-1) * ops.where(needs, ops.max(column, axis=-1), 1.0)
