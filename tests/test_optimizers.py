"""Optimizers against the formulas of their papers, schedules against their tables."""

import math

import numpy as np
import pytest

from textpipe.config import plugins
from textpipe.training import lbfgs
from textpipe.training.schedules import (
    constant,
    cosine,
    exponential,
    halving,
    inverse_square_root,
    noam,
    plateau,
    steps,
)


def sgd(w, gradients, learning_rate=0.1):
    for g in gradients:
        w = w - learning_rate * g
    return w


def momentum(w, gradients, learning_rate=0.1, momentum=0.9, nesterov=False):
    v = 0.0
    for g in gradients:
        v = momentum * v - learning_rate * g
        w = w + (momentum * v - learning_rate * g if nesterov else v)
    return w


def adagrad(w, gradients, learning_rate=0.1, start=0.1, epsilon=1e-7):
    a = start
    for g in gradients:
        a = a + g * g
        w = w - learning_rate * g / np.sqrt(a + epsilon)
    return w


def rmsprop(w, gradients, learning_rate=0.001, rho=0.9, epsilon=1e-7):
    a = 0.0
    for g in gradients:
        a = rho * a + (1 - rho) * g * g
        w = w - learning_rate * g / np.sqrt(a + epsilon)
    return w


def adam(w, gradients, learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-7, decay=0.0):
    m = v = 0.0
    for t, g in enumerate(gradients, 1):
        m, v = beta_1 * m + (1 - beta_1) * g, beta_2 * v + (1 - beta_2) * g * g
        step = (m / (1 - beta_1**t)) / (np.sqrt(v / (1 - beta_2**t)) + epsilon)
        w = w - learning_rate * decay * w - learning_rate * step
    return w


CASES = {
    "sgd": ({"kind": "sgd"}, sgd),
    "momentum": ({"kind": "sgd", "momentum": 0.9}, momentum),
    "nesterov": ({"kind": "sgd", "momentum": 0.9, "nesterov": True}, lambda w, g: momentum(w, g, nesterov=True)),
    "adagrad": ({"kind": "adagrad"}, adagrad),
    "rmsprop": ({"kind": "rmsprop"}, rmsprop),
    "adam": ({"kind": "adam"}, adam),
    "adamw": ({"kind": "adamw", "weight_decay": 0.1}, lambda w, g: adam(w, g, decay=0.1)),
}


@pytest.mark.parametrize("case", CASES)
def test_five_steps_agree_with_the_formula(case):
    import keras

    table, reference = CASES[case]
    random = np.random.default_rng(0)
    start, gradients = random.normal(size=(3, 4)), random.normal(size=(5, 3, 4))
    module = plugins.find("training.optimizers", table["kind"])
    weight = keras.Variable(start.astype(np.float32))
    optimizer = module.build(module.Config(**table), [weight])
    optimizer.build([weight])
    for gradient in gradients:
        optimizer.apply([keras.ops.convert_to_tensor(gradient.astype(np.float32))], [weight])
    np.testing.assert_allclose(weight.numpy(), reference(start, gradients), rtol=2e-5, atol=2e-6)


def test_adamw_does_not_decay_biases():
    import keras

    module = plugins.find("training.optimizers", "adamw")
    bias = keras.Variable(np.ones(4, np.float32))
    optimizer = module.build(module.Config(weight_decay=0.5), [bias])
    optimizer.build([bias])
    optimizer.apply([keras.ops.zeros(4)], [bias])
    np.testing.assert_array_equal(bias.numpy(), np.ones(4))


def test_every_optimizer_and_schedule_is_tested_here():
    tested = {table["kind"] for table, _ in CASES.values()}
    assert set(plugins.names("training.optimizers")) - tested == {
        "lbfgs",
        "liblinear",
    }  # tests/test_classifiers.py, tests/test_linear.py
    assert plugins.names("training.schedules") == [
        "constant", "cosine", "exponential", "halving", "inverse_square_root", "noam", "plateau", "steps",
    ]  # fmt: skip


def test_steps_divide_a_run_into_equal_parts():
    config = steps.Config(parts=4, rate=0.5)
    assert [steps.factor(config, step, 1000, []) for step in (1, 250, 251, 500, 501, 751, 1000)] == [
        1, 1, 0.5, 0.5, 0.25, 0.125, 0.125,
    ]  # fmt: skip
    later = steps.Config(parts=4, rate=0.5, first=2, warmup_steps=10)
    assert [steps.factor(later, step, 1000, []) for step in (5, 500, 501, 1000)] == [0.5, 1, 0.5, 0.25]


def test_constant_warms_up_linearly_and_stays():
    config = constant.Config(warmup_steps=4)
    assert [constant.factor(config, step, 9, []) for step in (1, 2, 4, 9)] == [0.25, 0.5, 1.0, 1.0]
    assert constant.factor(constant.Config(), 1, 9, []) == 1.0


def test_exponential_halves_every_thousand_steps():
    config = exponential.Config(rate=0.5, steps=1000)
    assert [exponential.factor(config, step, 0, []) for step in (1000, 2000, 3000)] == [0.5, 0.25, 0.125]


