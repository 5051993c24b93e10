"""Losses, penalties, weights and calibration of linear classifiers, compared with scikit-learn, SciPy and NumPy."""

import json

import numpy as np
import pandas as pd
import pytest
import scipy.optimize
import scipy.sparse
import tensorflow as tf
import tiny
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC
from test_classifiers import sample, sizes

import textpipe
from textpipe.config.fields import Sizes
from textpipe.data.columns import Dense, Labels, Sparse
from textpipe.errors import ConfigError, DataError
from textpipe.models import logistic_regression
from textpipe.objectives import sigmoid
from textpipe.pipeline import scaffold
from textpipe.stages import train
from textpipe.training import calibration, class_weights, linear_losses, loop, losses
from textpipe.training.batching.rows import Rows
from textpipe.training.merged_columns import MergedColumns
from textpipe.training.optimizers import liblinear
from textpipe.training.settings import Settings

EXACT = {"kind": "lbfgs", "tolerance": 1e-6}


def fit(matrix, labels, num_classes, *, weights=None, optimizer=EXACT, settings=None, **model):
    config = logistic_regression.Config(**model)
    built = logistic_regression.build(config, sizes({"kind": "sparse", "dim": matrix.shape[1]}, num_classes), seed=1)
    built.class_weights = weights
    rows = Rows({"source": Sparse.from_scipy(matrix)}, Labels(labels, num_classes))
    return built, loop.fit(built, {"train": rows, "valid": rows}, Settings(optimizer=optimizer, **(settings or {})))


@pytest.mark.parametrize("num_classes", [2, 4])
def test_squared_hinge_finds_the_minimum_of_linear_svc_with_a_free_bias(num_classes):
    matrix, labels = sample(num_classes)
    dense, l2 = matrix.toarray().astype(np.float64), 2.0
    model, result = fit(matrix, labels, num_classes, loss="squared_hinge", l2=l2)
    assert result["stopped"] == "converged"
    for column, number in enumerate(range(1, 2) if num_classes == 2 else range(num_classes)):
        signs = np.where(labels == number, 1.0, -1.0)

        def objective(point, signs=signs):
            gaps = np.maximum(1 - signs * (dense @ point[:-1] + point[-1]), 0)
            slopes = -2 * signs * gaps
            gradient = np.append(dense.T @ slopes + l2 * point[:-1], slopes.sum())
            return (gaps**2).sum() + l2 / 2 * point[:-1] @ point[:-1], gradient

        options = {"gtol": 1e-8, "ftol": 1e-14, "maxiter": 5000}
        best = scipy.optimize.minimize(objective, np.zeros(41), jac=True, method="L-BFGS-B", options=options).x
        np.testing.assert_allclose(model.linear.kernel.numpy()[:, column], best[:-1], atol=1e-3)
        np.testing.assert_allclose(model.bias.numpy()[column], best[-1], atol=1e-3)


def test_equal_and_empty_columns_are_merged_without_changing_the_optimum():
    matrix, labels = sample(3)
    doubled = scipy.sparse.hstack([matrix, matrix[:, ::-1], scipy.sparse.csr_matrix((400, 2)), matrix[:, :5]]).tocsr()
    merged = MergedColumns(doubled)
    assert merged.matrix.shape[1] == 40
    plain = LogisticRegression(C=1.0, tol=1e-9, max_iter=10_000).fit(doubled.astype(np.float64), labels)
    model, _ = fit(doubled, labels, 3, l2=1.0)
    np.testing.assert_allclose(model.linear.kernel.numpy().T, plain.coef_, atol=1e-3)
    weights = np.random.default_rng(0).normal(size=(doubled.shape[1], 2)).astype(np.float32)
    np.testing.assert_allclose(merged.matrix @ merged.merge(weights), doubled @ weights, atol=1e-4)


@pytest.mark.parametrize("num_classes", [2, 3])
def test_elastic_net_agrees_with_scikit_learn_and_has_true_zeros(num_classes):
    matrix, labels = sample(num_classes)
    reference = LogisticRegression(solver="saga", l1_ratio=0.8, C=0.2, tol=1e-7, max_iter=20_000)
    reference.fit(matrix.astype(np.float64), labels)
    model, result = fit(matrix, labels, num_classes, l1=4.0, l2=1.0)
    kernel = model.linear.kernel.numpy()
    np.testing.assert_allclose(kernel.T, reference.coef_, atol=2e-3)
    np.testing.assert_array_equal(kernel.T == 0, np.abs(reference.coef_) < 1e-5)
    assert result["nonzero"] == np.count_nonzero(kernel) < kernel.size


