"""Word dropout, mixup, R-Drop and label smoothing of classifiers, compared with NumPy; a stopped run resumes bit for bit."""

import numpy as np
import pytest
import scipy.sparse
import tensorflow as tf
import test_training_loop as tests

from textpipe.config.fields import Sizes
from textpipe.data.columns import Dense, Labels, Sparse
from textpipe.errors import ConfigError
from textpipe.models import feed_forward, logistic_regression
from textpipe.objectives import sequence, sigmoid, softmax
from textpipe.stages import train
from textpipe.training import loop, losses
from textpipe.training.batching.rows import Rows
from textpipe.training.regularization import mixup, r_drop, regularized, word_dropout
from textpipe.training.regularization.word_dropout import WordDropout
from textpipe.training.settings import Settings

SEED = tf.constant([7, 1], tf.int32)


def log_softmax(logits):
    shifted = np.asarray(logits, np.float64) - np.max(logits, axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


# Word dropout


@pytest.mark.parametrize("by", ["removal", "unknown"])
def test_a_share_of_the_tokens_is_dropped_and_the_others_keep_their_order(by):
    random = np.random.default_rng(1)
    ids = np.zeros((300, 21), np.int32)
    for row in ids:
        length = random.integers(0, 20)
        row[: length + 1] = [*(4 + np.arange(length)), 3]  # ascending, so that an order can be checked
    found = word_dropout.drop(tf.constant(ids), WordDropout(rate=0.3, by=by), SEED).numpy()
    tokens = (ids > 3).sum()
    kept = (found > 3).sum()
    assert abs(1 - kept / tokens - 0.3) < 5 * np.sqrt(0.21 / tokens)
    for before, after in zip(ids, found, strict=True):
        if by == "unknown":
            np.testing.assert_array_equal(after[after != 1], before[after != 1])
            assert ((before == 0) <= (after == 0)).all()
        else:
            real = after[after != 0]
            assert real[-1] == 3 and (np.diff(real[:-1]) > 0).all() and not after[len(real) :].any()
            assert set(real[:-1]) <= set(before)


def test_n_grams_are_removed_and_numbers_stay():
    matrix = tf.sparse.from_dense(np.arange(1, 2001, dtype=np.float32).reshape(20, 100))
    inputs = {"text": matrix, "number": tf.constant([1.0, 2.0])}
    found = word_dropout.apply(inputs, WordDropout(rate=0.4), SEED)
    values = found["text"].values.numpy()
    assert 0.5 < len(values) / 2000 < 0.7 and set(values) <= set(range(1, 2001))
    assert found["number"] is inputs["number"]
    again = word_dropout.apply(inputs, WordDropout(rate=0.4), SEED)["text"]
    np.testing.assert_array_equal(again.values, values)


# Mixup and R-Drop


def test_shares_have_the_mean_and_variance_of_the_beta_distribution():
    draws = [mixup.draw(0.4, 5, tf.constant([1, number], tf.int32)) for number in range(400)]
    shares = np.array([draw.share.numpy() for draw in draws])
    variance = 1 / (4 * (2 * 0.4 + 1))
    assert abs(shares.mean() - 0.5) < 5 * np.sqrt(variance / 400)
    assert abs(shares.var() - variance) < 0.03
    assert all(sorted(draw.partners.numpy()) == [0, 1, 2, 3, 4] for draw in draws)
    assert len({tuple(draw.partners.numpy()) for draw in draws}) > 50


@pytest.mark.parametrize("independent", [False, True])
def test_the_divergence_is_the_mean_of_both_directions(independent):
    random = np.random.default_rng(2)
    first, second = random.normal(size=(2, 6, 4))
    if independent:
        logs = [np.stack([-np.log1p(np.exp(z)), -np.log1p(np.exp(-z))], axis=-1) for z in (first, second)]
    else:
        logs = [log_softmax(z) for z in (first, second)]
    p, q = np.exp(logs[0]), np.exp(logs[1])
    expected = ((p * (logs[0] - logs[1])).sum() + (q * (logs[1] - logs[0])).sum()) / 2
    found = r_drop.divergence(tf.constant(first), tf.constant(second), independent=independent)
    assert float(found) == pytest.approx(expected, rel=1e-5)


def plain_classifier(dropout=0.0):
    config = feed_forward.Config(units=(8,), embedding=6, dropout=dropout)
    model = feed_forward.build(config, Sizes({"text": tests.IDS}, "label", tests.LABELS), seed=1)
    model.output_linear.kernel.assign(50 * model.output_linear.kernel)  # embeddings start small
    return model


def batch(count=40):
    rows = tests.labelled(count)
    at = np.arange(count)
    return {"source": tf.constant(rows.inputs["source"].gather(at, 12))}, tf.constant(rows.target.gather(at))


def loss_of(model, **settings):
    """The loss of a batch under settings of [train], and its gradients."""
    settings = Settings(**settings)
    objective = regularized.wrap(softmax, settings)
    inputs, targets = batch()
    sums, gradients = objective.gradients(
        model, inputs, targets, [variable.value for variable in model.trainable_variables], total=tf.constant(40.0),
        config=settings, draws=objective.draws(settings, 3, 0),
    )  # fmt: skip
    return float(sums["loss"]), gradients


def test_the_loss_of_mixed_rows_is_that_of_mixed_targets():
    model, settings = plain_classifier(), Settings(mixup=2.0, label_smoothing=0.1)
    seed = regularized.wrap(softmax, settings).draws(settings, 3, 0)[0]
    fold_in = tf.random.experimental.stateless_fold_in
    mix = mixup.draw(2.0, 40, fold_in(fold_in(fold_in(seed, regularized.STREAM), 0), 2))
    share, partners = float(mix.share), mix.partners.numpy()
    assert 0.01 < share < 0.99
    inputs, targets = batch()
    vectors = model.represent(inputs).numpy().astype(np.float64)
    mixed = share * vectors + (1 - share) * vectors[partners]
    logits = mixed @ model.output_linear.kernel.numpy() + model.bias.numpy()
    one_hot = np.eye(3)[targets.numpy()] * 0.9 + 0.1 / 3
    expected = -((share * one_hot + (1 - share) * one_hot[partners]) * log_softmax(logits)).sum()
    assert loss_of(model, mixup=2.0, label_smoothing=0.1)[0] == pytest.approx(expected, rel=1e-5)


def test_r_drop_of_equal_passes_is_the_plain_loss_and_of_others_adds_their_divergence():
    inputs, targets = batch()
    model = plain_classifier()
    plain = float(softmax.sums(model, inputs, targets, training=True, config=Settings())["loss"])
    assert loss_of(model, r_drop=4.0)[0] == pytest.approx(plain, rel=1e-6)
    passes = plain_classifier(dropout=0.5)
    logits = [passes(inputs, training=True) for _ in range(2)]
    mean = sum(float(losses.classification_sums(one, targets)["loss"]) for one in logits) / 2
    disagreement = float(r_drop.divergence(*logits, independent=False))
    assert disagreement > 0.1
    found, gradients = loss_of(plain_classifier(dropout=0.5), r_drop=4.0)
    assert found == pytest.approx(mean + 4 * disagreement, rel=1e-5)
    assert all(np.abs(losses.to_dense(one)).max() > 0 for one in gradients)


def test_labels_are_smoothed_in_training_alone_and_two_classes_like_more():
    inputs, targets = batch()
    model, settings = plain_classifier(), Settings(label_smoothing=0.2)
    expected = np.eye(3)[targets.numpy()] * 0.8 + 0.2 / 3
    logs = log_softmax(model(inputs).numpy())
    found = softmax.sums(model, inputs, targets, training=True, config=settings)
    assert float(found["loss"]) == pytest.approx(-(expected * logs).sum(), rel=1e-5)
    found = softmax.sums(model, inputs, targets, config=settings)
    assert float(found["loss"]) == pytest.approx(-logs[np.arange(40), targets.numpy()].sum(), rel=1e-5)
    logit, labels = tf.constant([[0.3], [-2.0]]), tf.constant([1, 0])
    two = losses.classification_sums(logit, labels, smoothing=0.2)["loss"]
    both = losses.cross_entropy_sums(tf.concat([tf.zeros_like(logit), logit], axis=1), labels, 0.2)["loss"]
    assert float(two) == pytest.approx(float(both), rel=1e-6)


def test_several_labels_take_mixup_and_r_drop():
    random = np.random.default_rng(4)
    matrix = random.poisson(0.6, (60, 7)).astype(np.float32)
    targets = (matrix @ random.normal(size=(7, 3)) > 0).astype(np.float32)
    tags = {"kind": "multi_hot", "classes": ["a", "b", "c"]}
    model = feed_forward.build(
        feed_forward.Config(units=(8,)), Sizes({"text": {"kind": "sparse", "dim": 7}}, "tags", tags), seed=1
    )
    rows = Rows({"text": Sparse.from_scipy(scipy.sparse.csr_matrix(matrix))}, Dense(targets), "tags")
    settings = Settings(
        epochs=30,
        batch_rows=8,
        mixup=0.2,
        r_drop=0.5,
        word_dropout={"rate": 0.1},
        optimizer={"kind": "adam", "learning_rate": 0.02},
    )
    result = loop.fit(model, {"train": rows, "valid": rows}, settings, objective=sigmoid)
    assert result["best"]["valid_f1"] > 0.9


# Runs


ALL = {"word_dropout": {"rate": 0.2}, "mixup": 0.3, "r_drop": 1.0, "label_smoothing": 0.1}


class Stopped(Exception):
    """Interrupts a run."""


def trained(folder, stop_after=None, monkeypatch=None, **settings):
    rows, model = tests.labelled(64), tests.classifier()
    settings = Settings(epochs=3, batch_rows=16, checkpoint_steps=1, num_shapes=1, **settings)
    update, count = loop.Loop.update, []

    def dying(self, *arguments):
        count.append(None)
        if len(count) == stop_after:
            raise Stopped
        update(self, *arguments)

    if stop_after:
        with monkeypatch.context() as patch:
            patch.setattr(loop.Loop, "update", dying)
            with pytest.raises(Stopped):
                loop.fit(model, {"train": rows, "valid": rows}, settings, folder)
    else:
        loop.fit(model, {"train": rows, "valid": rows}, settings, folder)
    return tests.weights(model)


def test_a_run_stopped_inside_an_epoch_resumes_with_the_same_draws(tmp_path, monkeypatch):
    for number, more in enumerate(({}, {"accumulate": 2})):
        whole = trained(tmp_path / f"whole{number}", **ALL, **more)
        trained(tmp_path / f"stopped{number}", stop_after=4, monkeypatch=monkeypatch, **ALL, **more)
        assert tests.same(whole, trained(tmp_path / f"stopped{number}", **ALL, **more))


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("full"), **ALL)


