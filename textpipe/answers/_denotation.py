"""The outputs of a program over a table, in graph.   Shapes: B batch, C columns, R rows, T passes."""

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import tensorflow as tf

from textpipe.answers._denotation_settings import Config
from textpipe.features import _cells
from textpipe.features._question import WIDTH
from textpipe.layers.table_operations import OF_A_COLUMN, OPERATIONS
from textpipe.metrics import denotation, out_of_scope
from textpipe.savedmodel import signatures
from textpipe.savedmodel.signatures import Signature
from textpipe.servable import tracing
from textpipe.servable.tracing import Graph, Raw, Tensors
from textpipe.text import table_text

BATCH_ROWS = 64  # of valid
# A table of 200 x 40 cells is compared with a question in about 15 MB, so that many rows of a request are not answered at once.
BLOCK_ROWS = 16


class Output(tf.Module):
    """The answer of the most probable program, and the program.

    ingest: the folder of the rows on whose split valid the threshold is chosen, where settings give none.
    """

    labels = None
    decode = None
    bounds: Mapping[str, Any] = MappingProxyType({})

    def __init__(self, graph: Graph, settings: Config, ingest: Path | None):
        super().__init__(name="output")
        self._graph = lambda: graph  # in a lambda: an attribute would be saved with this module
        self._settings, self._ingest = lambda: settings, lambda: ingest

    @property
    def graph(self) -> Graph:
        """The graph that this module belongs to."""
        return self._graph()

    def run(self, raw: Raw, inputs: Any) -> Tensors:
        """What the programs of rows gave, whatever their score; inputs: the features of the rows."""
        model = self.graph.model
        program = model(inputs, training=False)
        names, cells = self.texts(raw[model.table], program)
        last = tf.argmax(program.operations[:, -1], axis=1)
        item, name_of = self.items(cells, program), tf.constant(OPERATIONS)
        count = tf.strings.as_string(tf.cast(tf.round(program.count), tf.int32))
        answer = tf.where(
            last == OPERATIONS.index("count"), count, tf.where(last == OPERATIONS.index("print"), item, "")
        )
        has_question = (inputs[model.question][:, 0] > 1) & tf.reduce_any(program.cells.rows, axis=1)
        answer = tf.where(has_question, answer, "")
        score = tf.where(has_question & (answer != ""), program.score, 0.0)

        chosen = tf.argmax(program.operations, axis=2)  # [B, T]
        column = tf.gather(names, tf.argmax(program.columns, axis=2), batch_dims=1)
        has_column = tf.gather(tf.constant([name in OF_A_COLUMN for name in OPERATIONS]), chosen)
        operations, columns = tf.gather(name_of, chosen), tf.where(has_column, column, "")
        # An operation that answers reads the rows selected before it, another one gives those after it.
        selected = program.selections > 0.5  # [B, T, R]
        after = tf.concat([selected[:, 1:], selected[:, -1:]], axis=1)
        last_pass = tf.range(tf.shape(chosen)[1])[None, :, None] == tf.shape(chosen)[1] - 1
        rows = row_numbers(tf.where(last_pass, selected, after), program.cells.rows)
        return {
            "program_answer": answer, "score": score, "operations": operations, "columns": columns, "rows": rows,
            "program": describe(operations, columns, rows),
        }  # fmt: skip

    def block(self, raw: Raw) -> Tensors:
        """`run` from raw rows."""
        return self.run(raw, self.graph.inputs(raw))

    def texts(self, table: tf.Tensor, program: Any) -> tuple[tf.Tensor, tf.Tensor]:
        """The names of the columns [B, C] and the texts of the cells [B, C, R], as wide as the program's."""
        feature = self.graph.features[self.graph.model.table]
        parsed = _cells.parse(table, feature.options().max_rows, feature.options().max_columns)
        shape = tf.shape(program.printed, out_type=tf.int64)
        names = parsed.names.to_tensor("", shape=[None, None])
        names = tf.pad(names, [[0, 0], [0, shape[1] - tf.shape(names, out_type=tf.int64)[1]]], constant_values="")
        rows = tf.RaggedTensor.from_row_lengths(
            tf.range(tf.size(parsed.cells, tf.int64)), parsed.rows * parsed.columns, validate=False
        )
        start = rows.row_starts()[:, None, None]
        row, column = tf.range(shape[2])[None, None], tf.range(shape[1])[None, :, None]
        flat_index = start + row * parsed.columns[:, None, None] + column
        real = program.cells.columns[:, :, None] & program.cells.rows[:, None, :]
        padded = tf.concat([parsed.cells, [""]], axis=0)
        return names, tf.gather(padded, tf.where(real, flat_index, tf.size(parsed.cells, tf.int64)))

    def items(self, cells: tf.Tensor, program: Any) -> tf.Tensor:
        """The printed cells of each row joined by "|", those with the same words once: [B]."""
        shown = program.printed > 0.5  # [B, C, R]
        keys = program.cells.keys
        row = tf.range(tf.shape(keys)[2])
        earlier = (row[None] < row[:, None])[None, None] & shown[:, :, None, :]
        repeated = tf.reduce_any((keys[:, :, :, None] == keys[:, :, None, :]) & earlier, axis=3)
        shown &= ~repeated & (tf.strings.strip(cells) != "")
        escaped = table_text.replace_all(
            tf.strings.strip(table_text.unescape(cells)),
            [(r"\\", r"\\\\"), (r"\|", r"\\p"), ("\n", r"\\n"), ("\t", r"\\t")],
        )
        flat = tf.reshape(shown, [tf.shape(shown)[0], -1])
        ragged = tf.ragged.boolean_mask(tf.reshape(escaped, tf.shape(flat)), flat)
        return tf.strings.reduce_join(ragged, axis=1, separator="|")

    def answer(self, raw: Raw) -> Tensors:
        """The answer to each row, empty where its score is below the threshold, and its program.

        {"table": ["City\\tArea\\nGraz\\t127\\nLinz\\t96"], "question": ["which city is largest?"]}
        -> {"answer": ["Graz"], "score": [0.6], "answered": [True], "program_answer": ["Graz"],
            "operations": [["reset", "reset", "greatest", "print"]], "columns": [["", "", "Area", "City"]],
            "rows": [["all", "all", "1", "1"]], "program": ["reset; reset; greatest(Area) rows 1; print(City)"]}
        """
        outputs = in_blocks(self.block, raw, self.graph.model.config.passes)
        answered = (outputs["score"] >= tf.constant(self.chosen["threshold"], tf.float32)) & (
            outputs["program_answer"] != ""
        )
        return {**outputs, "answered": answered, "answer": tf.where(answered, outputs["program_answer"], "")}

    @functools.cached_property
    def chosen(self) -> dict[str, Any]:
        """The threshold, and how it was chosen: {"threshold", "rule", "rows", ...}."""
        settings = self._settings()
        if settings.threshold is not None:
            return {"threshold": settings.threshold, "rule": "given"}
        with tf.init_scope():  # also while a signature is traced
            scores, correct = self.valid_scores()
        return {
            "rule": "wrong_cost",
            "wrong_cost": settings.wrong_cost,
            **best_threshold(scores, correct, settings.wrong_cost),
        }

    def valid_scores(self) -> tuple[np.ndarray, np.ndarray]:
        """The score of each row of valid that a program gives something for, and whether it is right: [N]."""
        from textpipe.data import shards

        graph, ingest = self.graph, self._ingest()
        run = tf.function(lambda raw: self.run(raw, graph.inputs(raw)), autograph=False, reduce_retracing=True)
        scores, correct = [], []
        for batch in shards.read(ingest, "valid", (*graph.sources, graph.target)) if ingest else ():
            for start in range(0, batch.num_rows, BATCH_ROWS):
                rows = batch.slice(start, BATCH_ROWS)
                raw = {name: graph.raw_tensor(name, rows.column(name).to_pylist()) for name in graph.sources}
                outputs = run(raw)
                answers = [answer.decode(errors="replace") for answer in outputs["program_answer"].numpy()]
                for answer, score, reference in zip(
                    answers, outputs["score"].numpy(), rows.column(graph.target).to_pylist(), strict=True
                ):
                    if answer:
                        scores.append(score)
                        correct.append(denotation.is_correct(answer, reference))
        return np.array(scores, np.float32), np.array(correct, bool)

    def features(self, raw: Raw) -> Tensors:
        """The model's inputs, as packed integers."""
        return tracing.features(self.graph, raw)

    def token_counts(self, raw: Raw) -> Tensors:
        """source_tokens: the words of each question [B]; source_unknown: those that are too rare for a vector of their own."""
        name = self.graph.model.question
        feature, packed = self.graph.features[name], self.graph.encode(name, raw[name])
        count = tf.maximum(packed[:, 0] - 1, 0)
        hashes = packed[:, 1::WIDTH]
        real = tf.sequence_mask(count, tf.shape(hashes)[1])
        unknown = tf.math.count_nonzero(real & ~feature.is_known(hashes), axis=1, dtype=tf.int32)
        return {"source_tokens": count, "source_unknown": unknown}

    def signatures(self) -> list[Signature]:
        """All signatures."""
        rows = self.graph.row_inputs
        return [
            Signature("serving_default", rows, signatures.ANSWER, call=self.answer, mergeable=True),
            Signature("features", rows, signatures.FEATURES, call=self.features),
            Signature("tokens", rows, signatures.TOKEN_COUNTS, call=self.token_counts),
        ]

    def add_golden_answers(self, raw: Raw, inputs: Any, rows: Sequence[dict[str, Any]]) -> None:
        """Add the answer and its score to each row."""
        outputs = self.run(raw, inputs)
        threshold = np.float32(self.chosen["threshold"])
        for row, text, score in zip(rows, outputs["program_answer"].numpy(), outputs["score"].numpy(), strict=True):
            answer = text.decode(errors="replace") if score >= threshold else ""
            row |= {"texts": [answer], "scores": [float(score)]}

    def about(self) -> dict[str, Any]:
        """{"answer_threshold": the threshold and how it was chosen}, for textpipe.json."""
        return {"answer_threshold": self.chosen}


