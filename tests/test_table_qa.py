"""Questions about tables: parsing, features, operations against plain Python, the loss, answers and their comparison."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner

from textpipe import cli
from textpipe.answers import _denotation as answers
from textpipe.answers._denotation_settings import Config as AnswerConfig
from textpipe.commands import predict
from textpipe.data import table_syntax, table_text
from textpipe.features import _cells, _question, cells, question
from textpipe.layers import packed_tables
from textpipe.layers import table_operations as operations
from textpipe.metrics import denotation
from textpipe.models import neural_programmer
from textpipe.text import table_text as ops

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('City,Inhabitants\nGraz,"291,072"\n', "City\tInhabitants\nGraz\t291,072"),
        ('[["a", "b"], [1, null]]', "a\tb\n1\t"),
        ("a\ta\n1\t2\t3\n4", "a\ta\n1\t2\n4\t"),  # duplicate names; a long and a short row
        ("\t\n1\t2", "column 1\tcolumn 2\n1\t2"),
        ("a\tb\nx\\ny\t\\\\", "a\tb\nx\\ny\t\\\\"),
    ],
)
def test_a_table_gets_its_canonical_text(text, expected):
    assert table_text.canonical(text) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a\tb", "without rows"),
        ("", "without columns"),
        ("\t".join(map(str, range(501))) + "\n1", "501 columns"),
        ("a\tb\n" + "x" * 10_001 + "\t1", "10,001 characters"),
        ("nowhere.csv", "no such file"),
        ("[[1, [2]]]", "JSON list of rows"),
        ("[[1,", "JSON list of rows"),
    ],
)
def test_a_table_that_cannot_be_read_is_an_error_that_says_why(text, reason):
    with pytest.raises(ValueError, match=reason):
        table_text.canonical(text)


def test_a_table_is_read_from_a_csv_file(tmp_path):
    path = tmp_path / "towns.csv"
    path.write_text("town,size\nGraz,5\n", encoding="utf-8-sig")
    assert table_text.canonical(str(path)) == "town\tsize\nGraz\t5"
    path.write_bytes(b"town,size\n\xff,5\n")
    with pytest.raises(ValueError, match="not UTF-8"):
        table_text.canonical(str(path))


def test_items_survive_joining_and_splitting():
    items = ["a|b", "c\nd", "\\p", "e\tf"]
    assert table_syntax.split_items(table_syntax.join_items(items)) == items


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("May 12, 2005", 2005 + 4 / 12 + 11 / 372), ("12 May", 4 / 12 + 11 / 372), ("Sept 2001", 2001 + 8 / 12), ("2005-05-12", 2005 + 4 / 12 + 11 / 372),
        ("1:25.3", 85.3), ("2:01:05", 7265), ("$ 1,234.5 m", 1234.5), ("−7", -7), ("3-2", 3), ("2,001,123", 2001123), ("n/a", np.nan), ("", np.nan),
    ],
)  # fmt: skip
def test_the_number_of_a_cell(text, value):
    np.testing.assert_allclose(ops.values(tf.constant([text]))[0], value, rtol=1e-6)


def test_words_are_folded_and_keys_leave_out_details():
    words = ops.words(tf.constant(["The team's 1st win: 12,467 (3.5km) Łódź"])).to_list()[0]
    assert [word.decode() for word in words] == ["the", "team", "s", "1", "win", "12467", "3.5", "km", "łodz"]
    keys = ops.keys(tf.constant(["Jan Ullrich", "jan ullrich (GER)[2]*", "Jan", "—"]), 10).numpy()
    assert keys[0] == keys[1] != keys[2]
    assert keys[3] == ops.NONE


def packed(table, asked=("x",)):
    features = {
        "table": _cells.Cells(cells.Config(), []),
        "question": _question.Question(question.Config(), [], ["the", "of"]),
    }
    return {name: features[name](tf.constant(texts)) for name, texts in (("table", table), ("question", list(asked)))}


def test_unpacked_tables_have_the_values_of_their_cells_whatever_the_other_tables_of_a_batch():
    tables = ["a\tb\n1\t2\n3\n4\t5\t6", "c\n7", "", "x"]
    table = packed_tables.table(packed(tables)["table"], 6, 6)
    assert table.rows.numpy().tolist() == [[True] * 3, [True, False, False], [False] * 3, [False] * 3]
    np.testing.assert_array_equal(table.values[0], [[1, 3, 4], [2, np.nan, 5]])
    np.testing.assert_array_equal(table.values[1], [[7, np.nan, np.nan], [np.nan] * 3])
    alone = packed_tables.table(packed(tables[1:2])["table"], 6, 6)
    np.testing.assert_array_equal(alone.keys[0, 0, 0], table.keys[1, 0, 0])


def test_cells_and_names_of_a_question_are_found():
    inputs = packed(
        ["Team name\tYear\nThe Red Lions\t1999\nBlue Whales\t2001"], ["the team name of blue whales in 1999 of lions?"]
    )
    table, asked = packed_tables.table(inputs["table"], 6, 6), packed_tables.question(inputs["question"])
    found = packed_tables.matches(table, asked, 10)
    assert found.cells.numpy().tolist() == [[[False, True], [True, False]]]
    assert not found.partial_cells.numpy().any()  # each column has a cell that matches as a whole
    assert found.names.numpy().tolist() == [[True, False]]
    covered = [
        word
        for word, inside in zip(
            "the team name of blue whales in 1999 of lions".split(), found.covered.numpy()[0], strict=True
        )
        if inside
    ]
    assert covered == ["blue", "whales", "1999"]
    inputs = packed(["Team\nThe Red Lions\nBlue Whales"], ["the lions"])
    found = packed_tables.matches(
        packed_tables.table(inputs["table"], 6, 6), packed_tables.question(inputs["question"]), 10
    )
    assert found.partial_cells.numpy().tolist() == [[[True, False]]]


VALUES = np.array([[[3.0, 9.0, np.nan, 9.0, 1.0], [5.0, 4.0, 3.0, 2.0, 1.0]]], np.float32)


def made(values, matching=None):
    number = ~np.isnan(values)
    real, batch = np.where(number, values, 0.0).astype(np.float32), values.shape[0]
    flat = (
        np.zeros((batch, len(operations.MATCHING) * values.shape[1], values.shape[2]), np.float32)
        if matching is None
        else matching
    )
    order = (*operations.sorted_rows(real, number, -1), *operations.sorted_rows(real, number, 1))
    return operations.Table(np.ones((batch, values.shape[2]), np.float32), *order, number.astype(np.float32), flat)


def run(operation, selection, column=0, **options):
    weights = np.eye(len(operations.OPERATIONS), dtype=np.float32)[None, operations.OPERATIONS.index(operation)]
    chosen = np.eye(2, dtype=np.float32)[None, column]
    return operations.apply(made(VALUES, **options), tf.constant([selection], tf.float32), weights, chosen)


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        ("previous", [1, 0, 0, 1, 0]), ("next", [0, 1, 0, 0, 1]), ("first", [1, 0, 0, 0, 0]), ("last", [0, 0, 0, 1, 0]), ("reset", [1, 1, 1, 1, 1]),
        ("greatest", [0, 0, 0, 1, 0]), ("least", [1, 0, 0, 0, 0]), ("count", [0] * 5), ("print", [0] * 5),
    ],
)  # fmt: skip
def test_a_hard_operation_selects_the_rows_that_it_says(operation, expected):
    selected = [1, 0, 0, 1, 0]
    if operation == "previous":
        selected, expected = [0, 1, 0, 0, 1], [1, 0, 0, 1, 0]
    count, printed, after = run(operation, selected)
    np.testing.assert_allclose(after[0], expected, atol=1e-5)
    assert float(count[0]) == (2 if operation == "count" else 0)
    assert float(tf.reduce_sum(printed)) == (2 if operation == "print" else 0)


def test_soft_extremes_equal_the_expectation_over_all_sets_of_rows():
    selection = np.array([0.3, 0.6, 0.9, 0.5, 0.2])
    for operation, better in (("greatest", max), ("least", min)):
        expected = np.zeros(5)
        for bits in range(32):
            rows = [row for row in range(5) if bits >> row & 1]
            share = np.prod([selection[row] if bits >> row & 1 else 1 - selection[row] for row in range(5)])
            numbers = [row for row in rows if not np.isnan(VALUES[0, 0, row])]
            if numbers:
                best = better(VALUES[0, 0, row] for row in numbers)
                expected[next(row for row in numbers if VALUES[0, 0, row] == best)] += share
        np.testing.assert_allclose(run(operation, selection)[2][0], expected, atol=1e-5)


def test_comparisons_are_a_mixture_over_the_numbers_of_the_question():
    number = ~np.isnan(VALUES)
    weights = np.tile(np.array([[0.25, 0.75, 0.0]], np.float32), (1, 4, 1))
    actual = operations.comparisons(
        np.nan_to_num(VALUES), number, tf.constant([[3.0, 8.0, 0.0]]), tf.constant(weights)
    ).numpy()
    for at, compare in enumerate((np.greater, np.less, np.greater_equal, np.less_equal)):
        expected = sum(share * (compare(VALUES, pivot) & number) for share, pivot in ((0.25, 3.0), (0.75, 8.0)))
        np.testing.assert_allclose(actual[:, at], expected, atol=1e-6)


def test_the_most_frequent_entry_is_the_first_of_several_and_none_of_different_ones():
    keys = tf.constant([[[5, 7, 5, 7, 9], [1, 1, 1, 2, 3]]])
    assert operations.most_frequent(keys, 1).numpy().tolist() == [[[True, False, True, False, False], [False] * 5]]


@pytest.mark.parametrize(
    ("answer", "reference", "right"),
    [
        ("12467", "12,467", True), ("12467", "12468", False), ("Café (2004)[1]", "cafe", True), ("a|b", "b|a", True), ("a|a|b", "b|a", True),
        ("a", "a|b", False), ("", "a", False), ("May 12, 2005", "2005-05-12", True), ("12 May 2005", "2005-05-12", True), ("2005", "2005-05-12", False),
        ('"Yes."', "yes", True), ("1–0", "1-0", True), ("0.5", ".5", True), ("a\\pb", "a|b", False), ("xx-05-12", "May 12", True),
    ],
)  # fmt: skip
def test_answers_are_compared_by_their_values(answer, reference, right):
    assert denotation.is_correct(answer, reference) is right


def test_the_accuracy_counts_all_rows_and_that_of_the_answered_ones_theirs():
    metrics = denotation.score(["a", "b", "c", ""], [True, True, False, False], ["a", "x", "c", "d"], resamples=0)[
        "metrics"
    ]
    assert metrics == {"accuracy": 0.5, "answered": 0.5, "answered_accuracy": 0.5}
    assert denotation.score([], [], [])["metrics"]["accuracy"] is None


def test_an_answer_below_the_threshold_is_not_given():
    scores, correct = np.array([0.9, 0.8, 0.6, 0.5, 0.2], np.float32), np.array([True, False, True, False, False])
    strict, mild = (answers.best_threshold(scores, correct, cost) for cost in (5.0, 0.5))
    assert strict["threshold"] == pytest.approx(0.85)  # halfway: a score that rounds down by a bit stays above it
    assert mild["threshold"] == pytest.approx(0.55)
    assert (mild["answered"], mild["right"]) == (3, 2)
    assert answers.best_threshold(scores[3:], correct[3:], 1.0)["threshold"] > 0.5
    assert answers.best_threshold(scores, correct, 0.0)["threshold"] == 0
    with pytest.raises(ValueError, match="wrong_cost"):
        AnswerConfig(threshold=0.5, wrong_cost=1.0)


def test_a_row_has_the_same_program_alone_and_beside_longer_questions():
    sizes, inputs, _ = neural_programmer.example(6, seed=3)
    model = neural_programmer.build(neural_programmer.Config(units=6, passes=3), sizes, seed=1)
    random = np.random.default_rng(4)
    for weight in model.trainable_variables:
        weight.assign(random.normal(scale=0.7, size=weight.shape))
    inputs = {name: tf.convert_to_tensor(value) for name, value in inputs.items()}
    together = model(inputs, training=False)
    for row in range(6):
        # Without the padding at the end: no integer of a packed row is 0.
        one = {name: tf.boolean_mask(value[row], value[row] != 0)[None] for name, value in inputs.items()}
        alone = model(one, training=False)
        np.testing.assert_allclose(alone.score[0], together.score[row], rtol=1e-5)
        np.testing.assert_allclose(alone.operations[0], together.operations[row], atol=1e-6)
        # And beside three times as much padding.
        wide = {name: tf.pad(value, [[0, 0], [0, 3 * value.shape[1]]]) for name, value in one.items()}
        np.testing.assert_allclose(model(wide, training=False).score[0], together.score[row], rtol=1e-5)


@pytest.mark.parametrize("count", [0, 1, 16, 37])
def test_blocks_of_rows_give_the_outputs_of_all_rows_at_once(count):
    sizes = []

    def run(raw):
        size = tf.shape(raw["question"])[0]
        tf.py_function(lambda size: sizes.append(int(size)), [size], [])
        twice = tf.stack([raw["question"], raw["table"]], axis=1)
        texts = dict.fromkeys(("program_answer", "program"), raw["table"])
        lists = dict.fromkeys(("operations", "columns", "rows"), twice)
        return {**texts, **lists, "score": tf.strings.to_number(raw["question"])}

    raw = {"table": tf.strings.as_string(tf.range(count)), "question": tf.strings.as_string(100 + tf.range(count))}
    outputs = tf.function(lambda: answers.in_blocks(run, raw, 2))()
    assert sizes == ([16] * (count // 16) + ([count % 16] if count % 16 else []) or [0])
    for name, expected in run(raw).items():
        np.testing.assert_array_equal(outputs[name], expected, err_msg=name)


def test_rows_are_shown_as_numbers_from_one():
    selected = tf.constant([[[True, False, True], [True, True, False], [False, False, False]]])
    shown = answers.row_numbers(selected, tf.constant([[True, True, False]])).numpy().tolist()
    assert shown == [[b"1", b"all", b""]]
    line = answers.describe(tf.constant([["next", "print"]]), tf.constant([["", "City"]]), tf.constant([["2", "2"]]))
    assert line.numpy().tolist() == [b"next rows 2; print(City) rows 2"]


def test_the_bundled_tables_are_those_of_their_generator(tmp_path):
    subprocess.run([sys.executable, ROOT / "data/tables/generate.py", tmp_path], check=True)
    for name in ("train.jsonl", "valid.jsonl", "test.jsonl"):
        bundled = (ROOT / "data/tables" / name).read_bytes()
        assert (tmp_path / name).read_bytes() == bundled
    train, test = (
        {json.loads(line)["table"] for line in (tmp_path / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()}
        for name in ("train", "test")
    )
    assert not train & test


@pytest.mark.parametrize(
    ("task", "line"),
    [
        ("qa", {"story": ["Mary left.", "John came."], "question": "who left?", "answer": "Mary"}),
        ("table_qa", {"table": "a\tb\n1\t2", "question": "what is b of 1?", "denotation": "2"}),
    ],
)
def test_new_writes_a_pipeline_for_questions(task, line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [{**line, "question": f"{line['question']} {number}"} for number in range(40)]
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    found = CliRunner().invoke(cli.main, ["new", task, "--data", "rows.jsonl"])
    assert found.exit_code == 0 and "dropped" not in found.output, found.output
    found = CliRunner().invoke(cli.main, ["plan", "pipelines/rows.toml"])
    assert found.exit_code == 0 and "export" in found.output, found.output


def test_a_row_of_several_fields_is_given_as_a_json_object(monkeypatch):
    class Model:
        dtypes, described = {"table": "string", "question": "string"}, {}

        def predict(self, rows, **options):
            return [{"answer": row["question"], "score": 1.0} for row in rows]

    monkeypatch.setattr(predict, "load", lambda model, token: Model())
    found = CliRunner().invoke(predict.command, ["model", '{"table": "a\\n1", "question": "what?"}'])
    assert found.stdout.splitlines() == ["what?\t1"], found.output
