"""Logistic regression compared with scikit-learn, feed-forward networks with NumPy."""

import json

import numpy as np
import pytest
import scipy.sparse
from sklearn.linear_model import LogisticRegression

from textpipe.config.fields import Sizes
from textpipe.data.columns import Ids, Labels, Sparse
from textpipe.errors import ConfigError
from textpipe.models import feed_forward, logistic_regression
from textpipe.training import l2_path, loop
from textpipe.training.batching.rows import Rows
from textpipe.training.settings import Settings


def sizes(source, num_classes):
    classes = [f"class {number}" for number in range(num_classes)]
    return Sizes({"text": source}, "label", {"kind": "label", "classes": classes})


def sample(num_classes, rows=400, dim=40):
    """Sparse rows whose label depends on them, with noise."""
    random = np.random.default_rng(num_classes)
    matrix = scipy.sparse.random(rows, dim, 0.2, random_state=num_classes, format="csr", dtype=np.float32)
    scores = 3 * (matrix @ random.normal(size=(dim, num_classes))) + random.normal(size=(rows, num_classes))
    return matrix, scores.argmax(axis=1)


def fitted(matrix, labels, num_classes, *, l2, optimizer, **settings):
    config = logistic_regression.Config(l2=l2)
    model = logistic_regression.build(config, sizes({"kind": "sparse", "dim": matrix.shape[1]}, num_classes), seed=1)
    rows = Rows({"source": Sparse.from_scipy(matrix)}, Labels(labels, num_classes))
    return model, loop.fit(model, {"train": rows, "valid": rows}, Settings(optimizer=optimizer, **settings))


@pytest.mark.parametrize("num_classes", [2, 4])
@pytest.mark.parametrize("l2", [1.0, 0.05])
def test_lbfgs_finds_the_coefficients_of_scikit_learn(num_classes, l2):
    matrix, labels = sample(num_classes)
    reference = LogisticRegression(C=1 / l2, tol=1e-9, max_iter=10_000).fit(matrix.astype(np.float64), labels)
    model, result = fitted(matrix, labels, num_classes, l2=l2, optimizer={"kind": "lbfgs", "tolerance": 1e-6})
    assert result["stopped"] == "converged"
    np.testing.assert_allclose(model.linear.kernel.numpy().T, reference.coef_, atol=1e-3, rtol=1e-3)
    # A constant added to every class's bias changes no probability, and nothing penalizes it.
    bias, expected = model.bias.numpy(), reference.intercept_
    shift = 0 if num_classes == 2 else (bias - expected).mean()
    np.testing.assert_allclose(bias - shift, expected, atol=1e-3, rtol=1e-3)
    probabilities = reference.predict_proba(matrix)[:, -1]
    logits = model({"source": Sparse.from_scipy(matrix).gather(np.arange(400))}).numpy().astype(np.float64)
    logits = np.hstack([np.zeros((400, 1)), logits]) if num_classes == 2 else logits
    predicted = np.exp(logits[:, -1]) / np.exp(logits).sum(axis=1)
    np.testing.assert_allclose(predicted, probabilities, atol=5e-4)
    np.testing.assert_allclose(result["best"]["valid_accuracy"], reference.score(matrix, labels), atol=1e-6)


def halves(num_classes):
    matrix, labels = sample(num_classes)
    return [
        Rows({"source": Sparse.from_scipy(matrix[part])}, Labels(labels[part], num_classes))
        for part in (slice(0, 200), slice(200, 400))
    ]


