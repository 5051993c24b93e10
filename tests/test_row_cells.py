"""Cells of rows as users write them: lists of sentences, tables as CSV and as files. predict, bulk and score read them as ingest does."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tiny
from click.testing import CliRunner
from test_stories import PIPELINE

from textpipe.cli import main
from textpipe.commands import _versions, predict
from textpipe.config import plugins
from textpipe.data import json_text, shards
from textpipe.errors import DataError, ModelError
from textpipe.explanation.subject import Subject
from textpipe.inference import frame_files, frames, scoring
from textpipe.inference.loaded_model import LoadedModel
from textpipe.pipeline import runner
from textpipe.report import system_answers
from textpipe.savedmodel import loader, model_rows
from textpipe.savedmodel.signatures import ANSWER, Input, Signature
from textpipe.serve.engine.errors import ServingError
from textpipe.serve.tensors import cell_shapes

SENTENCES = ["Bo is in the attic.", "Ann is in the garden."]
JOINED = "Bo is in the attic.\nAnn is in the garden."


class Model:
    """Answers with the cell that it is given, if it is a text as the graph takes it. kind: of its input `cell`; the other, `question`, is a text."""

    path = Path("model")
    dtypes = {"cell": "string", "question": "string"}
    fields = tuple(dtypes)

    def __init__(self, kind):
        inputs = {"cell": Input(kind), "question": Input("text")}
        self.described = {"serving_default": Signature("serving_default", inputs, ANSWER)}

    def predict(self, rows, **options):
        parsed = [model_rows.parse_row(self.dtypes, row, number) for number, row in enumerate(rows, 1)]
        return [{"answer": row["cell"], "score": 1.0} for row in parsed]


@pytest.fixture
def use(monkeypatch, tmp_path):
    """A function that makes the commands use a model of a kind; they run in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def choose(kind):
        for module in (predict, _versions):
            monkeypatch.setattr(module, "load", lambda location, token: Model(kind))

    return choose


def run(*arguments, **options):
    return CliRunner().invoke(main, [str(argument) for argument in arguments], catch_exceptions=False, **options)


def rows_of(*cells):
    return [{"cell": cell, "question": "where?"} for cell in cells]


def lines_of(*cells):
    return "".join(json.dumps(row) + "\n" for row in rows_of(*cells))


def answers_in_python(kind, rows):
    return [row["answer"] for row in LoadedModel(Model(kind)).predict(rows)]


def test_a_number_in_a_list_is_written_as_a_number():
    text = '["a", 3, 1.50, 1e999, null, true, ["b", 2], {"c": 3}]'
    assert json_text.write(json_text.parse(text)) == text.replace("1e999", "Infinity")
    digits = f"[{'9' * 5000}]"
    assert json_text.write(json_text.parse_row(f'{{"story": {digits}}}', ["story"])["story"]) == digits
    deep: list = []
    for _ in range(5000):
        deep = [deep]
    for value, problem in (([b"a"], "bytes"), (deep, "nested too deeply")):
        with pytest.raises(ValueError, match=problem):
            json_text.write(value)