def test_balanced_class_weights_agree_with_scikit_learn():
    matrix, labels = sample(3)
    labels = np.where((labels == 2) & (np.arange(400) % 4 > 0), 0, labels)
    reference = LogisticRegression(C=1.0, class_weight="balanced", tol=1e-9, max_iter=10_000)
    reference.fit(matrix.astype(np.float64), labels)
    weights = class_weights.resolve("balanced", Labels(labels, 3), ["a", "b", "c"])
    model, _ = fit(matrix, labels, 3, weights=weights)
    np.testing.assert_allclose(model.linear.kernel.numpy().T, reference.coef_, atol=1e-3)


def test_a_table_of_class_weights_multiplies_the_loss_of_a_label():
    target = Labels(np.array([0, 1, 1]), 2)
    np.testing.assert_array_equal(class_weights.resolve({"yes": 3.0}, target, ["no", "yes"])[1], [1, 3])
    with pytest.raises(ConfigError, match=r"class_weight: 'yess' is not a label of train; did you mean 'yes'"):
        class_weights.resolve({"yess": 3.0}, target, ["no", "yes"])
    logits = tf.constant([[0.5], [0.5], [-1.0]])
    plain = losses.classification_sums(logits, tf.constant(target.values))["loss"]
    twice = losses.classification_sums(logits, tf.constant(target.values), class_weights=np.full((2, 2), 2.0))["loss"]
    assert float(twice) == pytest.approx(2 * float(plain))


@pytest.mark.parametrize("loss", ["logistic", "squared_hinge"])
def test_several_labels_by_lbfgs_are_one_classifier_per_label(loss):
    matrix, labels = sample(4)
    hot = np.stack([labels == 0, labels >= 2], axis=1).astype(np.float32)
    table = {"kind": "multi_hot", "classes": ["a", "b"]}
    size = Sizes({"text": {"kind": "sparse", "dim": 40}}, "labels", table)
    model = logistic_regression.build(logistic_regression.Config(loss=loss), size, seed=1)
    rows = Rows({"text": Sparse.from_scipy(matrix)}, Dense(hot), "labels")
    result = loop.fit(model, {"train": rows, "valid": rows}, Settings(optimizer=EXACT))
    for number in range(2):
        alone, _ = fit(matrix, hot[:, number].astype(int), 2, loss=loss)
        np.testing.assert_allclose(model.linear.kernel.numpy()[:, number], alone.linear.kernel.numpy()[:, 0], atol=1e-3)
    assert result["best"]["valid_f1"] > 0.8


@pytest.mark.parametrize("num_logits", [1, 5])
@pytest.mark.parametrize("loss", ["logistic", "squared_hinge"])
def test_the_losses_of_a_batch_are_those_of_all_rows_and_their_gradients_are_right(loss, num_logits):
    random = np.random.default_rng(0)
    logits = random.normal(size=(30, num_logits)).astype(np.float32) * 3
    labels = random.integers(0, max(2, num_logits), size=30)
    hot = labels[:, None] == (np.arange(num_logits) if num_logits > 1 else [1])
    function = linear_losses.squared_hinge if loss == "squared_hinge" else linear_losses.logistic
    if loss == "logistic" and num_logits > 1:
        function = linear_losses.softmax
    values, gradients = function(logits, np.where(hot, 1, -1).astype(np.float32))
    variable = tf.Variable(logits)
    with tf.GradientTape() as tape:
        total = losses.classification_sums(variable, tf.constant(labels), loss)["loss"]
    assert float(values.sum()) == pytest.approx(float(total), rel=1e-5)
    np.testing.assert_allclose(gradients, tape.gradient(total, variable), atol=1e-5)


def test_the_hinge_loss_is_trained_by_descent_and_refused_by_lbfgs():
    matrix, labels = sample(3)
    signs = np.where(labels[:, None] == np.arange(3), 1.0, -1.0)

    def objective(kernel, bias):
        return np.maximum(1 - signs * (matrix @ kernel + bias), 0).sum() + 0.5 * np.square(kernel).sum()

    settings = {"epochs": 200, "schedule": "cosine", "batch_rows": 400, "keep": "last"}
    options = {"optimizer": {"kind": "adam", "learning_rate": 0.1}, "settings": settings}
    model, _ = fit(matrix, labels, 3, loss="hinge", l2=1.0, **options)
    reference = LinearSVC(loss="hinge", C=1.0, intercept_scaling=10, max_iter=100_000).fit(matrix, labels)
    best = objective(reference.coef_.T, reference.intercept_)
    assert objective(model.linear.kernel.numpy(), model.bias.numpy()) < 1.03 * best
    with pytest.raises(ConfigError, match="not differentiable at its kink"):
        fit(matrix, labels, 3, loss="hinge")
    with pytest.raises(ValueError, match=r'set \[model\] loss = "squared_hinge", or optimizer "liblinear"'):
        train.Config(task="classify", model={"kind": "logistic_regression", "loss": "hinge"}, optimizer="lbfgs")