@pytest.mark.parametrize("name", ALL)
def test_a_setting_changes_the_run(name, full, tmp_path):
    without = {key: value for key, value in ALL.items() if key != name}
    assert not tests.same(full, trained(tmp_path, **without))


def test_words_become_unknown_in_a_generator_too(tmp_path):
    rows = tests.reversals(32)
    weights = []
    for options in ({}, {"word_dropout": {"rate": 0.5, "by": "unknown"}}):
        model = tests.generator()
        loop.fit(model, {"train": rows}, Settings(epochs=1, batch_rows=8, **options), objective=sequence)
        weights.append(tests.weights(model))
    assert not tests.same(*weights)


# Refusals


def refused(message, *, model="feed_forward", task="classify", **settings):
    with pytest.raises(ValueError, match=message):
        train.Config(task=task, model=model, **settings)


def test_settings_that_cannot_be_used_are_refused_before_any_data_is_read():
    refused("mixup: works on the logits of a classifier", model="recurrent", task="translate", mixup=1.0)
    refused("mixup: logistic_regression has no hidden layer to mix", model="logistic_regression", mixup=1.0)
    refused("r_drop: compares two passes, which are equal without dropout", model="logistic_regression", r_drop=1.0)
    refused("r_drop: compares two passes", model={"kind": "pooled", "encoder": "bag", "dropout": 0.0}, r_drop=1.0)
    refused("mixup: lbfgs works on all rows", model="logistic_regression", optimizer="lbfgs", mixup=1.0)
    refused("label_smoothing: feed_forward answers with labels", task="multi_label", label_smoothing=0.1)
    train.Config(
        task="classify",
        model={"kind": "pooled", "encoder": {"kind": "bag", "word_dropout": 0.1}, "dropout": 0.0},
        r_drop=1.0,
    )
    train.Config(task="classify", model="logistic_regression", r_drop=1.0, word_dropout={"rate": 0.1})


