"""MODEL_CARD.md of an export."""

import json
import re
import shutil

import pytest

from textpipe.savedmodel import loader, manifest
from textpipe.stages import _model_card


def about_of(paths):
    return loader.read_about(paths["export"] / "model")


def test_the_card_of_an_export_states_its_data_scores_and_calls(classifier, generator):
    for paths in (classifier, generator):
        folder = paths["export"] / "model"
        text = (folder / _model_card.NAME).read_text(encoding="utf-8")
        assert text == _model_card.card(about_of(paths), paths)  # the same results give the same card
        assert _model_card.NAME in manifest.read(folder)
        report = json.loads((paths["evaluate"] / "metrics.json").read_text(encoding="utf-8"))
        for name, value in report["metrics"].items():
            low, high = report["intervals"].get(name, (None, None))
            line = next(line for line in text.splitlines() if line.startswith(f"| {_model_card.escape(name)} |"))
            assert _model_card.number(value) in line
            assert low is None or f"{_model_card.number(low)} to {_model_card.number(high)}" in line
        stats = json.loads((paths["ingest"] / "stats.json").read_text(encoding="utf-8"))
        for split, entry in stats["splits"].items():
            assert f"| {split} | {entry['rows']} |" in text
        assert "licence is not known" in text and "rows.tsv" not in text
        assert not re.search(r"(?<![\w:/])/(tmp|home|root|work|usr)\b", text)
        for heading in ("Data", "Scores", "Limits", "How to call it"):
            assert f"\n## {heading}\n" in text


def test_a_card_says_how_many_rows_are_synthetic(generator):
    stats = json.loads((generator["ingest"] / "stats.json").read_text(encoding="utf-8"))
    assert not any("synthetic" in line for line in _model_card.data_lines({}, stats))
    table = {"rows": 1200, "real_rows": 300, "repeat": 2, "tag": "<BT>"}
    (line,) = [line for line in _model_card.data_lines({}, {**stats, "synthetic": table}) if "synthetic" in line]
    assert line.startswith("1,200 rows of train are synthetic") and line.endswith(
        "The 300 real rows are written 2 times."
    )


def test_the_command_and_the_code_of_a_card_run(classifier):
    import textpipe

    text = _model_card.card(about_of(classifier), classifier)
    model = classifier["export"] / "model"
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL)[1].replace("saved_models/NAME", str(model))
    statement = code.strip().splitlines()[-1]
    (answer,) = eval(statement, {"textpipe": textpipe})
    assert answer["answer"] in ("no", "yes")
    body = json.loads(re.search(r"curl -d '(.*?)' ", text)[1])
    assert body == {"instances": ["Could you send me the slides?"]}


def test_a_row_of_several_fields_is_an_object():
    fields = [("subject", "text"), ("recipients", "number")]
    about = {
        "inputs": [name for name, _ in fields],
        "fields": [{"name": name, "kind": kind, "side": "source"} for name, kind in fields],
    }
    text = "\n".join(_model_card.call_lines(about))
    row = json.loads(re.search(r"echo '(.*?)' \|", text)[1])
    assert row == {"subject": "Could you send me the slides?", "recipients": 3}


def test_a_dataset_is_named_with_its_licence(classifier, tmp_path):
    inputs = {**classifier, "ingest": tmp_path / "ingest"}
    shutil.copytree(classifier["ingest"], inputs["ingest"])
    origin = inputs["ingest"] / "logs" / "origin.json"
    origin.write_text(json.dumps({"origin": {"dataset": "email_intent"}}), encoding="utf-8")
    text = _model_card.card(about_of(classifier), inputs)
    assert "Dataset `email_intent`: Parakweet email intent." in text and "- Licence: Apache-2.0" in text
    origin.write_text(json.dumps({"origin": {"dataset": "gone"}}), encoding="utf-8")
    assert "its licence is not known" in _model_card.card(about_of(classifier), inputs)


def test_limits_name_what_is_weakest(tmp_path):
    labels = ["billing", "delivery", "a|b", "never"]
    confusion = [[40, 0, 0, 0], [20, 20, 0, 0], [0, 1, 9, 0], [0, 0, 0, 0]]
    lines = []
    for row, line in enumerate(confusion):
        for column, count in enumerate(line):
            wrong = row != column
            lines += [{"text": "word " * (30 if wrong else 4), "label": labels[row], "answer": labels[column]}] * count
    predictions = tmp_path / "predictions.jsonl"
    predictions.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    fields = [{"name": "text", "side": "source", "kind": "text"}, {"name": "label", "side": "target", "kind": "label"}]
    report = {
        "rows": 90, "split": "test", "metrics": {"accuracy": 69 / 90}, "labels": labels, "confusion": confusion,
        "slices": {"long": {"condition": "words > 9", "rows": 21, "metrics": {"accuracy": 0.0}}},
    }  # fmt: skip
    profile = {"kind": "text", "scripts": {"Latin": 0.995, "Greek": 0.005}, "words": {"p99": 30, "max": 40}}
    stats = {"leakage": {"test": {"rows": 9, "share": 0.1}}, "splits": {"train": {"fields": {"text": profile}}}}
    text = "\n".join(_model_card.limits({"task": "classify", "fields": fields}, report, stats, predictions))
    assert "90 rows only" in text
    assert "Weakest classes by F1: delivery 0.6557 (40 rows), billing 0.8 (40 rows)" in text
    assert "delivery answered as billing (20 rows), a\\|b answered as delivery (1 rows)" in text
    assert "1 classes have fewer" not in text and "0 classes have fewer than 5 scored rows, and 1 have none" in text
    assert "Accuracy is lowest, 0, for sources of 30 to 30 words (21 rows), where it is 0.7667 in all rows." in text
    assert "accuracy is 0 in the slice long (21 rows)" in text
    assert "9 test rows (10.00%) have a source that occurs in train" in text
    assert "trained on texts in Latin script, 99 % of them of at most 30 words" in text


@pytest.mark.parametrize("text", ["a|b\nc", "<script>", "[x](http://y)", "`code`", "\u202eabc"])
def test_texts_cannot_break_the_markdown(text):
    line = _model_card.escape(text)
    assert "\n" not in line and "\u202e" not in line
    assert not re.search(r"(?<!\\)[|<>\[\]`]", line)
