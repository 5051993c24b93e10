"""Models with several source fields, and multi-label targets."""

import numpy as np
import pytest
import scipy.sparse
import tensorflow as tf
from sklearn.linear_model import LogisticRegression

from textpipe.config.fields import Sizes
from textpipe.data.columns import Dense, Ids, Labels, Sparse
from textpipe.errors import ConfigError
from textpipe.models import feed_forward, logistic_regression, pooled, recurrent
from textpipe.objectives import sigmoid
from textpipe.stages import train
from textpipe.training import loop
from textpipe.training.batching.batches import Plan
from textpipe.training.batching.rows import Rows
from textpipe.training.settings import Settings
from textpipe.training.warm_start import parameters, vocabulary_axes

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


TEXTS = {"subject": {**WORDS, "max_length": 4}, "body": WORDS}
BAG = {"kind": "bag", "embedding_size": 6}


def pooled_model(inputs=INPUTS, **options):
    config = pooled.Config(**{"encoder": BAG, **options})
    return pooled.build(config, Sizes(inputs, "answered", LABEL), seed=1)


@pytest.mark.parametrize("width", [None, 5])
def test_pooled_joins_texts_n_grams_and_numbers(width):
    columns, _ = drawn()
    inputs = {name: column.gather(np.arange(4), 5) for name, column in columns.items()}
    model = pooled_model(ngram_embedding=width, pooling="mean", dropout=0.0)
    random = np.random.default_rng(6)
    for weight in model.trainable_weights:
        weight.assign(random.normal(size=weight.shape))
    weights = {name: weight.numpy().astype(float) for name, weight in parameters.weights_by_name(model).items()}
    body, subject = inputs["body"], tf.sparse.to_dense(inputs["subject"]).numpy().astype(float)
    vectors = weights["field_body/encoder/embedding/table"][body] * (body != 0)[:, :, None]
    parts = [vectors.sum(axis=1) / (body != 0).sum(axis=1, keepdims=True)]
    mapped = subject @ weights["field_subject/kernel"]
    parts += [mapped] if width else []
    joined = np.concatenate([*parts, inputs["recipients"][:, None]], axis=1)
    expected = joined @ weights["output_linear/kernel"] + weights["bias"] + (0 if width else mapped)
    np.testing.assert_allclose(model(inputs), expected, rtol=1e-4, atol=1e-5)


def test_every_field_of_pooled_has_its_own_encoder_or_shares_one():
    apart, shared = pooled_model(TEXTS), pooled_model(TEXTS, share_encoder=True)
    names = parameters.weights_by_name(apart)
    assert len(names) == len(apart.weights) and not np.array_equal(
        names["field_subject/encoder/embedding/table"], names["field_body/encoder/embedding/table"]
    )
    assert [name for name in parameters.weights_by_name(shared) if name.endswith("table")] == [
        "encoder/embedding/table"
    ]
    other = pooled_model(TEXTS, encoders={"body": {"kind": "convolution", "filters": 3}})
    widths = {one.name: one.pooling.size for one in other.fields}
    assert widths == {"field_subject": 6, "field_body": 9}
    ids = {name: np.array([[4, 5, 3]], np.int32) for name in TEXTS}
    before = shared(ids).numpy()
    shared.shared.embedding.table.assign(shared.shared.embedding.table + 1.0)
    assert np.abs(shared(ids).numpy() - before).max() > 1e-3


