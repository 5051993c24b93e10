"""The report of a classifier: many classes, the operating point, lengths, slices and suspected label errors."""

import html
import json
import random
import re

import numpy as np
import pytest
import sklearn.metrics
from test_report import classified, parse, reseal

from textpipe.quality import label_errors
from textpipe.report import run
from textpipe.report.results import Run
from textpipe.report.views import _classifier_charts, bars


def test_the_map_of_many_classes_shows_every_confusion(tmp_path):
    evaluate, expected, given = classified(tmp_path, 30)
    loaded = Run.from_artifact(evaluate)
    shown = run.document(loaded)
    parse(shown)
    labels = loaded.metrics["labels"]
    found = re.findall(r"<title>expected (.+?), predicted (.+?): (\d+) of (\d+) rows", html.unescape(shown))
    matrix = np.zeros((30, 30), int)
    for row, column, count, total in found:
        matrix[labels.index(row), labels.index(column)] = count
        assert int(total) == sum(label == row for label in expected)
    assert matrix.tolist() == sklearn.metrics.confusion_matrix(expected, given, labels=labels).tolist()
    assert "<details" in bars.classes_section(loaded).body


def test_classes_confused_with_each_other_are_neighbours():
    matrix = np.eye(12, dtype=int) * 10
    for a, b in ((0, 7), (3, 11), (5, 8)):
        matrix[a, b] = matrix[b, a] = 6
    order = _classifier_charts.cluster_order(matrix.tolist())
    assert sorted(order) == list(range(12))
    assert all(abs(order.index(a) - order.index(b)) == 1 for a, b in ((0, 7), (3, 11), (5, 8)))


def test_the_operating_point_is_that_of_the_answers(tmp_path):
    evaluate, expected, given = classified(tmp_path, 2)
    loaded = Run.from_artifact(evaluate)
    positive = loaded.metrics["labels"][1]
    actual, answered = (np.array([label == positive for label in names]) for names in (expected, given))
    recall = sklearn.metrics.recall_score(actual, answered)
    precision = sklearn.metrics.precision_score(actual, answered)
    false = answered[~actual].mean()
    roc, curve = _classifier_charts.operating_curves(loaded)
    assert f"answers: {recall:.3g} at {false:.3g}" in roc and f"answers: {precision:.3g} at {recall:.3g}" in curve
    # The ring lies on the curve: the drawn lines pass through it.
    for chart in (roc, curve):
        x, y = map(float, re.search(r'class="ring" cx="([\d.]+)" cy="([\d.]+)"', chart).groups())
        points = [tuple(map(float, point.split(","))) for point in re.search(r'points="([^"]+)"', chart)[1].split()]
        assert min(abs(x - a) + abs(y - b) for a, b in points) < 0.3


def test_lengths_cover_all_rows(tmp_path):
    evaluate, *_ = classified(tmp_path)
    loaded = Run.from_artifact(evaluate)
    table = parse(run.document(loaded)).table("words in the source", "rows", "accuracy")[1:]
    assert sum(int(row[1]) for row in table) == 120
    right = sum(line["answer"] == line["label"] for line in loaded.predictions)
    assert sum(int(row[1]) * float(row[2]) for row in table) == pytest.approx(right, rel=1e-3)


def test_slices_are_shown_beside_all_rows(tmp_path):
    evaluate, *_ = classified(tmp_path)
    report = json.loads((evaluate / "metrics.json").read_text(encoding="utf-8"))
    hostile = "text contains '<b>'"
    report["slices"] = {"long": {"condition": "words > 3", "rows": 7, "metrics": {"accuracy": 0.25}}}
    report["slices"]["none"] = {"condition": hostile, "rows": 0, "metrics": {}}
    (evaluate / "metrics.json").write_text(json.dumps(report), encoding="utf-8")
    reseal(evaluate)
    rows = parse(run.document(Run.from_artifact(evaluate))).table("slice", "condition", "rows", "accuracy")
    assert rows[1][:3] == ["all rows", "", "120"] and rows[2][:4] == ["long", "words > 3", "7", "0.25"]
    assert rows[3][:4] == ["none", hostile, "0", "–"]


def test_a_label_is_suspected_if_another_class_is_confidently_more_probable():
    probabilities = np.array([[0.9, 0.1], [0.7, 0.3], [0.2, 0.8], [0.45, 0.55], [0.4, 0.6], [0.1, 0.9]])
    labels = np.array([0, 0, 0, 0, 1, 1])
    # Thresholds: class 0 (.9 + .7 + .2 + .45) / 4 = .5625, class 1 (.6 + .9) / 2 = .75.
    assert label_errors.suspect(probabilities, labels).tolist() == [-1, -1, 1, -1, -1, -1]


def test_most_exchanged_labels_are_found():
    rng = random.Random(1)
    words = {
        "billing": "invoice payment refund charge",
        "delivery": "parcel courier address late",
        "login": "password account reset code",
    }
    rows = [
        (" ".join(rng.choice(f"{words[name]} please the my with".split()) for _ in range(8)), name)
        for name in words
        for _ in range(100)
    ]
    wrong = set(rng.sample(range(300), 15))
    labels = [
        rng.choice([other for other in words if other != name]) if at in wrong else name
        for at, (_, name) in enumerate(rows)
    ]
    texts = [text for text, _ in rows]
    table = label_errors.measure(texts, labels, list(range(300)))
    found = [entry["row"] for entry in table["examples"]]
    assert table["rows"] == 300 and len(wrong & set(found)) >= 13 and len(set(found) - wrong) <= 3
    for entry in table["examples"]:
        assert entry["label"] == labels[entry["row"]] != entry["suspected_label"]
    unique = [f"only{at}" for at in range(40)]  # no word occurs twice
    assert label_errors.measure(unique, ["x", "y"] * 20, list(range(40)))["rows"] == 40
    assert label_errors.measure(["a", "b"] * 30, ["x", "y"] * 30, list(range(60))) is None  # two distinct texts


def test_a_page_shows_suspected_labels_of_train(classifier):
    page = run.document(Run.from_artifact(classifier["evaluate"]))
    parse(page)
    assert 'id="label-errors"' in page and "Northcutt" in page
