"""Models with several source fields, and multi-label targets."""

import numpy as np
import pytest
import scipy.sparse
import tensorflow as tf
from sklearn.linear_model import LogisticRegression

from textpipe.config.fields import Sizes
from textpipe.data.columns import Dense, Ids, Labels, Sparse
from textpipe.errors import ConfigError
from textpipe.models import feed_forward, logistic_regression, recurrent
from textpipe.objectives import sigmoid
from textpipe.training import loop
from textpipe.training.batching.batches import Plan
from textpipe.training.batching.rows import Rows
from textpipe.training.settings import Settings

SPARSE = {"kind": "sparse", "dim": 7}
WORDS = {"kind": "ids", "vocab_size": 9, "max_length": 5}
INPUTS = {"subject": SPARSE, "body": WORDS, "recipients": {"kind": "scalar"}}
LABEL = {"kind": "label", "classes": ["no", "yes"]}


def drawn(count=200, seed=1):
    """{field: column} of random rows, and the matrix that a linear model sees of them."""
    random = np.random.default_rng(seed)
    subject = random.poisson(0.6, (count, 7)).astype(np.float32)
    lists = [random.integers(1, 9, random.integers(1, 6)).tolist() for _ in range(count)]
    body = np.zeros((count, 9), np.float32)
    for row, ids in enumerate(lists):
        np.add.at(body[row], ids, 1 / np.sqrt(len(ids)))
    recipients = random.normal(size=count).astype(np.float32)
    columns = {
        "subject": Sparse.from_scipy(scipy.sparse.csr_matrix(subject)),
        "body": Ids.from_lists(lists),
        "recipients": Dense(recipients),
    }
    return columns, np.concatenate([subject, body, recipients[:, None]], axis=1)


def test_logistic_regression_on_three_fields_equals_one_on_their_concatenated_columns():
    columns, matrix = drawn()
    labels = (matrix @ np.random.default_rng(2).normal(size=17) + 0.3 > 0).astype(np.int32)
    model = logistic_regression.build(logistic_regression.Config(l2=1.0), Sizes(INPUTS, "answered", LABEL), seed=1)
    rows = Rows(columns, Labels(labels, 2), "answered")
    loop.fit(model, {"train": rows}, Settings(optimizer={"kind": "lbfgs", "tolerance": 1e-6}))
    reference = LogisticRegression(C=1.0, tol=1e-9, max_iter=10_000).fit(matrix.astype(np.float64), labels)
    found = np.concatenate([np.array(kernel)[:, 0] for kernel in model.kernels])
    np.testing.assert_allclose(found, reference.coef_[0], atol=2e-3)
    np.testing.assert_allclose(model.bias, reference.intercept_, atol=2e-3)


@pytest.mark.parametrize("module", [logistic_regression, feed_forward])
def test_every_field_affects_the_output(module):
    columns, _ = drawn()
    labels = np.random.default_rng(3).integers(0, 2, 200)
    model = module.build(module.Config(), Sizes(INPUTS, "answered", LABEL), seed=1)
    before = [variable.path for variable in model.variables]
    assert len(set(before)) == len(before)
    settings = Settings(epochs=2, optimizer={"kind": "adam", "learning_rate": 0.05})
    result = loop.fit(model, {"train": Rows(columns, Labels(labels, 2), "answered")}, settings)
    assert np.isfinite(result["best"]["loss"])
    inputs = {name: column.gather(np.arange(4), 5) for name, column in columns.items()}
    whole = np.array(model(inputs, training=False))
    zero = {"subject": tf.sparse.from_dense(np.zeros((4, 7), np.float32)), "body": np.zeros((4, 5), np.int32)}
    for name in inputs:
        other = zero.get(name, np.zeros(4, np.float32))
        assert np.abs(np.array(model({**inputs, name: other}, training=False)) - whole).max() > 1e-4


def test_a_single_field_model_lists_the_fields():
    with pytest.raises(ConfigError, match="reads one field.*'subject', 'body', 'recipients'"):
        recurrent.build(recurrent.Config(), Sizes(INPUTS, "target", WORDS), seed=1)


def test_batches_are_as_wide_as_their_longest_row_in_each_field():
    random = np.random.default_rng(4)
    lengths = {name: random.integers(1, 40, 300) for name in ("subject", "body", "reply")}
    order = Plan(lengths, batch_tokens=400, seed=1).epoch(1)
    assert sorted(np.concatenate([batch.rows for batch in order])) == list(range(300))
    for batch in order:
        assert len(batch.rows) * max(batch.widths.values()) <= 400
        for name, tokens in lengths.items():
            assert tokens[batch.rows].max() <= batch.widths[name]


def test_the_multi_label_loss_is_the_sum_over_labels():
    columns, matrix = drawn()
    targets = (matrix @ np.random.default_rng(5).normal(size=(17, 3)) > 0).astype(np.float32)
    tags = {"kind": "multi_hot", "classes": ["a", "b", "c"]}
    model = logistic_regression.build(logistic_regression.Config(l2=0.0), Sizes(INPUTS, "tags", tags), seed=1)
    rows = Rows(columns, Dense(targets), "tags")
    settings = Settings(epochs=20, optimizer={"kind": "adam", "learning_rate": 0.05})
    result = loop.fit(model, {"train": rows, "valid": rows}, settings)
    inputs = {name: column.gather(np.arange(200), 5) for name, column in columns.items()}
    logits = np.array(model(inputs, training=False), np.float64)
    losses = np.log1p(np.exp(-logits)) * targets + np.log1p(np.exp(logits)) * (1 - targets)
    sums = {name: float(value) for name, value in sigmoid.sums(model, inputs, tf.constant(targets)).items()}
    assert sums["loss"] == pytest.approx(losses.sum(), rel=1e-5)
    scores = {}
    for threshold in sigmoid.THRESHOLDS:
        predicted = 1 / (1 + np.exp(-logits)) >= threshold
        scores[threshold] = 2 * (predicted * targets).sum() / (predicted.sum() + targets.sum())
    figures = sigmoid.figures(sums)
    assert figures["valid_f1"] == pytest.approx(max(scores.values()))
    assert scores[figures["valid_threshold"]] == max(scores.values())
    assert result["best"]["valid_f1"] > 0.9
