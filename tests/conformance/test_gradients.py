"""The training step's gradients of every model and objective against differences in float64."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner

from textpipe import cli
from textpipe.config import plugins
from textpipe.config.sections import Plugin
from textpipe.gradcheck import check, differences, problems
from textpipe.training.settings import Settings

from .conftest import CASES, RECURRENT, SMALL, TRANSFORMER

ONE_LAYER = {**TRANSFORMER, "layers": 1}
BLOCKS = {"kind": "transformer", **ONE_LAYER}
FILTERS = {"kind": "convolution", "embedding_size": 4, "filters": 3, "kernel_sizes": [2, 3]}
READER = {"kind": "recurrent", "embedding_size": 4, "units": 4}
ACTIVATIONS = ("relu", "gelu", "silu", "elu", "sigmoid")
CHOSEN = {
    "captioner": SMALL["captioner"][:1],
    "causal_language_model": [{"encoder": {**READER, "direction": "forward"}}, {"encoder": {**BLOCKS, "causal": True}}],
    "dual_encoder": [{"embedding_size": 4, "units": [5]}, {"embedding_size": 3, "units": [4, 3], "similarity": "dot"}],
    "feed_forward": [
        *({"units": [5], "activation": name, "l2": 2.0} for name in ACTIVATIONS),
        {"units": [6, 5], "embedding": 4, "normalization": "batch", "activation": "tanh", "dropout": 0.0},
        {"units": [5, 5], "embedding": 4, "normalization": "layer", "activation": "selu", "residual": True},
    ],
    "hybrid": SMALL["hybrid"][:1],
    "logistic_regression": [{"l2": 2.0}, {"loss": "hinge"}, {"loss": "squared_hinge"}, {"loss": "hinge"}, {"loss": "squared_hinge"}, {}],
    "masked_language_model": [{"encoder": FILTERS}, {"encoder": BLOCKS}],
    "neural_programmer": [{"units": 4, "passes": 3}],
    "pooled": [
        {"encoder": {"kind": "bag", "embedding_size": 4}, "pooling": "attention", "attention_size": 3, "dropout": 0.0},
        {"encoder": {**FILTERS, "layers": 2}, "units": [5]},
        {"encoder": {**READER, "cell": "lstm"}, "pooling": "last"},
        {"encoder": BLOCKS, "pooling": "mean"},
    ],
    "recurrent": [SMALL["recurrent"][0], {**RECURRENT, "cell": "lstm", "attention": "dot"}, SMALL["recurrent"][5]],
    "transformer": [ONE_LAYER, SMALL["transformer"][2]],
}  # fmt: skip
# Run by `make prove`: other cases, or test_models.py's gradients of the same networks, are part of `make test`.
LARGE = {
    "captioner-0",
    "causal_language_model-1", "dual_encoder-1", "feed_forward-1", "feed_forward-2", "feed_forward-3", "feed_forward-4", "hybrid-0", "masked_language_model-1",
    "pooled-1", "pooled-2", "pooled-3", "recurrent-0", "recurrent-1", "recurrent-2", "transformer-1",
}  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def graphs_run_as_traced():
    """A graph is used a few hundred times: optimizing it takes longer than it saves."""
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    yield
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": False})


def cases():
    """Sets of options of each kind of model, with the kinds of source and target that it takes in turn."""
    for kind in plugins.names("models"):
        for number, options in enumerate(CHOSEN.get(kind, SMALL.get(kind, [{}]))):
            name = f"{kind}-{number}"
            yield pytest.param(kind, options, number, id=name, marks=[pytest.mark.prove] if name in LARGE else [])


def built(kind, options, number, settings=None):
    number %= len(list(problems.variants(plugins.find("models", kind))))
    made = problems.of_kind(kind, options, settings or Settings(), rows=4, seed=1, skip=number)
    return next(made)


def failures(problem, **options):
    reports = check.check(problem, entries=1, directions=1, **options)
    return {report.path: report.worst for report in reports if not report.passed}


@pytest.mark.parametrize(("kind", "options", "number"), list(cases()))
def test_the_gradient_of_every_parameter_agrees_with_differences(kind, options, number, float64):
    gives_tokens = plugins.find("models", kind).GIVES in ("tokens", "masked", "next")
    settings = Settings(label_smoothing=0.1) if gives_tokens and number % 2 else None
    assert not failures(built(kind, options, number, settings))


@pytest.mark.parametrize(
    "settings",
    [
        {"label_smoothing": 0.1, "word_dropout": {"rate": 0.3}, "mixup": 0.4, "r_drop": 1.0},
        {"label_smoothing": 0.1},
    ],
)
def test_the_gradient_of_a_regularized_loss_agrees_with_differences(settings, float64):
    problem = built("feed_forward", {"units": [5], "dropout": 0.3}, 4, Settings(**settings))
    assert not failures(problem)
    plain = check.Loss(built("feed_forward", {"units": [5], "dropout": 0.3}, 4)).value()
    assert abs(check.Loss(problem).value() - plain) > 1e-3  # the settings are part of the loss


@pytest.mark.parametrize("kind", ["transformer", "recurrent"])
def test_the_gradient_of_two_passes_of_a_generator_agrees_with_differences(kind, float64):
    options = {**CHOSEN[kind][0], "dropout": 0.3}
    plain = check.Loss(built(kind, options, 0)).value()
    problem = built(kind, options, 0, Settings(label_smoothing=0.1, r_drop=1.5))
    assert not failures(problem)
    assert abs(check.Loss(problem).value() - plain) > 1e-3


@pytest.mark.parametrize(
    "options",
    [
        {"encoder": FILTERS, "ngram_embedding": 3},
        pytest.param({"encoder": READER, "share_encoder": True}, marks=pytest.mark.prove),
    ],
)
def test_the_gradients_of_several_fields_agree_with_differences(options, float64):
    ids, label = problems.IDS, {"kind": "label", "classes": list("abc")}
    fields = {"subject": ids, "body": ids, "words": problems.SOURCES["sparse"], "size": problems.SOURCES["scalar"]}
    config, sizes = Plugin.check("models", {"kind": "pooled", **options}), problems.Sizes(fields, "target", label)
    model = plugins.find("models", "pooled").build(config, sizes, seed=1)
    problems.perturb(model, seed=1)
    random = np.random.default_rng(1)
    cells = {name: problems.random_rows(size, 4, random) for name, size in fields.items()}
    target, objective = problems.random_rows(label, 4, random), plugins.find("objectives", "softmax")
    assert not failures(check.Problem(model, objective, Settings(), cells, target, 4, "pooled"))


def test_every_model_and_every_objective_has_a_case_in_the_normal_run():
    quick = [case.values for case in cases() if not case.marks]
    assert {kind for kind, _, _ in quick} | {case.kind for case in CASES} == set(plugins.names("models"))
    variants = {kind: list(problems.variants(plugins.find("models", kind))) for kind in plugins.names("models")}
    objectives = {variants[kind][number % len(variants[kind])][2] for kind, _, number in quick}
    assert objectives == set(plugins.names("objectives"))


def test_an_error_of_one_in_ten_thousand_is_found(float64, monkeypatch):
    from textpipe.layers import normalization

    @tf.custom_gradient
    def slightly_wrong(inputs):
        outputs = normalization.normalize(inputs)
        return outputs, lambda upstream: tape_gradient(inputs, upstream) * (1 + 1e-4)

    def tape_gradient(inputs, upstream):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = normalization.normalize(inputs)
        return tape.gradient(outputs, inputs, output_gradients=upstream)

    encoder = {"kind": "transformer", "d_model": 8, "d_ff": 10, "num_heads": 2, "layers": 1}
    problem = built("pooled", {"encoder": encoder}, 1)
    assert not failures(problem)
    monkeypatch.setattr(normalization.LayerNorm, "normalize", lambda self, inputs: slightly_wrong(inputs))
    wrong = failures(problem)
    assert len(wrong) > 5
    assert 1e-6 < max(one.error for one in wrong.values()) < 1e-3


def test_kinks_of_an_l1_penalty_are_named_and_their_subgradient_passes(float64):
    problem = built("logistic_regression", {"l1": 3.0}, 0)
    (kernel,) = problem.model.kernels
    kernel.assign(np.where(np.arange(kernel.shape[0])[:, None] % 2, kernel.numpy(), 0.0))
    by_path = {report.path: report for report in check.check(problem, entries=100, directions=0)}
    assert by_path[kernel.path].passed
    assert by_path[kernel.path].kinks == np.count_nonzero(kernel.numpy() == 0)


@pytest.mark.parametrize(
    ("function", "slope", "state"),
    [
        (lambda t: np.exp(3 * t), 3.0, "smooth"),
        (lambda t: np.sin(200 * t) + 5, 200.0, "smooth"),  # the first steps are too long
        (lambda t: abs(t) + t, 0.0, "kink"),
        (lambda t: abs(t) + t, 2.0, "kink"),
        (lambda t: max(t - 1e-7, 0.0), 0.0, "kink"),
    ],
)
def test_a_derivative_passes_and_another_does_not(function, slope, state):
    compared = differences.compare(function, slope, function(0.0), 1e-7)
    assert compared.passed
    assert compared.state == state
    assert not differences.compare(function, slope + 2.001, function(0.0), 1e-7).passed
    if state == "smooth":
        assert not differences.compare(function, slope * (1 + 1e-6), function(0.0), 1e-7).passed


def test_the_command_checks_a_kind_an_artifact_and_reports_failures(tmp_path, monkeypatch):
    run = CliRunner().invoke
    done = run(cli.main, ["gradcheck", "logistic_regression", "--json"])
    assert done.exit_code == 0, done.output
    table = json.loads(done.stdout)
    assert len(table["checks"]) == 9
    assert table["failed"] == 0
    config = Plugin.check("models", "logistic_regression")
    sizes = {"text": {"kind": "sparse", "dim": 6}, "label": {"kind": "label", "classes": ["a", "b", "c"]}}
    model = plugins.find("models", "logistic_regression").build(
        config, problems.Sizes({"text": sizes["text"]}, "label", sizes["label"]), seed=1
    )
    (tmp_path / "model.json").write_text(json.dumps({"model": config.model_dump(), "sizes": sizes}))
    sides = {"text": {"side": "source"}, "label": {"side": "target"}}
    (tmp_path / "vocabulary.json").write_text(json.dumps(sides))
    model.save_weights(tmp_path / "model.weights.h5")
    assert run(cli.main, ["gradcheck", str(tmp_path)]).exit_code == 0
    assert keras.config.floatx() == "float32"
    monkeypatch.setattr(differences, "relative", lambda *_: 1.0)
    assert run(cli.main, ["gradcheck", str(tmp_path)]).exit_code == 1


@pytest.mark.parametrize(
    ("arguments", "cure"),
    [
        (["logistic_regresion"], "did you mean 'logistic_regression'"),
        (["missing.toml"], "no such pipeline file"),
        (["recurrent", "-s", "model.units=wide"], "units"),
        (["recurrent", "-s", "train.label_smoothing=2"], "train.label_smoothing: input should be less than 1"),
        (["recurrent", "-s", "tokenize.codec=words"], "only model.* and train.*"),
        (["."], "no model.json"),
        ([".", "-s", "model.units=3"], "has its own settings"),
    ],
)
def test_a_wrong_argument_is_explained(arguments, cure, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(cli.main, ["gradcheck", *arguments])
    assert done.exit_code == 2
    assert cure in done.stderr