def test_cosine_spans_the_planned_run_by_default():
    assert cosine.factor(cosine.Config(), 50, 100, []) == pytest.approx(0.5)
    assert cosine.factor(cosine.Config(), 100, 100, []) == pytest.approx(0.0)
    assert cosine.factor(cosine.Config(steps=200, lowest=0.2), 100, 100, []) == pytest.approx(0.6)
    assert cosine.factor(cosine.Config(warmup_steps=10), 10, 110, []) == 1.0
    assert cosine.factor(cosine.Config(warmup_steps=10), 60, 110, []) == pytest.approx(0.5)
    assert cosine.factor(cosine.Config(steps=50), 80, 100, []) == 0.0


def test_inverse_square_root_gives_the_rates_of_vaswani_and_others():
    config = inverse_square_root.Config(warmup_steps=4000)
    for step in (1, 100, 4000, 100_000):
        paper = 512**-0.5 * min(step**-0.5, step * 4000**-1.5)
        ours = 512**-0.5 * 4000**-0.5 * inverse_square_root.factor(config, step, 0, [])
        assert ours == pytest.approx(paper, rel=1e-12)


def test_noam_is_inverse_square_root_scaled_by_the_width():
    config = noam.Config(d_model=128, warmup_steps=400)
    peak = 128**-0.5 * 400**-0.5
    for step in (1, 100, 400, 100_000):
        without = inverse_square_root.factor(inverse_square_root.Config(warmup_steps=400), step, 0, [])
        assert noam.factor(config, step, 0, []) == pytest.approx(peak * without, rel=1e-12)


def test_plateau_halves_after_each_failure_in_a_row():
    losses, config = [3, 2, 2.5, 1.9, 2, 2], plateau.Config()
    assert [plateau.factor(config, 1, 1, losses[:n]) for n in range(7)] == [1, 1, 1, 0.5, 0.5, 0.25, 0.125]
    patient = plateau.Config(patience=2, lowest=0.4)
    assert [plateau.factor(patient, 1, 1, losses[:n]) for n in range(7)] == [1, 1, 1, 1, 1, 1, 0.5]
    assert plateau.factor(plateau.Config(lowest=0.4), 1, 1, losses) == 0.4


def test_halving_continues_once_started():
    losses = [3, 2, 2.5, 1.9, 1.8]
    assert [halving.factor(halving.Config(), 1, 1, losses[:n]) for n in range(6)] == [1, 1, 1, 0.5, 0.25, 0.125]
    assert halving.factor(halving.Config(start=3), 1, 1, losses) == 1.0


@pytest.mark.parametrize("name", plugins.names("training.schedules"))
def test_a_schedule_stays_between_zero_and_one(name):
    module = plugins.find("training.schedules", name)
    table = {"warmup_steps": 7} if "warmup_steps" in module.Config.model_fields else {}
    for step in range(1, 60):
        factor = module.factor(module.Config(**table), step, 50, [2.0, 1.0, 3.0])
        assert 0.0 <= factor <= 1.0
        assert math.isfinite(factor)


def quadratic(size, condition):
    """A convex quadratic with eigenvalues from 1 to `condition`, and its minimum."""
    random = np.random.default_rng(size)
    basis, _ = np.linalg.qr(random.normal(size=(size, size)))
    matrix = basis @ np.diag(np.geomspace(1, condition, size)) @ basis.T
    linear = random.normal(size=size)

    def function(point):
        slope = matrix @ point.astype(np.float64)
        return float(point @ slope / 2 - linear @ point), (slope - linear).astype(np.float32)

    return function, np.linalg.solve(matrix, linear)


@pytest.mark.parametrize("memory", [1, 5, 10])
def test_lbfgs_finds_the_minimum_of_a_quadratic(memory):
    function, minimum = quadratic(30, 100.0)
    found = lbfgs.minimize(function, np.zeros(30), tolerance=1e-4, max_iterations=500, memory=memory)
    assert found.stopped == "converged"
    np.testing.assert_allclose(found.point, minimum, atol=1e-3)


def test_lbfgs_needs_no_more_steps_than_scipy():
    import scipy.optimize

    function, _ = quadratic(60, 1000.0)
    options = {"gtol": 1e-3, "ftol": 0, "maxcor": 10}
    reference = scipy.optimize.minimize(function, np.zeros(60), jac=True, method="L-BFGS-B", options=options)
    found = lbfgs.minimize(function, np.zeros(60), tolerance=1e-3, max_iterations=500)
    assert found.calls <= 1.3 * reference.nfev


def test_lbfgs_stops_at_the_rounding_error_and_reports_it():
    function, minimum = quadratic(30, 100.0)
    found = lbfgs.minimize(function, np.zeros(30), tolerance=1e-12, max_iterations=500)
    assert found.stopped == "rounding"
    np.testing.assert_allclose(found.point, minimum, atol=1e-3)
    assert lbfgs.minimize(function, np.zeros(30), tolerance=1e-6, max_iterations=3).stopped == "iterations"
