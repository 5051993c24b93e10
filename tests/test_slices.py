"""Slices of the evaluated rows."""

import json

import pytest
import tiny

from textpipe.config.plugins import find
from textpipe.errors import DataError
from textpipe.stages import _slices

COLUMNS = {
    "subject": ["Urgent: budget", "Lunch?", "", "urgent"],
    "recipients": [5.0, 1.0, None, 3.0],
    "words": ["a b", "c", "and", "d"],
    "labels": [["a", "late"], [], ["late"], ["b"]],
}
SOURCES = ["Please send the budget today", "Lunch at noon?", "Nothing", "Straße"]


@pytest.mark.parametrize(
    ("condition", "rows"),
    [
        ("words > 3", [0]),
        ("words = 1", [2, 3]),
        ("not words > 3", [1, 2, 3]),
        ("characters <= 7", [2, 3]),
        ("subject words = 0", [2]),
        ("contains '?'", [1]),
        ("contains 'STRASSE'", [3]),
        ("starts with 'please' and ends with \"today\"", [0]),
        ("subject contains 'urgent' and recipients >= 3", [0, 3]),
        ("subject contains 'urgent' and not recipients >= 4", [3]),
        ("recipients < 2", [1]),  # an empty number passes no test
        ("recipients contains 'none'", []),
        ("subject is 'urgent'", [3]),
        ("words is 'c'", [1]),
        ("words words = 2", [0]),
        ("labels is 'late'", [0, 2]),
        ("words != 1 and characters > 20 and contains 'and'", []),
    ],
)
def test_a_condition_selects_rows(condition, rows):
    assert _slices.members(condition, COLUMNS, SOURCES) == rows


@pytest.mark.parametrize(
    ("condition", "place"),
    [
        ("", "its end"),
        ("words", "its end"),
        ("words > ", "its end"),
        ("> 3", "'> 3'|'>'"),
        ("words > 'a'", "'a'"),
        ("contains ?", r"'\?'"),
        ("subject starts 'a'", "'a'"),
        ("words > 3 or words < 2", "expected `and` before 'or'"),
        ("words > 3 and", "its end"),
        ("__import__('os').system('ls')", r"\('os'"),
        ("contains 'open", "'open"),
    ],
)
def test_a_condition_that_cannot_be_read_is_refused_with_its_place(condition, place):
    with pytest.raises(ValueError, match=f"(?s){place}.*expected tests such as"):
        _slices.parse(condition)


def evaluated(classifier, folder, **settings):
    stage = find("stages", "evaluate")
    folder.mkdir()
    stage.run(stage.Config(task="classify", resamples=0, **settings), classifier, folder)
    return json.loads((folder / "metrics.json").read_text(encoding="utf-8"))


def test_evaluate_scores_the_rows_of_each_slice(classifier, tmp_path):
    slices = {"thanks": "starts with 'thank'", "Grüße": "contains 'grüße' and label is 'yes'", "none": "words > 1000"}
    plain = evaluated(classifier, tmp_path / "plain")
    report = evaluated(classifier, tmp_path / "sliced", slices=slices)
    table = report.pop("slices")
    assert report == plain  # without slices nothing changes
    lines = [json.loads(line) for line in (tmp_path / "sliced/predictions.jsonl").read_text("utf-8").splitlines()]
    chosen = [line for line in lines if line["text"].startswith("thank")]
    assert table["thanks"]["rows"] == len(chosen) > 0
    right = sum(line["answer"] == line["label"] for line in chosen)
    assert table["thanks"]["metrics"]["accuracy"] == pytest.approx(right / len(chosen))
    yes = [line for line in lines if "Grüße" in line["text"] and line["label"] == "yes"]
    assert table["Grüße"]["rows"] == len(yes) > 0
    assert table["none"] == {"condition": "words > 1000", "rows": 0, "metrics": {}}


def test_mistakes_in_slices_are_named(classifier, tmp_path):
    stage = find("stages", "evaluate")
    with pytest.raises(ValueError, match=r"slices\.long: 'words >>' *|slices.long: 'words > x'"):
        stage.Config(task="classify", slices={"long": "words > x"})
    with pytest.raises(DataError, match=r"\[evaluate.slices\] a: the rows have no field 'txt'; did you mean 'text'\?"):
        evaluated(classifier, tmp_path / "out", slices={"a": "txt words > 3"})


def test_a_kept_column_may_be_named(tmp_path):
    rows = tiny.classifier_rows(tmp_path / "rows.tsv").read_text(encoding="utf-8").splitlines()
    lines = [f"{line}\t{'from' if at == 0 else ('Ann', 'Bo')[at % 2]}" for at, line in enumerate(rows)]
    (tmp_path / "kept.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    tables = {**tiny.CLASSIFIER, "ingest": {"keep": ["from_"], "columns": {"from_": "from"}}}
    tables["evaluate"] = {"resamples": 0, "slices": {"ann": "from_ is 'ann'", "bo": "from_ is 'Bo'"}}
    outputs = tiny.build(tmp_path, tables, tmp_path / "kept.tsv", until="evaluate")
    report = json.loads((outputs["evaluate"] / "metrics.json").read_text(encoding="utf-8"))
    counts = [report["slices"][name]["rows"] for name in ("ann", "bo")]
    assert min(counts) > 0 and sum(counts) == report["rows"]