def test_bulk_takes_stories_that_are_lists(use):
    use("sentences")
    Path("rows.jsonl").write_text(lines_of(SENTENCES, JOINED, json.dumps(SENTENCES), " "), encoding="utf-8")
    done = run("bulk", "model", "rows.jsonl", "out.jsonl", "--keep", "cell")
    assert done.exit_code == 0, done.output
    rows = [json.loads(line) for line in Path("out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["answer"] for row in rows] == [JOINED] * 3 + [" "]
    assert rows[0]["cell"] == json.dumps(SENTENCES)


def test_predict_takes_stories_that_are_lists(use):
    use("sentences")
    expected = "Bo is in the attic.\\nAnn is in the garden.\t1"
    assert run("predict", "model", lines_of(SENTENCES)).stdout.splitlines() == [expected]
    assert run("predict", "model", input=lines_of(SENTENCES, JOINED).encode()).stdout.splitlines() == [expected] * 2


def test_a_list_without_sentences_is_a_blank_story_as_the_empty_text_is(use):
    use("sentences")
    stories = ["", [], [""], ["", " "]]
    lines = lines_of(*stories)
    assert run("predict", "model", input=lines.encode()).stdout.splitlines() == ["\t1"] * 4
    Path("rows.jsonl").write_text(lines, encoding="utf-8")
    assert run("bulk", "model", "rows.jsonl", "out.jsonl").exit_code == 0
    assert [json.loads(line)["answer"] for line in Path("out.jsonl").read_text().splitlines()] == [""] * 4
    assert answers_in_python("sentences", rows_of(*stories)) == [""] * 4


ROWS = [["City", "Inhabitants"], ["Graz", "291,072"]]
TABLE = "City\tInhabitants\nGraz\t291,072"


@pytest.mark.parametrize(
    ("kind", "cell", "expected"),
    [
        ("sentences", SENTENCES, JOINED),
        ("sentences", tuple(SENTENCES), JOINED),
        ("sentences", np.array(SENTENCES, object), JOINED),
        ("sentences", "a.\n\n b.", "a.\nb."),
        ("table", ROWS, TABLE),
        ("table", [["a", "b"], [1, None]], "a\tb\n1\t"),
        ("table", np.array(ROWS, object), TABLE),
        ("table", 'City,Inhabitants\nGraz,"291,072"', TABLE),
        ("table", "cities.csv", TABLE),
    ],
)
def test_python_takes_the_cells_that_the_command_line_takes(kind, cell, expected, use):
    Path("cities.csv").write_text('City,Inhabitants\nGraz,"291,072"\n', encoding="utf-8")
    frame = pd.DataFrame({"cell": [cell, expected], "question": ["Q?", "Q?"]})
    assert answers_in_python(kind, frame) == [expected] * 2
    assert answers_in_python(kind, rows_of(cell, expected)) == [expected] * 2


def test_a_row_has_one_number_wherever_it_is_refused(use):
    use("sentences")
    rows = rows_of("a.", ["a", 3])
    for given in (rows, pd.DataFrame(rows)):
        with pytest.raises(DataError, match="row 2: 'cell': a list of sentences has 3"):
            answers_in_python("sentences", given)
    with pytest.raises(ModelError, match="row 2: field 'cell' must be a text, found 3"):
        answers_in_python("sentences", rows_of("a.", 3))
    with pytest.raises(DataError, match="row 2: expected a text or a dict by field"):
        answers_in_python("sentences", [rows[0], 3])
    with pytest.raises(DataError, match=r"row 2: column 'cell' holds \['a', 3\]"):
        answers_in_python("text", pd.DataFrame(rows))
    done = run("predict", "model", input=lines_of("a.", ["a", None]).encode())
    assert done.exit_code == 2 and "row 2: 'cell': a list" in done.stderr
    with pytest.raises(ServingError, match="row 2: story: expected shape"):
        cell_shapes.check_document({"instances": [{"story": "a."}, {"story": ["a."]}]}, FIELDS)


def test_explain_takes_the_cells_that_predict_takes():
    subject = Subject("model", Model.dtypes, Model("sentences").described, call=None)
    assert subject.row(rows_of(SENTENCES)[0]) == rows_of(JOINED)[0]
    with pytest.raises(DataError, match="explain: 'cell': a list of sentences has 3"):
        subject.row(rows_of(["a", 3])[0])
    with pytest.raises(DataError, match="explain: field 'cell' must be a text, found 3"):
        subject.row(rows_of(3)[0])


@pytest.mark.parametrize(("kind", "cell", "expected"), [("sentences", SENTENCES, JOINED), ("table", ROWS, TABLE)])
def test_compare_takes_the_cells_that_predict_takes(kind, cell, expected, use, monkeypatch):
    fields = [
        {"name": "cell", "kind": kind},
        {"name": "question", "kind": "text"},
        {"name": "answer", "kind": "answer"},
    ]
    sides = ("source", "source", "target")
    about = {"answer": "label", "fields": [{**field, "side": side} for field, side in zip(fields, sides, strict=True)]}

    def load(path):
        model = Model(kind)
        model.about = about
        return model

    monkeypatch.setattr(loader.Model, "load", load)
    monkeypatch.setattr(system_answers.locations, "find_version", lambda path: path)
    rows = [{"cell": given, "question": "Q?", "answer": "attic"} for given in (cell, json.dumps(cell), expected)]
    path = Path("rows.jsonl")
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    frame = frame_files.store_rows(pd.DataFrame(rows), Path("artifacts"))
    for source in (path, frame):
        first, other = system_answers.load(["first", "other"], rows=str(source))
        assert first.answers == other.answers == [expected] * 3
        assert first.rows.sources[0] == f"cell: {expected}\nquestion: Q?"
    path.write_text(json.dumps({**rows[0], "cell": ["a", {}]}) + "\n", encoding="utf-8")
    with pytest.raises(DataError, match="rows.jsonl, line 1: 'cell': "):
        system_answers.load(["first", "other"], rows=str(path))


def test_a_frame_of_lists_is_ingested_as_stories(tmp_path):
    stories = [[f"Bo sees {number}.", "", "Ann sees it."] for number in range(60)]
    frame = pd.DataFrame({"story": stories, "question": "Who?", "answer": ["Ann", "Bo"] * 30})
    file = tmp_path / "stories.toml"
    file.write_text('task = "qa"\n[ingest]\n[model]\nkind = "memory_network"\n', encoding="utf-8")
    pipeline = frame_files.pipeline_with_data(file, frame, tmp_path)
    result = runner.run(pipeline, until="ingest", artifacts=tmp_path / "artifacts")
    (batch,) = shards.read(result.artifacts["ingest"].path, "train", ("story",))
    assert {story.split(".\n")[1] for story in batch.column("story").to_pylist()} == {"Ann sees it."}


def test_a_list_for_a_text_stays_an_error(use):
    use("sentences")
    done = run("predict", "model", input=b'{"cell": ["a"], "question": ["b"]}\n')
    assert done.exit_code == 2 and "'question' must be a text, found a list" in done.stderr, done.output
    use("text")
    done = run("predict", "model", input=lines_of(SENTENCES).encode())
    assert done.exit_code == 2 and "'cell' must be a text, found a list" in done.stderr, done.output


@pytest.mark.parametrize("entry", ["3", "2.50", "null", "true", '["b"]', '{"b": 1}', "9" * 5000])
def test_an_entry_that_is_no_text_is_an_error_everywhere(entry, use):
    use("sentences")
    problem = f"a list of sentences has {entry[:40]}, where every entry must be a text"
    path = Path("rows.jsonl")
    path.write_text(f'{{"story": ["a", {entry}], "question": "Where?", "answer": "attic"}}\n', encoding="utf-8")
    with pytest.raises(DataError) as caught:
        tiny.build(Path("built"), PIPELINE, path, until="ingest")
    assert f"rows.jsonl, line 1: {problem}" in str(caught.value)
    kinds = {"story": plugins.find("kinds", "sentences")}
    with pytest.raises(DataError) as caught:
        scoring.read_pairs([path], ("story", "question", "answer"), {}, None, kinds)
    assert f"rows.jsonl, line 1: 'story': {problem}" in str(caught.value)
    path.write_text(f'{{"cell": ["a", {entry}], "question": "Where?"}}\n', encoding="utf-8")
    done = run("bulk", "model", path, "out.jsonl")
    assert done.exit_code == 2 and f"row 1: 'cell': {problem}" in done.stderr, done.output
    done = run("predict", "model", input=path.read_bytes())
    # A number of a line on standard input may be spelled in another way.
    spelled = "a list of sentences has " if set(entry) & set("123456789") else problem
    assert done.exit_code == 2 and f"row 1: 'cell': {spelled}" in done.stderr, done.output


def test_score_reads_pairs_as_ingest_does(tmp_path):
    path = tmp_path / "rows.jsonl"
    rows = [{"told": story, "question": "Where?", "answer": "attic"} for story in (SENTENCES, JOINED)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    kinds = {"story": plugins.find("kinds", "sentences")}
    pairs = scoring.read_pairs([path], ("story", "question", "answer"), {"story": "told"}, None, kinds)
    assert [pair["story"] for pair in pairs] == [JOINED, JOINED]


def test_bulk_numbers_the_rows_of_the_file(use):
    use("sentences")
    cells = [SENTENCES if number != 1030 else ["a", None] for number in range(1, 1035)]
    Path("rows.jsonl").write_text(lines_of(*cells), encoding="utf-8")
    done = run("bulk", "model", "rows.jsonl", "out.jsonl")
    assert done.exit_code == 2 and "row 1030: 'cell'" in done.stderr, done.output


CANONICAL = r"City\tInhabitants\nGraz\t291,072" + "\t1"


@pytest.mark.parametrize(
    "table", ['City,Inhabitants\nGraz,"291,072"', '[["City", "Inhabitants"], ["Graz", "291,072"]]', "cities.csv"]
)
def test_predict_and_bulk_take_a_table_as_ingest_does(table, use):
    use("table")
    Path("cities.csv").write_text('City,Inhabitants\nGraz,"291,072"\n', encoding="utf-8")
    assert run("predict", "model", lines_of(table)).stdout.splitlines() == [CANONICAL]
    assert run("predict", "model", input=lines_of(table, table).encode()).stdout.splitlines() == [CANONICAL] * 2
    Path("rows.jsonl").write_text(lines_of(table), encoding="utf-8")
    assert run("bulk", "model", "rows.jsonl", "out.jsonl").exit_code == 0
    answer = json.loads(Path("out.jsonl").read_text(encoding="utf-8"))["answer"]
    assert answer == "City\tInhabitants\nGraz\t291,072"


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ("City,Inhabitants", "a table without rows"),
        (",".join(map(str, range(501))) + "\n1", "a table of 1 rows and 501 columns, where at most 100,000 and 500"),
        ("City\tText\nGraz\t" + "x" * 10_001, "a cell of 10,001 characters, where at most 10,000"),
        ("none.csv", "none.csv: no such file"),
    ],
)
def test_predict_names_what_is_wrong_with_a_table(table, problem, use):
    use("table")
    done = run("predict", "model", input=lines_of(table).encode())
    assert done.exit_code == 2 and f"row 1: 'cell': {problem}" in done.stderr, done.output


# Shapes of tensors that callers of a server send.

FIELDS = {"story": Input("sentences"), "question": Input("text"), "pair": Input("nothing", "float32", (None, 2))}


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ({"instances": [{"story": ["a", 3, None]}]}, "row 1: story: expected shape [rows], found [1,3]; write a cell as "),
        ({"instances": [{"story": "a"}, {"story": ["a"]}]}, "row 2: story: expected shape [rows], found [2,1]; write "),
        ({"instances": [{"question": [["a"]]}]}, "row 1: question: expected shape [rows], found [1,1,1]; write "),
        ({"instances": [{"pair": [1, 2, 3]}]}, "row 1: pair: expected shape [rows,2], found [1,3]; send a list with "),
        ({"inputs": {"story": [["a", "b"], "c"]}}, "story: expected shape [rows], found [2,2]; write a cell as "),
        ({"inputs": {"question": "a"}}, "question: expected shape [rows], found []; send a list with a value for each row"),
        ({"inputs": "a"}, "story: expected shape [rows], found []; send a list with a value for each row"),
    ],
)  # fmt: skip
def test_a_shape_that_does_not_fit_is_named(document, problem):
    with pytest.raises(ServingError) as caught:
        cell_shapes.check_document(document, FIELDS)
    assert caught.value.code == "INVALID_ARGUMENT" and str(caught.value).startswith(problem)


