"""The estimator: scikit-learn's interface over the stages of a pipeline, with the pipeline's answers."""

import gc
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tiny
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import estimator_checks_generator

import textpipe
from textpipe import Classifier
from textpipe.errors import TextpipeError
from textpipe.pipeline import scaffold

SETTINGS = {
    "features": {"kind": "tfidf", "num_buckets": 4096}, "model": {"kind": "logistic_regression", "l2": 0.5},
    "normalize": ["unicode", "whitespace"],
}  # fmt: skip


@pytest.fixture(scope="module")
def mails(tmp_path_factory):
    """300 short mails: texts and labels."""
    frame = pd.read_csv(tiny.classifier_rows(tmp_path_factory.mktemp("mails") / "rows.tsv"), sep="\t")
    return frame["text"], frame["label"]


@pytest.fixture(scope="module")
def fitted(mails):
    return Classifier(**SETTINGS).fit(*mails)


def several_checks():
    """scikit-learn's own checks. They give numbers, which are columns like any other; those over .5 s run in `make prove`."""
    slow = {
        "check_fit_score_takes_y", "check_estimators_dtypes", "check_dtype_object", "check_pipeline_consistency",
        "check_classifier_data_not_an_array", "check_classifiers_classes", "check_classifiers_train", "check_fit_idempotent",
        "check_classifiers_multilabel_representation_invariance", "check_classifiers_multilabel_output_format_predict",
        "check_supervised_y_2d", "check_estimators_pickle",
    }  # fmt: skip
    for estimator, check in estimator_checks_generator(Classifier(valid=0)):
        name = getattr(check, "func", check).__name__
        if name != "check_array_api_input":  # skips itself unless SCIPY_ARRAY_API is set before SciPy is imported
            yield pytest.param(estimator, check, id=name, marks=[pytest.mark.prove] if name in slow else [])


@pytest.mark.parametrize(("estimator", "check"), list(several_checks()))
def test_scikit_learns_checks_pass(estimator, check):
    check(estimator)