@pytest.mark.parametrize("num_classes", [2, 4])
@pytest.mark.parametrize("loss", ["hinge", "squared_hinge"])
def test_liblinear_finds_the_coefficients_of_linear_svc(loss, num_classes):
    matrix, labels = sample(num_classes)
    doubled = scipy.sparse.hstack([matrix, matrix[:, :9]]).tocsr()
    reference = LinearSVC(loss=loss, C=0.5, tol=1e-7, max_iter=100_000).fit(doubled.astype(np.float64), labels)
    optimizer = {"kind": "liblinear", "tolerance": 1e-7, "max_iterations": 100_000}
    model, result = fit(doubled, labels, num_classes, loss=loss, l2=2.0, optimizer=optimizer)
    np.testing.assert_allclose(model.linear.kernel.numpy().T, reference.coef_, atol=2e-3)
    np.testing.assert_allclose(model.bias.numpy(), reference.intercept_, atol=2e-3)
    assert result["best"]["valid_accuracy"] == pytest.approx(reference.score(doubled, labels), abs=0.003)


@pytest.mark.parametrize("size", [2, 4])
def test_liblinear_weights_each_label_of_rows_that_all_have_one(size):
    """The coefficients of one LinearSVC for each of several labels, of which every row has exactly one."""
    matrix, labels = sample(size)
    hot = np.eye(size, dtype=np.float32)[labels]
    weights = np.linspace(0.5, 4, 2 * size).astype(np.float32).reshape(2, size)
    table = {"kind": "multi_hot", "feature": "multi_hot", "classes": [str(at) for at in range(size)]}
    columns = Sizes({"source": {"kind": "sparse", "dim": matrix.shape[1]}}, "labels", table)
    model = logistic_regression.build(logistic_regression.Config(loss="squared_hinge", l2=2.0), columns, seed=1)
    model.class_weights = weights
    rows = Rows({"source": Sparse.from_scipy(matrix)}, Dense(hot), "labels")
    config = liblinear.Config(tolerance=1e-7, max_iterations=100_000)
    liblinear.minimize(config, model, rows, rows, Settings(optimizer="liblinear"), sigmoid)
    for at in range(size):
        reference = LinearSVC(C=0.5, tol=1e-7, max_iter=100_000)
        reference.fit(matrix.astype(np.float64), hot[:, at], sample_weight=np.where(hot[:, at] > 0, *weights[::-1, at]))
        np.testing.assert_allclose(model.linear.kernel.numpy()[:, at], reference.coef_[0], atol=2e-3)


def test_liblinear_keeps_the_best_l2_of_a_path_and_refuses_what_it_cannot_fit():
    matrix, labels = sample(3)
    _, result = fit(matrix, labels, 3, loss="squared_hinge", l2=[100.0, 1.0], optimizer="liblinear")
    assert result["best"]["l2"] == 1.0
    for model, finding in (
        ({"loss": "logistic"}, "liblinear fits hinge losses"),
        ({"loss": "hinge", "l1": 1.0}, "liblinear does not support l1"),
        ({"loss": "hinge", "l2": 0.0}, "liblinear needs a penalty"),
    ):
        with pytest.raises(ValueError, match=finding):
            train.Config(task="classify", model={"kind": "logistic_regression", **model}, optimizer="liblinear")
        with pytest.raises(ConfigError, match="optimizer liblinear: (expects|does not support|needs)"):
            fit(matrix, labels, 3, optimizer="liblinear", **model)
    with pytest.raises(ValueError, match="init: liblinear has a single optimum"):
        model = {"kind": "logistic_regression", "loss": "hinge"}
        train.Config(task="classify", model=model, optimizer="liblinear", init={"from": "saved_models/other"})


def test_a_search_that_hardly_lowers_the_loss_ends():
    matrix, labels = sample(4)
    _, exact = fit(matrix, labels, 4, l2=0.01)
    _, early = fit(matrix, labels, 4, l2=0.01, optimizer={**EXACT, "min_decrease": 0.002})
    assert early["stopped"] == "converged"
    assert early["epochs"] < 0.7 * exact["epochs"]
    assert early["best"]["loss"] < 1.1 * exact["best"]["loss"]