@pytest.mark.parametrize(
    "document",
    [
        {"instances": [{"story": "a", "question": {"b64": "YQ=="}, "pair": [1, 2]}, {"story": 3}]},
        {"instances": "no list"},
        {"inputs": {"story": ["a", 3], "pair": [[1, 2]]}},
        {},
    ],
)
def test_values_that_fit_in_shape_are_left_to_others(document):
    cell_shapes.check_document(document, {name: FIELDS[name] for name in ("story", "question", "pair")})


def test_a_column_of_lists_in_a_frame_has_a_cure_that_keeps_the_sentences():
    column = pd.Series([SENTENCES], name="story")
    with pytest.raises(DataError, match=r"column 'story' holds .*join its entries with .map\('\\n'.join\)"):
        list(frames.cell_texts(column, "rows", missing=None))
    assert list(frames.cell_texts(column.map("\n".join), "rows", missing=None)) == [JOINED]


def test_a_whole_number_beyond_floats_is_refused_like_an_infinite_one():
    for value in (10**400, "1e400"):
        with pytest.raises(ModelError, match="row 3: field 'n' must be a number"):
            model_rows.parse_cell(value, "float32", "n", 3)
    assert loader.parse_option(10**400, "int32") is None and loader.parse_option(10**400, "float32") is None