def test_answers_and_exported_files_are_those_of_a_pipeline_with_the_same_settings(
    mails, fitted, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    texts, labels = mails
    Path("mails.toml").write_text(
        'task = "classify"\nseed = 1\n[ingest]\nsplit = { valid = 0.1, test = 0 }\n[normalize]\nsteps = ["unicode", "whitespace"]\n'
        '[tokenize]\ncodec = "none"\n[vectorize]\nfeatures = { kind = "tfidf", num_buckets = 4096 }\n'
        '[model]\nkind = "logistic_regression"\nl2 = 0.5\n[train]\noptimizer = "lbfgs"\n[evaluate]\nsplit = "valid"\n'
    )
    result = textpipe.run("mails.toml", data=pd.DataFrame({"text": texts, "label": labels}))
    answers = textpipe.predict(result.saved_model, texts.tolist())
    assert fitted.predict(texts).tolist() == [row["answer"] for row in answers]
    assert np.array_equal(fitted.predict_proba(texts), np.array([row["probabilities"] for row in answers], np.float32))
    exported = fitted.export(tmp_path / "exported/mails")
    assert exported == tmp_path / "exported/mails/1"
    files = sorted(path.relative_to(exported) for path in exported.rglob("*") if path.is_file())
    assert len(files) >= 6
    for path in files:
        assert (exported / path).read_bytes() == (result.saved_model / path).read_bytes(), path


@pytest.mark.parametrize("calibration", ["none", "temperature"])
def test_logits_and_probabilities_belong_together(mails, fitted, calibration):
    texts, labels = mails
    if calibration != "none":
        fitted = clone(fitted).set_params(train={"optimizer": "lbfgs", "calibration": calibration})
        fitted.fit(texts, labels)
    logits, probabilities = fitted.decision_function(texts), fitted.predict_proba(texts)
    assert fitted.classes_.tolist() == ["no", "yes"] and probabilities.shape == (300, 2)
    assert probabilities[:, 1] == pytest.approx(1 / (1 + np.exp(-logits)), abs=1e-6)
    assert fitted.score(texts, labels) > 0.85
    for text in texts[:3]:
        explanation = fitted.explain(text, label="yes")
        assert explanation.method == "exact"
        assert explanation.logit == pytest.approx(fitted.decision_function([text])[0], abs=1e-5)


def test_classes_keep_their_type_and_order():
    """As texts, 10 comes before 9."""
    texts = [f"{word} {n}" for n in range(40) for word in ("nine", "ten")]
    classifier = Classifier(valid=0).fit(np.array(texts), [9, 10] * 40)
    assert classifier.classes_.tolist() == [9, 10]
    assert classifier.predict(["nine 3", "ten 3"]).tolist() == [9, 10]
    assert (classifier.decision_function(["nine 3", "ten 3"]) > 0).tolist() == [False, True]
    assert np.argmax(classifier.predict_proba(["nine 3", "ten 3"]), axis=1).tolist() == [0, 1]


def test_columns_of_texts_and_numbers_are_fields():
    count = 90
    frame = pd.DataFrame(
        {
            "Subject line": [f"plan {n}" for n in range(count)],
            "recipients": [float(n % 3) if n % 7 else np.nan for n in range(count)],
            "urgent": [n % 2 == 0 for n in range(count)],
        },
        index=[f"mail {n}" for n in range(count)],
    )
    target = [["few", "some", "many"][n % 3] for n in range(count)]
    classifier = Classifier(valid=0, features={"kind": "counts"}, fields={"recipients": "scalar"}).fit(frame, target)
    assert classifier.feature_names_in_.tolist() == list(frame.columns)
    assert classifier.pipeline_.task == "classify(Subject_line: text, recipients: number, urgent: number) -> label"
    assert classifier.score(frame, target) > 0.8
    assert np.array_equal(
        classifier.predict(frame), classifier.predict(frame[["urgent", "recipients", "Subject line"]])
    )
    with pytest.raises(ValueError, match="has no column 'urgent', which the classifier was fitted on"):
        classifier.predict(frame.drop(columns="urgent"))


def test_an_indicator_matrix_is_any_number_of_labels():
    texts = [
        " ".join(word for word, on in zip(("bill", "spam"), (n % 2, n % 3 == 0), strict=True) if on) + f" {n}"
        for n in range(90)
    ]
    target = pd.DataFrame({"bill": [n % 2 for n in range(90)], "spam": [int(n % 3 == 0) for n in range(90)]})
    classifier = Classifier(train={"epochs": 30, "batch_rows": 16}).fit(texts, target)
    assert classifier.classes_.tolist() == ["bill", "spam"] and classifier.score(texts, target) > 0.9
    assert classifier.predict(["bill spam 3", "nothing"]).shape == (2, 2)
    assert classifier.explain("bill spam", label="spam").top(1)[0].text == "spam"


def test_a_grid_search_reuses_stages_from_its_store(mails, tmp_path):
    texts, labels = mails
    classifier = make_pipeline(FunctionTransformer(), Classifier(**SETTINGS, valid=0, store=tmp_path))
    search = GridSearchCV(classifier, {"classifier__model__l2": [10.0, 0.1]}, cv=2).fit(texts, labels)
    assert search.best_params_.keys() == {"classifier__model__l2"} and search.best_score_ > 0.8
    stages = {stage: len(list((tmp_path / stage).glob("*/manifest.json"))) for stage in ("vectorize", "train")}
    assert stages == {"vectorize": 3, "train": 5}  # two folds and all rows; each fold with both values
    assert len(cross_val_score(Classifier(**SETTINGS, store=tmp_path), texts, labels, cv=2)) == 2


def test_parameters_are_cloned_and_nested_keys_leave_the_others(fitted):
    copy = clone(fitted)
    assert copy.get_params() == fitted.get_params() and not hasattr(copy, "classes_")
    copy.set_params(model__l2=3.0, features__words=[1, 1], valid=0.2)
    assert copy.model == {"kind": "logistic_regression", "l2": 3.0} and copy.features["num_buckets"] == 4096
    assert fitted.model["l2"] == 0.5 and copy.valid == 0.2
    assert Classifier().set_params(model__l2=2.0).model == {"kind": "logistic_regression", "l2": 2.0}


def test_a_fit_leaves_nothing_behind_and_a_pickle_is_whole(mails, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    texts, labels = mails
    classifier = Classifier(**SETTINGS).fit(texts, labels)
    classifier.fit(texts, labels)
    assert len(list(tmp_path.iterdir())) == 1
    answers = classifier.predict_proba(texts[:5])
    stored = pickle.dumps(classifier)
    del classifier
    gc.collect()
    assert list(tmp_path.iterdir()) == []
    loaded = pickle.loads(stored)
    assert np.array_equal(loaded.predict_proba(texts[:5]), answers)
    assert (loaded.export(tmp_path / "out") / "saved_model.pb").is_file()


@pytest.mark.parametrize(
    ("rows", "target", "settings", "message"),
    [
        ("one text", ["a"], {}, "X: expected texts, found one text"),
        (["a", None], ["x", "y"], {}, "X, row 2: column 'text' is missing"),
        ([["a"], 3], ["x", "y"], {}, "X: "),
        (["a", "b"], ["x"], {}, "inconsistent numbers of samples: 2 rows, 1 classes"),
        (["a", "b"], ["x", "x"], {}, "y: has one class, 'x'"),
        (["a", "b"], ["x", " x"], {}, "y: class 'x' is not a valid label"),
        (["a", "b", "", ""], ["x", "y", "z", "z"], {"valid": 0}, "class 'z' has only rows with an empty text"),
        (["a b"] * 4, list("xyxy"), {"model": {"kind": "logistic_regresion"}}, "did you mean 'logistic_regression'"),
        (["a b"] * 4, list("xyxy"), {"model": {"l3": 1}}, "[model] l3: unknown key"),
        (["a b"] * 4, list("xyxy"), {"valid": 0.1}, "valid: no rows fell into it"),
    ],
)
def test_what_cannot_be_fitted_is_both_kinds_of_error(rows, target, settings, message):
    with pytest.raises(ValueError) as caught:
        Classifier(**settings).fit(rows, target)
    assert isinstance(caught.value, TextpipeError) and message in str(caught.value)


def test_an_estimator_that_is_not_fitted_says_so(mails):
    for method in ("predict", "predict_proba", "decision_function"):
        with pytest.raises(NotFittedError):
            getattr(Classifier(), method)(["a"])
    with pytest.raises(NotFittedError):
        Classifier().export("x")


def test_importing_textpipe_does_not_import_scikit_learn():
    script = "import sys, textpipe; dir(textpipe); print('sklearn' in sys.modules); textpipe.Classifier; print('sklearn' in sys.modules, 'tensorflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True", "False"]


def test_the_defaults_are_the_settings_that_new_writes_for_as_many_rows(mails, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for count, chosen in ((300, True), (200, False)):
        texts, labels = (column[:count] for column in mails)
        fitted = Classifier().fit(texts, labels)
        pd.DataFrame({"text": texts, "label": labels}).to_csv("mails.tsv", sep="\t", index=False)
        scaffold.write("classify", Path("mails.tsv"), "", Path(f"mails{count}.toml"))
        written = textpipe.load(f"mails{count}.toml")
        assert isinstance(fitted.pipeline_.sections["train"].model.l2, list) == chosen
        for stage in ("normalize", "tokenize", "vectorize", "train"):
            assert fitted.pipeline_.sections[stage] == written.sections[stage], stage
