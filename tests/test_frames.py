"""DataFrames, Series and lists as rows for pipelines and models, and DataFrames of answers."""

import functools
import operator
import os

import numpy as np
import pandas as pd
import pytest

import textpipe
from textpipe.data import shards
from textpipe.errors import ArtifactError, DataError, TextpipeError

PIPELINE = """
task = "classify"
[ingest]
columns = { text = "body", label = "wanted" }
[tokenize]
codec = "none"
[vectorize]
features = { kind = "tfidf" }
[model]
kind = "logistic_regression"
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "letters.toml").write_text(PIPELINE)
    return tmp_path


@pytest.fixture
def frame():
    count = 60
    return pd.DataFrame(
        {
            "body": [f"letter {n} about the {('tax', 'rent', 'garden')[n % 3]}" for n in range(count)],
            "wanted": [n % 2 for n in range(count)],
            "author": [object() for _ in range(count)],
        },
        index=[f"mail-{n}" for n in range(count)],
    )


def states(pipeline, data, until="ingest"):
    """The final state of each stage, and the rows that ingest kept: {split: [(text, label), ...]}."""
    events = []
    result = textpipe.run(
        pipeline, data=data, until=until, on_event=lambda stage, state, _: events.append((stage, state))
    )
    rows = {}
    for split in shards.SPLITS:
        batches = shards.read(result.paths["ingest"], split)
        rows[split] = [tuple(row.values())[1:] for batch in batches for row in batch.to_pylist()]
    return [pair for pair in events if pair[1] != "run"], rows


# Rows for a pipeline


def test_a_frame_is_ingested_and_split_as_a_file_of_its_rows(place, frame):
    frame.drop(columns="author").to_csv(place / "rows.csv", index=False)
    _, rows = states("letters.toml", frame)
    file = textpipe.load("letters.toml", "ingest.files=rows.csv", "ingest.format=csv")
    result = textpipe.run(file, until="ingest")
    for split in shards.SPLITS:
        ours = [row for batch in shards.read(result.paths["ingest"], split) for row in batch.to_pylist()]
        assert [tuple(row.values())[1:] for row in ours] == rows[split] and rows[split]


def test_only_equal_rows_reuse_cached_results(place, frame):
    assert states("letters.toml", frame)[0] == [("ingest", "done")]
    same = frame.drop(columns="author").astype({"body": "category", "wanted": "Int64"}).reset_index(drop=True)
    assert states("letters.toml", same)[0] == [("ingest", "cached")]
    changed = frame.copy()
    changed.loc["mail-7", "body"] = "another letter"
    assert states("letters.toml", changed)[0] == [("ingest", "done")]
    assert len(list((place / "data/artifacts/frames").iterdir())) == 2
    plan = textpipe.plan("letters.toml", data=frame, until="ingest")
    assert [step.state for step in plan] == ["cached"]


def test_a_frame_per_split_becomes_that_split(place, frame):
    parts = {"train": frame[:30], "valid": frame[30:45], "test": frame[45:]}
    _, rows = states(
        textpipe.load("mail_reply_or_not", "ingest.columns.text=body", "ingest.columns.label=wanted"), parts
    )
    for split, part in parts.items():
        assert rows[split] == list(zip(part["body"], part["wanted"].astype(str), strict=True))


def test_values_become_the_texts_that_a_file_would_have(place):
    frame = pd.DataFrame(
        {
            "body": [
                "one",
                b"two \xe2\x82\xac",
                "thr\ud800ee",
                b"four \xff",
                np.str_("five"),
                6,
                None,
                np.nan,
                pd.NA,
                "ten",
            ],
            "wanted": [1, 0, np.nan, 1, 0, 1, 1, 0, 1, 0],  # the missing one makes them floating-point numbers
        }
    )
    _, rows = states("letters.toml", {"train": frame, "valid": frame[:2], "test": frame[:2]})
    # A label that is missing and texts that are missing are empty rows, which ingest leaves out.
    expected = [("one", "1"), ("two €", "0"), ("four \ufffd", "1"), ("five", "0"), ("6", "1"), ("ten", "0")]
    assert rows["train"] == expected
    truth = pd.DataFrame({"body": ["a", "b", "c", "d"], "wanted": [True, False, np.True_, False]}, dtype=object)
    _, rows = states("letters.toml", {"train": truth, "valid": truth, "test": truth})
    assert [label for _, label in rows["train"]] == ["true", "false", "true", "false"]
    narrow = pd.DataFrame({"body": list("abcd"), "wanted": np.array([0.1, 2.5, np.nan, 0.1], np.float32)})
    _, rows = states("letters.toml", {"train": narrow, "valid": narrow, "test": narrow})
    assert [label for _, label in rows["train"]] == ["0.1", "2.5", "0.1"]


def test_column_numbers_refer_to_the_frame(place, frame):
    unnamed = pd.DataFrame({0: frame["wanted"], 1: frame["body"]})
    pipeline = textpipe.load("letters.toml", "ingest.files=x.tsv", "ingest.columns={ text = 1, label = 0 }")
    _, rows = states(pipeline, unnamed)
    assert sorted(functools.reduce(operator.iadd, rows.values(), [])) == sorted(
        zip(frame["body"], frame["wanted"].astype(str), strict=True)
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda frame: frame.head(0), "data: the DataFrame has no rows"),
        (lambda frame: frame.rename(columns={"body": "bodi"}), "data: no column 'body'; did you mean 'bodi'?"),
        (lambda frame: pd.concat([frame, frame[["body"]]], axis=1), "data: 2 columns are called 'body'"),
        (
            lambda frame: frame.set_axis(pd.MultiIndex.from_product([["a"], frame.columns]), axis=1),
            "2 levels (a MultiIndex)",
        ),
        (
            lambda frame: frame.assign(body=[["a"]] * len(frame)),
            "data, row 1 (index 'mail-0'): column 'body' holds ['a'] (list)",
        ),
        (lambda frame: frame.assign(wanted=pd.Timestamp("2024-02-29")), "column 'wanted' holds Timestamp"),
        (lambda frame: {"train": frame, "vaild": frame}, "data['vaild']: no such split; did you mean 'valid'?"),
        (lambda frame: {"test": frame}, "data: no train split, only test"),
        (lambda frame: "letters.csv", "data: expected a pandas DataFrame, found 'letters.csv' (str)"),
        (lambda frame: {"train": frame, "test": frame["body"]}, "data['test']: expected a pandas DataFrame"),
    ],
)
def test_an_invalid_frame_is_explained(place, frame, change, message):
    with pytest.raises(DataError) as caught:
        textpipe.run("letters.toml", data=change(frame), until="ingest")
    assert message in str(caught.value)


# Rows for a model


@pytest.fixture(scope="module")
def model(classifier, tmp_path_factory):
    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    return textpipe.load_model(base / "classifier/saved_models/classifier")


TEXTS = ["could you send the plan 7", "thank you for the report 8", "when will you bring the plan 9"]


def test_all_types_of_rows_get_the_same_answers(model):
    expected = textpipe.predict(model, TEXTS)
    assert [row["answer"] for row in expected] == ["yes", "no", "yes"]
    frame = pd.DataFrame({"label": "?", "text": TEXTS})
    kinds = [
        tuple(TEXTS), pd.Series(TEXTS), pd.Series(TEXTS, dtype="category"), pd.Series(TEXTS, dtype="string"), np.array(TEXTS),
        frame, [{"text": text} for text in TEXTS], (text for text in TEXTS), [text.encode() for text in TEXTS],
        pd.Index(TEXTS),
    ]  # fmt: skip
    for rows in kinds:
        assert textpipe.predict(model, rows) == expected
    assert model.predict(frame.rename(columns={"text": "mail"}), columns={"text": "mail"}) == expected


def test_a_frame_of_answers_keeps_the_index_of_its_rows(model):
    index = pd.MultiIndex.from_tuples([("a", 3), ("a", 1), ("b", 2)], names=["box", "mail"])
    found = textpipe.predict(model, pd.DataFrame({"text": TEXTS}, index=index), frame=True)
    assert found.index.equals(index) and found["answer"].tolist() == ["yes", "no", "yes"]
    assert textpipe.predict(model, TEXTS, frame=True).index.tolist() == [0, 1, 2]
    empty = textpipe.predict(model, pd.DataFrame({"text": []}), frame=True)
    assert len(empty) == 0 and {"answer", "score"} <= set(empty.columns)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            "could you send",
            "found one text, 'could you send'; give a list, for example predict(model, ['could you send'])",
        ),
        (b"could you send", "give a list"),
        ({"text": "could you send"}, "found one dict; give a list of dicts"),
        (7, "expected texts, dicts or a DataFrame, found int"),
        (["fine", None], "row 2: expected a text or a dict by field, found None (NoneType)"),
        (pd.Series(["fine", None]), "rows, row 2: the text is missing ("),
        (
            pd.DataFrame({"txt": TEXTS}),
            "no column 'text'; did you mean 'txt'?; say which column it is: columns={'text': ...}",
        ),
        (pd.DataFrame({"text": [1.5, {"a": 1}]}), "rows, row 2: column 'text' holds {'a': 1} (dict)"),
        ([{"text": "a", "txet": "b"}], "the model has no field 'txet'; did you mean 'text'?"),
    ],
)
def test_invalid_rows_are_refused_with_a_cure(model, rows, message):
    with pytest.raises(TextpipeError) as caught:
        textpipe.predict(model, rows)
    assert message in str(caught.value)


def test_scores_of_a_frame_are_those_of_its_rows(model):
    frame = pd.DataFrame({"text": TEXTS, "label": ["yes", "yes", "no"]}, index=[5, 6, 7])
    found = textpipe.score(model, frame, frame=True)
    assert found.index.tolist() == [5, 6, 7]
    assert found["probability"].tolist() == [row["probability"] for row in model.score(frame.to_dict("records"))]
    answers = model.predict(frame)
    shares = [dict(zip(row["labels"], row["probabilities"], strict=True)) for row in answers]
    assert found["probability"].tolist() == pytest.approx(
        [shares[0]["yes"], shares[1]["yes"], shares[2]["no"]], abs=1e-5
    )
    with pytest.raises(DataError, match="row 1: expected a dict with text and label, found one text"):
        model.score(TEXTS)


def test_a_loaded_model_describes_itself(model):
    assert (model.fields, model.version, model.name) == (("text",), "1", "classifier")
    assert model.signatures["score"] == {"text": "string", "label": "string"}
    assert repr(model) == (
        f"LoadedModel({model.location!r}, fields=('text',), "
        "signatures=['classify', 'features', 'score', 'serving_default', 'tokens'])"
    )


# Results of a run


def test_a_result_has_metrics_and_tables(classifier, tmp_path, monkeypatch):
    monkeypatch.chdir(classifier["ingest"].parents[3])
    result = textpipe.run("classifier.toml")
    assert result.metrics == result.report["metrics"] and 0.5 < result.metrics["accuracy"] <= 1
    assert result.history["epoch"].tolist() == [1, 2, 3, 4] and "valid_loss" in result.history
    assert (result.predictions["answer"] == result.predictions["label"]).mean() == pytest.approx(
        result.metrics["accuracy"]
    )
    assert result.paths["saved_model"] == result.saved_model and result.paths["train"].is_dir()
    assert repr(result).startswith("Result(classifier: accuracy 0.") and repr(result).endswith(
        "saved_models/classifier/1)"
    )
    assert "<td" in result._repr_html_() and "accuracy" in result._repr_html_()
    partial = textpipe.run("classifier.toml", until="normalize")
    with pytest.raises(
        ArtifactError, match="evaluate has not run .last stage: normalize.; run the pipeline with until=.evaluate."
    ):
        partial.metrics  # noqa: B018
    assert "normalize" in repr(partial)


def test_a_comparison_of_models_takes_rows_from_a_dataframe(classifier, tmp_path, monkeypatch):
    monkeypatch.chdir(classifier["ingest"].parents[3])
    result = textpipe.run("classifier.toml")
    frame = result.predictions[["text", "label"]].assign(other=[object()] * len(result.predictions))
    places = {"artifacts": tmp_path, "resamples": 20, "trials": 20}
    found = textpipe.compare(result.saved_model, result.saved_model, rows=frame, **places)
    assert found.rows["source"].tolist() == frame["text"].tolist()
    value = found.frame.set_index("metric").loc["accuracy", "value"].iloc[0]
    assert value == pytest.approx(result.metrics["accuracy"])


def test_a_comparison_is_a_dataframe(classifier, monkeypatch):
    monkeypatch.chdir(classifier["ingest"].parents[3])
    result = textpipe.run("classifier.toml")
    found = textpipe.compare(result, result.saved_model, resamples=20, trials=20)
    table = found.frame.set_index(["metric", "system"])
    assert table.loc[("accuracy", "classifier"), "value"] == pytest.approx(result.metrics["accuracy"])
    assert table["difference"].dropna().tolist() == [0.0] * (len(table) // 2)
    assert found.rows["source"].tolist() == result.predictions["text"].tolist()
    assert (found.rows["score, classifier"] == (result.predictions["answer"] == result.predictions["label"])).all()
    assert repr(found).startswith("Comparison(") and "McNemar" in str(found) and "<table" in found._repr_html_()