def in_blocks(run: Callable[[Raw], Tensors], raw: Raw, passes: int) -> Tensors:
    """run(raw) by blocks of at most BLOCK_ROWS rows, one after another, which bounds the memory of a large batch."""
    rows = tf.shape(next(iter(raw.values())))[0]
    number = tf.maximum((rows + BLOCK_ROWS - 1) // BLOCK_ROWS, 1)
    texts, lists = tf.TensorSpec([None], tf.string), tf.TensorSpec([None, passes], tf.string)
    specs = {
        "program_answer": texts, "score": tf.TensorSpec([None], tf.float32), "operations": lists, "columns": lists, "rows": lists,
        "program": texts,
    }  # fmt: skip
    arrays = {
        name: tf.TensorArray(spec.dtype, number, infer_shape=False, element_shape=spec.shape)
        for name, spec in specs.items()
    }

    def step(at: tf.Tensor, arrays: dict[str, tf.TensorArray]) -> Any:
        outputs = run({name: cells[at * BLOCK_ROWS : (at + 1) * BLOCK_ROWS] for name, cells in raw.items()})
        return at + 1, {name: array.write(at, outputs[name]) for name, array in arrays.items()}

    _, arrays = tf.while_loop(lambda at, _: at < number, step, (0, arrays), parallel_iterations=1)
    return {name: array.concat() for name, array in arrays.items()}


def row_numbers(selected: tf.Tensor, real: tf.Tensor) -> tf.Tensor:
    """Selected rows as text, counted from 1: [B, T, R] bool, real rows [B, R] -> [B, T]: "all", "" for none, or "1, 4"."""
    selected &= real[:, None]
    shape = tf.shape(selected)
    numbers = tf.strings.as_string(tf.range(1, shape[2] + 1))
    flat = tf.reshape(selected, [-1, shape[2]])
    ragged = tf.ragged.boolean_mask(tf.broadcast_to(numbers[None], tf.shape(flat)), flat)
    text = tf.reshape(tf.strings.reduce_join(ragged, axis=1, separator=", "), shape[:2])
    every = tf.reduce_all(selected | ~real[:, None], axis=2) & tf.reduce_any(real, axis=1)[:, None]
    return tf.where(every, "all", text)


def describe(operations: tf.Tensor, columns: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """The program as one line [B]: "match(Team) rows 3; next rows 4; print(City)"."""
    step = operations + tf.where(columns == "", "", "(" + columns + ")")
    shown = tf.where(rows == "all", "", tf.where(rows == "", " no rows", " rows " + rows))
    return tf.strings.reduce_join(step + shown, axis=1, separator="; ")


def best_threshold(scores: np.ndarray, correct: np.ndarray, wrong_cost: float) -> dict[str, Any]:
    """The threshold of the largest sum of right answers less wrong_cost times the wrong ones; the lowest of several.

    It is halfway between two scores, so that rounding moves no row across.

    scores [.2, .9], correct [no, yes], cost 1 -> {"threshold": .55, "rows": 2, "answered": 1, "right": 1}
    """
    order = np.argsort(-scores, kind="stable")
    ranked, sorted_correct = scores[order], correct[order]
    gains = np.concatenate([[0.0], np.cumsum(np.where(sorted_correct, 1.0, -wrong_cost))])
    # Only between different scores.
    possible = np.concatenate([[True], np.append(ranked[1:] != ranked[:-1], True)]) if len(ranked) else np.array([True])
    best = max((gain, at) for at, gain in enumerate(gains) if possible[at])[1]
    if not len(ranked):
        threshold = 0.0
    elif best:
        threshold = max(0.0, out_of_scope.below(ranked[::-1], ranked[best - 1]))
    else:
        threshold = out_of_scope.above(ranked[::-1])
    return {
        "threshold": threshold,
        "rows": len(scores),
        "answered": int(best),
        "right": int(sorted_correct[:best].sum()),
    }
