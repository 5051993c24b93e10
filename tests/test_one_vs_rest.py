"""Fits of all rows at once: class after class, ended by Ctrl-C, with their progress, and with no more weights in memory than may be kept."""

import errno
import functools
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest
import scipy.sparse
import sklearn.svm
from test_classifiers import sample
from test_linear import fit

from textpipe.data.columns import Dense, Ids, Sparse
from textpipe.engines import _scheduler, processes
from textpipe.runtime import interruptible, threads
from textpipe.training import full_batch, full_batch_settings, lbfgs, one_vs_rest
from textpipe.training.telemetry import memory, progress

EXACT = {"tol": 1e-7, "max_iter": 100_000, "random_state": 1, "dual": True}


@pytest.fixture(autouse=True)
def ctrl_c():
    """SIGINT interrupts, also where the process that started the tests ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def signs(labels, num_classes):
    return np.where(labels[:, None] == np.arange(num_classes), 1, -1).astype(np.float32)


def problem(num_classes, row_weights=None):
    matrix, labels = sample(num_classes)
    return one_vs_rest.Problem(matrix, signs(labels, num_classes), row_weights)


def test_parts_have_a_number_that_no_machine_chooses():
    matrix = scipy.sparse.csr_matrix((2000, 5), dtype=np.float32)

    def edges(num_classes):
        parts = one_vs_rest.Problem(matrix, signs(np.arange(2000) % num_classes, num_classes), None).parts()
        return [part.start for part in parts] + [parts[-1].stop]

    assert edges(3) == [0, 3]
    assert edges(63) == [0, 63]
    assert edges(77) == [0, 38, 77]
    assert edges(150) == [0, 37, 75, 112, 150]
    assert len(edges(2000)) == 32 + 1


def test_a_part_has_no_more_weights_than_may_be_kept(monkeypatch):
    monkeypatch.setattr(one_vs_rest, "PART_WEIGHTS", 1)
    assert problem(3).parts() == [slice(0, 1), slice(1, 2), slice(2, 3)]


def test_labels_that_exclude_each_other_and_weights_of_entries_decide_which_classes_share_a_call():
    assert problem(4).together
    assert problem(4, np.ones((len(problem(4).signs), 1))).together
    assert not problem(4, np.ones((len(problem(4).signs), 4))).together
    several = problem(4)._replace(signs=np.ones_like(problem(4).signs))
    assert not several.together
    assert len(several.parts()) == 4


@pytest.mark.parametrize("size", [1, 2, 4])
def test_parts_have_the_weights_of_one_call(size, monkeypatch):
    weighted = problem(4, np.linspace(0.5, 2, len(problem(4).signs))[:, None])
    together, passes = one_vs_rest.Fits(weighted).fit(EXACT)
    matrix, labels = sample(4)
    alone = sklearn.svm.LinearSVC(**EXACT).fit(matrix, labels, sample_weight=weighted.row_weights[:, 0])
    np.testing.assert_allclose(together[:-1], alone.coef_.T, atol=2e-3)
    monkeypatch.setattr(one_vs_rest, "PART_CLASSES", size)
    reported = []
    parts, _ = one_vs_rest.Fits(weighted).fit(EXACT, reported.append)
    np.testing.assert_allclose(parts, together, atol=2e-3)
    assert reported == list(range(size, 5, size))
    assert passes > 1


def test_a_class_that_no_row_or_every_row_has():
    matrix, labels = sample(4)
    wide = one_vs_rest.Problem(matrix, signs(labels, 6), None)  # rows of classes 0 to 3
    weights, _ = one_vs_rest.Fits(wide).fit(EXACT)
    np.testing.assert_array_equal(weights[:, 4:], np.append(np.zeros((matrix.shape[1], 2)), [[-1, -1]], axis=0))
    np.testing.assert_allclose(weights[:, :4], one_vs_rest.Fits(problem(4)).fit(EXACT)[0], atol=2e-3)
    every = one_vs_rest.Problem(matrix, np.ones((len(labels), 3), np.float32), None)
    weights, passes = one_vs_rest.Fits(every).fit(EXACT)
    assert (weights[:-1] == 0).all()
    assert (weights[-1] == 1).all()
    assert passes == 0


def test_a_part_of_one_class_and_the_rest_has_the_sign_of_its_class(monkeypatch):
    monkeypatch.setattr(one_vs_rest, "PART_CLASSES", 1)
    matrix, labels = sample(4)
    weights, _ = one_vs_rest.Fits(problem(4)).fit(EXACT)
    assert ((matrix @ weights[:-1] + weights[-1]).argmax(axis=1) == labels).mean() > 0.9


def test_processes_give_the_bits_of_one_process(monkeypatch):
    """And end with the block."""
    monkeypatch.setattr(one_vs_rest, "PART_CLASSES", 1)
    monkeypatch.setattr(threads, "num_cores", lambda: 2)
    options = {**EXACT, "tol": 0.1}
    with one_vs_rest.processes(1, one_vs_rest.PROCESSES, 4, 1) as engine:
        fits = one_vs_rest.Fits(problem(4), engine)
        first, passes = fits.fit(options)
        again, _ = fits.fit({**options, "C": 0.1})
        workers = [worker.process for worker in engine.scheduler.idle]
    assert workers
    assert all(worker.poll() is not None for worker in workers)
    here, passes_here = one_vs_rest.Fits(problem(4)).fit(options)
    np.testing.assert_array_equal(first, here)
    assert passes == passes_here
    np.testing.assert_array_equal(again, one_vs_rest.Fits(problem(4)).fit({**options, "C": 0.1})[0])


def test_a_large_problem_is_fitted_in_processes_and_gives_the_same_model(monkeypatch):
    matrix, labels = sample(4)
    options = {"loss": "squared_hinge", "optimizer": "liblinear", "l2": [1.0, 0.1]}
    monkeypatch.setattr(one_vs_rest, "PART_CLASSES", 1)
    expected, _ = fit(matrix, labels, 4, **options)
    started, start = [], _scheduler.Scheduler.start
    monkeypatch.setattr(_scheduler.Scheduler, "start", lambda self: started.append(self) or start(self))
    monkeypatch.setattr(one_vs_rest, "PROCESSES", 0)
    monkeypatch.setattr(threads, "num_cores", lambda: 2)
    found, _ = fit(matrix, labels, 4, **options)
    assert len(started) == 1
    for one, other in zip(found.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def die_fitting(problem):
    return lambda item: os.kill(os.getpid(), signal.SIGKILL)


def test_if_the_processes_keep_dying_this_process_fits_the_rest(monkeypatch, caplog):
    monkeypatch.setattr(one_vs_rest, "PART_CLASSES", 1)
    expected, _ = one_vs_rest.Fits(problem(4)).fit(EXACT)
    monkeypatch.setattr(threads, "num_cores", lambda: 2)
    with one_vs_rest.processes(1, one_vs_rest.PROCESSES, 4, 1) as engine:
        run, jobs = engine.map, []

        def dying_after_one_part(make, items):
            jobs.append(make)
            yield next(run(make, items[:1]))
            yield from run(functools.partial(die_fitting, None), items[1:])

        monkeypatch.setattr(engine, "map", dying_after_one_part)
        fits = one_vs_rest.Fits(problem(4), engine)
        np.testing.assert_array_equal(fits.fit(EXACT)[0], expected)
        assert not engine.scheduler.idle
        np.testing.assert_array_equal(fits.fit(EXACT)[0], expected)
    assert len(jobs) == 1
    assert caplog.messages == [one_vs_rest.ALONE]


def test_a_system_without_room_for_processes_fits_in_one(monkeypatch, caplog):
    def refuse(*arguments, **options):
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(threads, "num_cores", lambda: 2)
    monkeypatch.setattr(subprocess, "Popen", refuse)
    with one_vs_rest.processes(1, one_vs_rest.PROCESSES, 4, 1) as engine:
        assert engine is None
    assert caplog.messages == [one_vs_rest.ALONE]


def test_ctrl_c_while_the_processes_start_ends_them(monkeypatch):
    closed = []
    monkeypatch.setattr(threads, "num_cores", lambda: 2)
    monkeypatch.setattr(_scheduler.Scheduler, "start", lambda self: signal.raise_signal(signal.SIGINT))
    monkeypatch.setattr(_scheduler.Scheduler, "close", lambda self: closed.append(self))
    with pytest.raises(KeyboardInterrupt), one_vs_rest.processes(1, one_vs_rest.PROCESSES, 4, 1):
        pass
    assert len(closed) == 1


def test_a_process_among_several_starts_none(monkeypatch):
    """So that n processes do not become n * n."""
    monkeypatch.setattr(threads, "num_cores", lambda: 8)
    assert threads.core_share() == 8
    monkeypatch.setenv(threads.SHARE, "4")
    assert threads.core_share() == 4
    monkeypatch.setenv(threads.SHARE, "no number")
    assert threads.core_share() == 8
    monkeypatch.setattr(multiprocessing, "parent_process", lambda: "that of a pool")
    assert threads.core_share() == 1
    with one_vs_rest.processes(1, one_vs_rest.PROCESSES, 4, 1) as engine:
        assert engine is None


def test_workers_are_told_their_share(monkeypatch):
    monkeypatch.setattr(threads, "num_cores", lambda: 8)
    assert processes.worker_environment(2)[threads.SHARE] == "4"
    assert processes.worker_environment(16)[threads.SHARE] == "1"


def test_progress_needs_no_stderr(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    with progress.FitProgress([1.0], "classes") as shown:
        assert shown.bar is None


def test_a_process_that_fits_does_not_load_tensorflow():
    code = "import sys, textpipe.training.one_vs_rest, sklearn.svm; sys.exit('tensorflow.python' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(("cores", "parts", "entries"), [(1, 4, 10**9), (2, 1, 10**9), (2, 4, 1)])
def test_one_core_one_part_or_a_small_problem_needs_no_processes(cores, parts, entries, monkeypatch):
    monkeypatch.setattr(threads, "num_cores", lambda: cores)
    with one_vs_rest.processes(entries, 4, parts, 1) as engine:
        assert engine is None


def test_processes_that_memory_does_not_hold_are_not_started(monkeypatch):
    monkeypatch.setattr(threads, "num_cores", lambda: 16)
    monkeypatch.setattr(_scheduler.Scheduler, "start", lambda self: None)
    entries = 10**8
    worker = one_vs_rest.WORKER_BYTES + one_vs_rest.ENTRY_BYTES * entries
    for free, workers in ((0, 8), (100 * worker, 8), (2 * 3 * worker, 3), (2 * 2 * worker - 2, None)):
        monkeypatch.setattr(memory, "available", lambda free=free: free)
        with one_vs_rest.processes(entries, 64, 16, 1) as engine:
            assert (engine and engine.scheduler.size) == workers


@pytest.mark.parametrize(("dtype", "count"), [("sparse", 3), ("dense", 4), ("ids", 2)])
def test_entries_of_a_field(dtype, count):
    columns = {
        "sparse": Sparse.from_scipy(scipy.sparse.csr_matrix([[1.0, 2.0], [0.0, 3.0]])),
        "dense": Dense(np.array([[1.0, 2.0], [0.0, 3.0]], np.float32)),
        "ids": Ids([(np.array([4, 5], np.int32), np.array([0, 1, 2]))]),
    }
    assert full_batch.entries(columns[dtype]) == count


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

    monkeypatch.setattr(one_vs_rest, "PART_CLASSES", 1)
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
    monkeypatch.setattr(one_vs_rest, "PART_CLASSES", 1)
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


def test_a_class_that_all_rows_have_is_answered():
    signs = np.full((4, 3), -1.0, np.float32)
    signs[:, 1] = 1
    rows = scipy.sparse.csr_matrix(np.eye(4, dtype=np.float32))
    weights, _ = one_vs_rest.Fits(one_vs_rest.Problem(rows, signs, None)).fit(EXACT)
    assert (rows @ weights[:-1] + weights[-1]).argmax(axis=1).tolist() == [1] * 4