@pytest.mark.parametrize(
    ("size", "by", "message"),
    [
        ({"kind": "sparse", "dim": 9}, "unknown", r'word_dropout.by: "unknown" replaces token ids, and there are none'),
        ({"kind": "scalar"}, "removal", "word_dropout: no field has tokens or n-grams"),
        ({"kind": "ids", "vocab_size": 9, "num_words": 5}, "removal", "rows of the codec 'hybrid' spell words"),
    ],
)
def test_word_dropout_without_words_is_refused(size, by, message):
    with pytest.raises(ConfigError, match=message):
        regularized.check_features(Settings(word_dropout={"rate": 0.1, "by": by}), {"text": size})


def test_a_model_without_a_hidden_layer_is_not_mixed():
    sizes = Sizes({"text": tests.IDS}, "label", tests.LABELS)
    model = logistic_regression.build(logistic_regression.Config(), sizes, seed=1)
    with pytest.raises(ConfigError, match="mixup: the model has no hidden layer to mix"):
        regularized.check_model(Settings(mixup=1.0), model)


def test_two_classes_have_one_logit(tmp_path):
    rows = tests.labelled(64)
    rows = Rows(rows.inputs, Labels(rows.target.values % 2, 2))
    sizes = Sizes({"text": tests.IDS}, "label", {"kind": "label", "classes": ["no", "yes"]})
    model = feed_forward.build(feed_forward.Config(units=(8,), embedding=6, dropout=0.3), sizes, seed=1)
    result = loop.fit(
        model,
        {"train": rows, "valid": rows},
        Settings(epochs=40, **ALL, optimizer={"kind": "adam", "learning_rate": 0.02}),
    )
    assert result["best"]["valid_accuracy"] > 0.8