@pytest.mark.parametrize(
    "options", [{"encoder": {"kind": "recurrent", "units": 8}}, {"share_encoder": True}, {"ngram_embedding": 5}]
)
def test_pooled_learns_from_all_fields(options):
    columns, matrix = drawn(300)
    if "share_encoder" in options:
        columns = {
            "subject": columns["body"],
            "body": drawn(300, seed=2)[0]["body"],
            "recipients": columns["recipients"],
        }
    sizes = {name: {"subject": SPARSE, "body": WORDS, "recipients": {"kind": "scalar"}}[name] for name in columns}
    sizes["subject"] = WORDS if "share_encoder" in options else SPARSE
    recipients = matrix[:, -1] > 0
    subject = (
        [4 in row for row in columns["subject"].gather(np.arange(300), 6)]
        if "share_encoder" in options
        else matrix[:, 1] > 0
    )
    labels = (recipients | np.array(subject)).astype(np.int32)
    model = pooled_model(sizes, **options, dropout=0.1, units=(16,))
    before = [variable.path for variable in model.variables]
    assert len(set(before)) == len(before)
    rows = Rows(columns, Labels(labels, 2), "answered")
    settings = Settings(epochs=12, batch_rows=16, optimizer={"kind": "adam", "learning_rate": 0.02}, mixup=0.2)
    assert loop.fit(model, {"train": rows, "valid": rows}, settings)["best"]["valid_accuracy"] > 0.9


@pytest.mark.parametrize(
    ("inputs", "options", "message"),
    [
        (INPUTS, {"encoders": {"bdy": BAG}}, "encoders.bdy: no text field has this name; did you mean 'body'"),
        (INPUTS, {"encoder": BAG, "encoders": {"body": BAG}}, "encoder: has no effect, because encoders names every text field; leave encoder out"),
        (INPUTS, {"share_encoder": True}, "share_encoder: there is a single text field"),
        (
            {"subject": {**WORDS, "vocab_size": 8}, "body": WORDS}, {"share_encoder": True},
            "must share a vocabulary, found sizes subject 8, body 9; set .tokenize. vocabulary",
        ),
        (TEXTS, {"ngram_embedding": 8}, "ngram_embedding: applies to fields of n-grams"),
        ({"a": SPARSE, "b": SPARSE}, {}, "encoder bag: expects ids features, found sparse for 'a'"),
    ],
)  # fmt: skip
def test_settings_of_fields_that_pooled_does_not_have_are_refused(inputs, options, message):
    with pytest.raises(ConfigError, match=message):
        pooled_model(inputs, **options)


def test_fields_of_a_shared_encoder_must_have_the_same_tokens():
    config = train.Config(task="classify", model={"kind": "pooled", "share_encoder": True})
    tables = [{"side": "source", "kind": "ids", "names": names} for names in (["a", "b"], ["a", "c"])]
    with pytest.raises(ConfigError, match="pooled: reads these fields with one vocabulary, but their tokens differ"):
        train.check_tokens(config, dict(zip("xy", tables, strict=True)))
    with pytest.raises(ValueError, match="encoders: with share_encoder, one encoder reads all fields"):
        train.Config(task="classify", model={"kind": "pooled", "share_encoder": True, "encoders": {"x": "bag"}})


def test_axes_of_a_shared_encoder_are_of_the_texts_and_those_of_n_grams_of_their_field():
    inputs = {**TEXTS, "more": SPARSE, "recipients": {"kind": "scalar"}}
    sizes = Sizes(inputs, "answered", LABEL)
    config = pooled.Config(encoder=BAG, share_encoder=True)
    model = pooled.build(config, sizes, seed=1)
    enlarged, shapes = vocabulary_axes.enlarged_shapes(config, sizes)
    axes = vocabulary_axes.find_axes(parameters.weights_by_name(model), enlarged, shapes)
    assert axes["encoder/embedding/table"] == {0: ("subject", "all")}
    assert axes["field_more/kernel"] == {0: ("more", "all"), 1: ("answered", "all")}


@pytest.mark.parametrize("options", [{}, {"share_encoder": True}])
def test_weights_of_several_fields_are_saved_and_loaded(options, tmp_path):
    inputs = {**TEXTS, "more": SPARSE}
    one = pooled_model(inputs, **options)
    other = pooled.build(pooled.Config(encoder=BAG, **options), Sizes(inputs, "answered", LABEL), seed=2)
    one.save_weights(tmp_path / "model.weights.h5")
    other.load_weights(tmp_path / "model.weights.h5")
    for before, after in zip(one.weights, other.weights, strict=True):
        np.testing.assert_array_equal(before, after)