@pytest.mark.parametrize("target", ["binary", "classes", "labels"])
def test_the_temperature_undoes_a_factor_of_the_logits(target):
    """Labels are drawn from the probabilities of the logits divided by 2.5."""
    random = np.random.default_rng(3)
    size = {"binary": 2, "classes": 4, "labels": 3}[target]
    logits = random.normal(size=(4000, 1 if target == "binary" else size)) * 4
    if target == "classes":
        chances = np.exp(logits / 2.5) / np.exp(logits / 2.5).sum(axis=1, keepdims=True)
        column = Labels((chances.cumsum(axis=1) > random.random((4000, 1))).argmax(axis=1), size)
    else:
        drawn = random.random(logits.shape) < 1 / (1 + np.exp(-logits / 2.5))
        column = Dense(drawn.astype(np.float32)) if target == "labels" else Labels(drawn[:, 0], 2)
    rows = Rows({"x": Dense(logits)}, column)

    def model(inputs, training=False):
        return inputs["x"]

    found = calibration.fit(model, rows, Settings())
    assert found["temperature"] == pytest.approx(2.5, rel=0.1)
    before, after = found["calibration_error"]
    assert after < 0.03 < before
    assert found["log_loss"][1] < found["log_loss"][0]


def test_a_model_that_is_never_wrong_on_valid_is_not_certain():
    logits = np.where(np.eye(3)[np.arange(60) % 3] > 0, 5.0, -5.0)
    rows = Rows({"x": Dense(logits)}, Labels(np.arange(60) % 3, 3))
    temperature = calibration.fit(lambda inputs, training=False: inputs["x"], rows, Settings())["temperature"]
    confidence = 1 / (1 + 2 * np.exp(-10 / temperature))
    assert 0.95 < confidence < 0.995


TABLES = {
    **tiny.CLASSIFIER,
    "model": {"kind": "logistic_regression", "loss": "squared_hinge", "l2": 0.5},
    "train": {"optimizer": "liblinear", "calibration": "temperature"},
}


def test_calibration_reaches_the_served_probabilities_and_needs_valid_rows(tmp_path):
    from textpipe.servable.graph import Servable

    rows = tiny.classifier_rows(tmp_path / "rows.tsv")
    outputs = tiny.build(tmp_path / "a", TABLES, rows, until="evaluate")
    servable = Servable.load(outputs, "classify")
    temperature = json.loads((outputs["train"] / "train.json").read_text())["calibration"]["temperature"]
    raw = {"text": tf.constant(["could you send the plan 3", "we received the report 9"])}
    logit = servable.model(servable.inputs(raw)).numpy()[:, 0]
    found = servable.signature("serving_default")(**raw)["probabilities"].numpy()[:, 1]
    np.testing.assert_allclose(found, 1 / (1 + np.exp(-logit / temperature)), rtol=1e-5)
    assert abs(temperature - 1) > 0.05
    scored = servable.signature("score")(**raw, label=tf.constant(["yes", "yes"]))
    np.testing.assert_allclose(scored["probability"], found, rtol=1e-5)
    metrics = json.loads((outputs["evaluate"] / "metrics.json").read_text())["metrics"]
    assert metrics["uncalibrated_error"] != metrics["calibration_error"]
    with pytest.raises(ConfigError, match="calibration: there are no validation rows"):
        split = {"ingest": {"split": {"valid": 0.0, "test": 0.1}}}
        tiny.build(tmp_path / "b", {**TABLES, **split}, rows, until="train")
    with pytest.raises(ValueError, match="calibration: recurrent answers with a text"):
        train.Config(task="translate", model={"kind": "recurrent"}, calibration="temperature")


def test_many_classes_and_a_label_unseen_in_training(tmp_path, monkeypatch):
    """As `textpipe new` writes it: 300 classes of five texts each, 60 of them without a validation row."""
    monkeypatch.chdir(tmp_path)
    texts = [f"number{label} of {letter}" for label in range(300) for letter in "abcde"]
    frame = pd.DataFrame({"text": texts, "label": [f"class {at // 5}" for at in range(len(texts))]})
    frame.to_csv("many.tsv", sep="\t", index=False)
    scaffold.write("classify", tmp_path / "many.tsv", "", tmp_path / "many.toml")
    fast = ["model.l2=[1.0, 0.3]", "vectorize.features.characters=[]", "vectorize.features.weights={}"]
    trained = textpipe.run(textpipe.load("many.toml", *fast), until="train")
    assert json.loads((trained.artifacts["train"].path / "train.json").read_text())["best"]["valid_accuracy"] > 0.9
    frame.iloc[:40].assign(label="class x").to_csv("valid.tsv", sep="\t", index=False)
    files = {"train": tmp_path / "many.tsv", "valid": tmp_path / "valid.tsv", "test": tmp_path / "valid.tsv"}
    scaffold.write("classify", files, "", tmp_path / "unseen.toml")
    with pytest.raises(DataError, match="label 'class x' is not among the 300 labels of train"):
        textpipe.run("unseen.toml", until="train")
