"""Every setting of the training loop has its documented effect, in a run of the loop."""

import json

import numpy as np
import pytest
import test_training_loop as tests

from textpipe.training import loop, precision
from textpipe.training.settings import Settings

BASE = {"epochs": 2, "batch_rows": 8, "optimizer": {"kind": "sgd", "learning_rate": 0.5}}
ROWS, VALID = tests.reversals(24), tests.reversals(8, seed=1)


class Run:
    """A run of six updates in two epochs, unless `settings` change that."""

    def __init__(self, folder, **settings):
        settings = Settings(**{**BASE, **settings})
        with precision.policy(settings.precision):
            model = tests.plain_generator()
        self.result = loop.fit(model, {"train": ROWS, "valid": VALID}, settings, folder)
        self.weights = np.concatenate([weight.ravel() for weight in tests.weights(model)])
        self.history = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
        self.curve = (folder / "logs/curve.jsonl").read_text().count('"loss"')
        self.resources = json.loads((folder / "logs/resources.json").read_text())


# Another value of each setting, and a check of its effect compared with `base`.
def weights(base, run):
    assert np.abs(base.weights - run.weights).max() > 1e-4


def rounding(base, run):
    assert 1e-3 > np.abs(base.weights - run.weights).max() > 1e-6


def steps(count):
    def check(base, run):
        assert (base.result["steps"], run.result["steps"]) == (6, count)

    return check


def stopped(reason):
    def check(base, run):
        assert (base.result["stopped"], run.result["stopped"]) == ("epochs", reason)

    return check


def figure(name):
    def check(base, run):
        assert name in run.result and name not in base.result

    return check


SETTINGS = {
    "seed": (2, weights),
    "epochs": (3, steps(9)),
    "batch_rows": (12, steps(4)),
    "batch_tokens": (32, steps(12)),  # for rows padded to 8, with batch_rows = 8
    "accumulate": (3, steps(2)),
    "optimizer": ("adam", weights),
    "schedule": ("cosine", weights),
    "clip_norm": (0.01, weights),
    "clip_tensor_norm": (0.01, weights),
    "clip_value": (0.001, weights),
    "label_smoothing": (0.3, weights),
    "ema": (0.9, weights),
    "precision": ("mixed_bfloat16", rounding),
    "scheduled_sampling": ({"probability": 1.0, "steps": 1}, weights),
    "early_stopping": ({"patience": 1, "min_delta": 100.0}, stopped("early_stopping")),
    "validate_steps": (1, lambda base, run: len(base.history) == 2 < len(run.history) == 6),
    "max_steps": (4, steps(4)),
    "max_minutes": (1e-9, stopped("max_minutes")),
    "average": ({"last": 2}, figure("average")),
    "curve_steps": (1, lambda base, run: base.curve < run.curve),
    "parallel": (2, lambda base, run: (base.resources["parallel"], run.resources["parallel"]) == (1, 2)),
}
# The settings nested in scheduled_sampling.
SAMPLING = {"probability": 0.1, "start": 5, "steps": 9, "curve": "exponential", "choose": "sample"}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return Run(tmp_path_factory.mktemp("base"), parallel=1, num_shapes=1)


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_changes_the_run(name, base, tmp_path):
    value, changed = SETTINGS[name]
    run = Run(tmp_path, **{"parallel": 1, "num_shapes": 1, name: value})
    assert np.isfinite(run.weights).all()
    assert changed(base, run) is not False


@pytest.mark.parametrize("name", SAMPLING)
def test_a_setting_of_scheduled_sampling_changes_the_run(name, tmp_path):
    options = {"probability": 1.0, "steps": 3}
    found = []
    for number, sampling in enumerate((options, {**options, name: SAMPLING[name]})):
        found.append(Run(tmp_path / str(number), parallel=1, num_shapes=1, scheduled_sampling=sampling).weights)
    assert np.abs(found[0] - found[1]).max() > 1e-6


def test_there_are_at_most_num_shapes_padded_widths():
    """Also for a model that takes any width, which by default uses as many widths as save padding."""
    from textpipe.training.batching import batches

    rows = tests.reversals(3000)
    for fixed in (False, True):
        found = {}
        for num_shapes in (None, 1, 2):
            plan = batches.plan(rows, Settings(batch_tokens=64, num_shapes=num_shapes), fixed_widths=fixed)
            found[num_shapes] = {tuple(batch.widths.values()) for batch in plan.epoch(1)}
        assert (len(found[1]), len(found[2])) == (1, 2)
        assert len(found[None]) >= 2
