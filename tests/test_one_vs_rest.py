"""Fits of all rows at once: class after class, ended by Ctrl-C, with their progress, and with no more weights in memory than may be kept."""

import logging
import os
import signal
import threading

import numpy as np
import pytest
import sklearn.svm
from test_classifiers import sample
from test_linear import fit

from textpipe.runtime import interruptible
from textpipe.training import full_batch_settings, lbfgs, one_vs_rest
from textpipe.training.telemetry import progress

EXACT = {"tol": 1e-7, "max_iter": 100_000, "random_state": 1, "dual": True}


@pytest.fixture(autouse=True)
def ctrl_c():
    """SIGINT interrupts, also where the process that started the tests ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def signs(labels, num_classes):
    return np.where(labels[:, None] == np.arange(num_classes), 1, -1).astype(np.float32)


def test_classes_fitted_one_after_the_other_have_the_weights_of_one_call(monkeypatch):
    matrix, labels = sample(4)
    row_weights = np.linspace(0.5, 2, len(labels))[:, None]
    together, _ = one_vs_rest.fit(matrix, signs(labels, 4), row_weights, EXACT)
    monkeypatch.setattr(one_vs_rest, "ONE_CALL", 0)
    reported = []
    alone, _ = one_vs_rest.fit(matrix, signs(labels, 4), row_weights, EXACT, reported.append)
    np.testing.assert_allclose(alone, together, atol=2e-3)
    assert reported == [1, 2, 3, 4]


def test_ctrl_c_does_not_wait_for_a_call_that_does_not_return():
    released = threading.Event()

    def compute():
        os.kill(os.getpid(), signal.SIGINT)
        released.wait()

    with pytest.raises(KeyboardInterrupt):
        interruptible.call(compute)
    released.set()


def test_ctrl_c_in_liblinear_ends_the_fit(monkeypatch):
    released = threading.Event()
    fitted = []

    def compute(self, matrix, labels, sample_weight=None):
        fitted.append(labels)
        os.kill(os.getpid(), signal.SIGINT)
        released.wait()

    monkeypatch.setattr(one_vs_rest, "ONE_CALL", 0)
    monkeypatch.setattr(sklearn.svm.LinearSVC, "fit", compute)
    matrix, labels = sample(4)
    with pytest.raises(KeyboardInterrupt):
        fit(matrix, labels, 4, loss="hinge", optimizer="liblinear")
    released.set()
    assert len(fitted) == 1


def test_an_error_of_a_call_is_raised_and_its_result_returned():
    assert interruptible.call(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        interruptible.call(divmod, 7, 0)


def test_ctrl_c_in_lbfgs_ends_the_fit(monkeypatch):
    search = lbfgs.search

    def interrupted(*arguments):
        signal.raise_signal(signal.SIGINT)
        return search(*arguments)

    monkeypatch.setattr(lbfgs, "search", interrupted)
    matrix, labels = sample(4)
    with pytest.raises(KeyboardInterrupt):
        fit(matrix, labels, 4, optimizer="lbfgs")


@pytest.mark.parametrize(
    ("optimizer", "lines"),
    [
        ("liblinear", ["l2 1, fit 1 of 2: 3 of 4 classes", "l2 0.1, fit 2 of 2: 4 of 4 classes"]),
        ("lbfgs", ["l2 1, fit 1 of 2: 1 iterations, loss ", "l2 0.1, fit 2 of 2: 2 iterations, loss "]),
    ],
)
def test_a_fit_shows_how_far_it_is(optimizer, lines, monkeypatch, caplog):
    monkeypatch.setattr(one_vs_rest, "ONE_CALL", 0)
    monkeypatch.setattr(progress, "INTERVAL", 0)
    caplog.set_level(logging.INFO, "textpipe")
    matrix, labels = sample(4)
    fit(matrix, labels, 4, loss="squared_hinge", l2=[1.0, 0.1], optimizer=optimizer)
    assert all(any(shown.startswith(line) for shown in caplog.messages) for line in lines)


def test_a_fit_that_another_dominates_is_never_chosen():
    """Brute force: whatever fits follow, the choice among all is the choice among those that were not dominated when they came."""
    random = np.random.default_rng(1)
    for _ in range(2000):
        lines = [
            {"valid_accuracy": accuracy, "valid_loss": loss}
            for accuracy, loss in zip(random.integers(5, 12, 6) / 12, random.integers(1, 9, 6) / 4, strict=True)
        ]
        kept = []
        for line in lines:
            kept = [other for other in kept if not full_batch_settings.dominates(line, other)]
            if not any(full_batch_settings.dominates(other, line) for other in kept):
                kept.append(line)
        assert kept[full_batch_settings.choose_fit(kept, 12)] is lines[full_batch_settings.choose_fit(lines, 12)]