def test_the_l2_of_a_path_with_the_best_validation_is_kept(tmp_path):
    train, valid = halves(2)
    size = sizes({"kind": "sparse", "dim": 40}, 2)
    settings = Settings(optimizer={"kind": "lbfgs", "tolerance": 1e-6})
    alone = {}
    for l2 in (30.0, 0.1, 0.001):
        model = logistic_regression.build(logistic_regression.Config(l2=l2), size, seed=1)
        alone[l2] = loop.fit(model, {"train": train, "valid": valid}, settings)["best"], model.linear.kernel.numpy()
    best = max(alone, key=lambda l2: -alone[l2][0]["valid_loss"])
    assert best == 0.1, "the best value of the sample must be inside the path"

    path = logistic_regression.build(logistic_regression.Config(l2=[0.001, 30.0, 0.1]), size, seed=1)
    result = loop.fit(path, {"train": train, "valid": valid}, settings, tmp_path)
    assert result["best"]["l2"] == best
    np.testing.assert_allclose(path.linear.kernel.numpy(), alone[best][1], atol=2e-3)
    lines = [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    tried = [line for line in lines if "l2" in line]
    assert [line["l2"] for line in tried] == [30.0, 0.1, 0.001]
    for line in tried:
        assert line["valid_loss"] == pytest.approx(alone[line["l2"]][0]["valid_loss"], abs=1e-3)


@pytest.mark.parametrize("optimizer", ["lbfgs", "liblinear"])
def test_a_path_of_l2_goes_on_while_its_least_value_is_the_best(optimizer, tmp_path):
    train, valid = halves(3)
    size, loss = sizes({"kind": "sparse", "dim": 40}, 3), "logistic" if optimizer == "lbfgs" else "squared_hinge"

    def tried(name, **options):
        (tmp_path / name).mkdir()
        model = logistic_regression.build(logistic_regression.Config(loss=loss, **options), size, seed=1)
        best = loop.fit(model, {"train": train, "valid": valid}, Settings(optimizer=optimizer), tmp_path / name)["best"]
        lines = [json.loads(line) for line in (tmp_path / name / "history.jsonl").read_text().splitlines()]
        return best, [line["l2"] for line in lines if "l2" in line]

    best, values = tried("few", l2=[900.0, 300.0], l2_extensions=1)
    assert values == [900.0, 300.0, 100.0] and best["l2"] == 100.0
    best, values = tried("many", l2=[900.0, 300.0], l2_extensions=12)
    assert values[:5] == [900.0, 300.0, 100.0, 30.0, 9.0] and 4 < len(values) < 14
    assert best["l2"] > values[-1], "the last value is not the best, or it would have gone on"
    explicit, _ = tried("explicit", l2=values)
    assert explicit["l2"] == best["l2"] and explicit["valid_loss"] == pytest.approx(best["valid_loss"], abs=1e-6)


def test_a_single_l2_is_no_path_to_extend():
    for l2 in (1.0, [1.0], [1.0, 0.0]):
        with pytest.raises(ValueError, match="continues a list of at least two values"):
            logistic_regression.Config(l2=l2, l2_extensions=1)
    assert l2_path.next_value(1.0, 0.99) < 0.99


def test_a_path_of_l2_needs_validation_rows_and_different_values():
    train, _ = halves(2)
    model = logistic_regression.build(
        logistic_regression.Config(l2=[1.0, 0.1]), sizes({"kind": "sparse", "dim": 40}, 2), seed=1
    )
    with pytest.raises(ConfigError, match="no validation rows to choose one; set \\[ingest\\] split.valid"):
        loop.fit(model, {"train": train}, Settings(optimizer="lbfgs"))
    for values in ([], [1.0, 1.0], [-1.0], [float("nan")]):
        with pytest.raises(ValueError):
            logistic_regression.Config(l2=values)


def test_adam_finds_the_same_minimum_as_lbfgs():
    matrix, labels = sample(3)
    exact, _result = fitted(matrix, labels, 3, l2=1.0, optimizer={"kind": "lbfgs", "tolerance": 1e-6})
    model, _ = fitted(
        matrix, labels, 3, l2=1.0, optimizer={"kind": "adam", "learning_rate": 0.1}, schedule="cosine", epochs=300,
        batch_rows=400, keep="last",
    )  # fmt: skip
    np.testing.assert_allclose(model.linear.kernel.numpy(), exact.linear.kernel.numpy(), atol=0.03)


def test_lbfgs_over_ids_agrees_with_scikit_learn_on_scaled_counts():
    random = np.random.default_rng(5)
    labels = random.integers(0, 3, size=300)
    lists = [list(random.integers(1 + 2 * label, 12 + 2 * label, size=random.integers(1, 9))) for label in labels]
    counts = np.zeros((300, 20))
    for row, tokens in enumerate(lists):
        np.add.at(counts[row], tokens, 1 / np.sqrt(len(tokens)))
    reference = LogisticRegression(C=1.0, tol=1e-9, max_iter=10_000).fit(counts, labels)
    size = {"kind": "ids", "vocab_size": 20, "max_length": 8}
    model = logistic_regression.build(logistic_regression.Config(l2=1.0), sizes(size, 3), seed=1)
    rows = Rows({"source": Ids.from_lists(lists)}, Labels(labels, 3))
    loop.fit(model, {"train": rows}, Settings(optimizer={"kind": "lbfgs", "tolerance": 1e-6}))
    np.testing.assert_allclose(model.linear.kernel.numpy().T, reference.coef_, atol=1e-3)
    logits = model({"source": rows.inputs["source"].gather(np.arange(300), 12)}).numpy()
    np.testing.assert_array_equal(logits.argmax(axis=1), reference.predict(counts))


def test_lbfgs_refuses_objectives_it_cannot_minimize():
    matrix, labels = sample(3, rows=30)
    rows = {"train": Rows({"source": Sparse.from_scipy(matrix)}, Labels(labels, 3))}
    size = sizes({"kind": "sparse", "dim": 40}, 3)
    with pytest.raises(ConfigError, match='set optimizer = "adam" for this model'):
        loop.fit(feed_forward.build(feed_forward.Config(), size, seed=1), rows, Settings(optimizer="lbfgs"))


def test_l1_shrinks_the_kernel_of_uninformative_features():
    matrix, labels = sample(2)
    noise = scipy.sparse.random(400, 40, 0.2, random_state=9, format="csr", dtype=np.float32)
    rows = {"train": Rows({"source": Sparse.from_scipy(scipy.sparse.hstack([matrix, noise]))}, Labels(labels, 2))}
    size = sizes({"kind": "sparse", "dim": 80}, 2)
    kernels = {}
    for l1 in (0.0, 2.0):
        model = logistic_regression.build(logistic_regression.Config(l1=l1, l2=0), size, seed=1)
        loop.fit(model, rows, Settings(optimizer={"kind": "adam", "learning_rate": 0.05}, schedule="cosine", epochs=25))
        kernels[l1] = np.abs(model.linear.kernel.numpy())
    assert np.median(kernels[2.0][40:]) < 0.1 * np.median(kernels[0.0][40:])
    assert np.median(kernels[2.0][:40]) > 4 * np.median(kernels[2.0][40:])


def dense_reference(model, features, activation=lambda hidden: np.maximum(hidden, 0)):
    """The network's logits by NumPy in float64, dropout off."""
    hidden = features.astype(np.float64)
    for layer in model.hidden:
        given, hidden = hidden, hidden @ layer.linear.kernel.numpy()
        norm = layer.norm
        if norm is None:
            hidden = hidden + layer.bias.numpy()
        else:
            if hasattr(norm, "moving_mean"):
                mean, variance = norm.moving_mean.numpy(), norm.moving_variance.numpy()
            else:
                mean, variance = hidden.mean(axis=1, keepdims=True), hidden.var(axis=1, keepdims=True)
            hidden = (hidden - mean) / np.sqrt(variance + norm.epsilon) * norm.gamma.numpy() + norm.beta.numpy()
        hidden = activation(hidden) + (given if layer.residual else 0)
    return hidden @ model.output_linear.kernel.numpy() + model.bias.numpy()


def selu(hidden):
    """Klambauer et al., 2017, equation 2."""
    alpha, scale = 1.6732632423543772, 1.0507009873554805
    return scale * np.where(hidden > 0, hidden, alpha * np.expm1(np.minimum(hidden, 0)))


@pytest.mark.parametrize("normalization", ["none", "batch", "layer"])
def test_feed_forward_equals_numpy(normalization):
    matrix, labels = sample(3, rows=60)
    config = feed_forward.Config(units=(8, 5), normalization=normalization, dropout=0.3)
    model = feed_forward.build(config, sizes({"kind": "sparse", "dim": 40}, 3), seed=1)
    rows = Rows({"source": Sparse.from_scipy(matrix)}, Labels(labels, 3))
    loop.fit(model, {"train": rows}, Settings(epochs=2))
    logits = model({"source": rows.inputs["source"].gather(np.arange(60))})
    np.testing.assert_allclose(logits, dense_reference(model, matrix.toarray()), atol=1e-5)


def test_residual_layers_with_selu_equal_numpy():
    config = feed_forward.Config(units=(6, 6, 4), activation="selu", initializer="lecun", residual=True, dropout=0)
    model = feed_forward.build(config, sizes({"kind": "sparse", "dim": 40}, 3), seed=1)
    assert [layer.residual for layer in model.hidden] == [False, True, False]
    matrix, _ = sample(3, rows=20)
    logits = model({"source": Sparse.from_scipy(matrix).gather(np.arange(20))})
    np.testing.assert_allclose(logits, dense_reference(model, matrix.toarray(), selu), atol=1e-5)
    wide = feed_forward.build(
        feed_forward.Config(units=(400,), initializer="lecun"), sizes({"kind": "sparse", "dim": 40}, 3), seed=1
    )
    assert wide.hidden[0].linear.kernel.numpy().std() == pytest.approx((1 / 40) ** 0.5, rel=0.05)
    with pytest.raises(ValueError, match="needs two consecutive layers of equal width"):
        feed_forward.Config(units=(8, 4), residual=True)


def test_feed_forward_averages_the_embeddings_of_ids():
    size = {"kind": "ids", "vocab_size": 12, "max_length": 8}
    model = feed_forward.build(feed_forward.Config(units=(4,), embedding=3), sizes(size, 2), seed=1)
    table = model.embedding.kernel.numpy()
    mean = np.stack([table[[5, 5, 3]].mean(axis=0), table[[7, 3]].mean(axis=0)])
    logits = model({"source": np.array([[5, 5, 3, 0], [7, 3, 0, 0]], np.int32)})
    assert logits.shape == (2, 1)
    np.testing.assert_allclose(logits, dense_reference(model, mean), atol=1e-6)


def test_feed_forward_learns_exclusive_or():
    corners = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
    matrix = scipy.sparse.csr_matrix(np.tile(np.hstack([corners, np.ones((4, 1))]), (50, 1)))
    labels = np.tile([0, 1, 1, 0], 50)
    model = feed_forward.build(
        feed_forward.Config(units=(16,), dropout=0, activation="tanh"), sizes({"kind": "sparse", "dim": 3}, 2), seed=1
    )
    rows = Rows({"source": Sparse.from_scipy(matrix)}, Labels(labels, 2))
    settings = Settings(optimizer={"kind": "adam", "learning_rate": 0.05}, epochs=60)
    assert loop.fit(model, {"train": rows, "valid": rows}, settings)["best"]["valid_accuracy"] == 1.0


@pytest.mark.parametrize("module", [logistic_regression, feed_forward])
def test_padding_does_not_change_an_answer(module):
    random = np.random.default_rng(6)
    model = module.build(module.Config(), sizes({"kind": "ids", "vocab_size": 12, "max_length": 8}, 3), seed=1)
    for weight in model.trainable_weights:
        weight.assign(random.normal(size=weight.shape))
    ids = random.integers(1, 12, size=(5, 6)).astype(np.int32)
    np.testing.assert_allclose(model({"source": ids}), model({"source": np.pad(ids, ((0, 0), (0, 3)))}), atol=1e-5)


@pytest.mark.parametrize("module", [logistic_regression, feed_forward])
def test_a_row_without_any_feature_gets_finite_logits(module):
    rows = Sparse.from_scipy(scipy.sparse.csr_matrix((2, 7), dtype=np.float32))
    model = module.build(module.Config(), sizes({"kind": "sparse", "dim": 7}, 3), seed=1)
    assert np.isfinite(model({"source": rows.gather(np.arange(2))})).all()
    ids = module.build(module.Config(), sizes({"kind": "ids", "vocab_size": 7, "max_length": 8}, 3), seed=1)
    assert np.isfinite(ids({"text": np.zeros((2, 4), np.int32)})).all()


@pytest.mark.parametrize("module", [logistic_regression, feed_forward])
def test_saved_weights_give_the_same_logits_in_a_new_model(module, tmp_path):
    random = np.random.default_rng(7)
    size = sizes({"kind": "sparse", "dim": 7}, 3)
    model = module.build(module.Config(), size, seed=1)
    for weight in model.trainable_weights:
        weight.assign(random.normal(size=weight.shape))
    model.save_weights(tmp_path / "x.weights.h5")
    again = module.build(module.Config(), size, seed=2)
    again.load_weights(tmp_path / "x.weights.h5")
    batch = Sparse.from_scipy(scipy.sparse.random(9, 7, 0.4, random_state=0, dtype=np.float32)).gather(np.arange(9))
    np.testing.assert_array_equal(model({"source": batch}), again({"source": batch}))


def test_feed_forward_starts_from_its_seed():
    size = sizes({"kind": "sparse", "dim": 7}, 3)
    one, same, other = (feed_forward.build(feed_forward.Config(), size, seed=seed) for seed in (1, 1, 2))
    for first, second, third in zip(one.hidden, same.hidden, other.hidden, strict=True):
        np.testing.assert_array_equal(first.linear.kernel, second.linear.kernel)
        assert not np.array_equal(first.linear.kernel, third.linear.kernel)
