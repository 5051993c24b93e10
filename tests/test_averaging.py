"""Averages of checkpoints: which ones, their mean against NumPy's, and that a killed run averages the same ones."""

import json

import numpy as np
import pytest
import test_training_loop as tests
from pydantic import ValidationError

from textpipe.errors import ArtifactError, ConfigError
from textpipe.training import loop
from textpipe.training.settings import Average, Settings
from textpipe.training.state.retention import CheckpointRetention

LOSSES = [3.0, 1.0, 2.5, 2.0, 4.0, 2.6]


def run(monkeypatch, average, output, losses=LOSSES, **settings):
    """The result, the model and the weights at each validation of a run with these validation losses."""
    seen = tests.scripted(monkeypatch, [*losses, 9.0])
    model, rows = tests.classifier(), tests.labelled(64)
    data = {"train": rows, "valid": rows}
    settings = Settings(epochs=len(losses), num_shapes=1, average=average, **settings)
    return loop.fit(model, data, settings, output), model, seen


@pytest.mark.parametrize(
    ("average", "expected"),
    [({"best": 3}, [1, 2, 3]), ({"last": 3}, [3, 4, 5]), ({"last": 1}, [5]), ({"best": 9}, [0, 1, 2, 3, 4, 5])],
)
def test_the_result_is_the_mean_of_the_requested_validations(average, expected, monkeypatch, tmp_path):
    result, model, seen = run(monkeypatch, average, tmp_path)
    for position, weight in enumerate(tests.weights(model)):
        mean = np.mean([np.float64(seen[validation][position]) for validation in expected], axis=0)
        np.testing.assert_array_equal(weight, mean.astype(np.float32))
    assert len(seen) == len(LOSSES) + 1
    assert tests.same(seen[-1], tests.weights(model))  # the averaged weights were validated
    steps_of = [json.loads(line)["step"] for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    assert result["average"]["steps"] == [steps_of[validation] for validation in expected]
    assert sorted(path.name for path in (tmp_path / "resume/validated").iterdir()) == [
        f"{steps_of[validation]:08d}" for validation in expected
    ]


@pytest.mark.parametrize(("lowest", "worse"), [(8.0, True), (9.0, False), (9.5, False)])
def test_a_mean_that_is_worse_than_the_best_is_reported(lowest, worse, monkeypatch, tmp_path):
    result, _, _ = run(monkeypatch, {"last": 2}, tmp_path, [9.9, lowest])
    assert (result["average"]["worse"], result["average"]["valid_loss"], result["best"]["valid_loss"]) == (
        worse,
        9.0,
        lowest,
    )


def test_a_run_killed_between_a_validation_and_its_checkpoint_finds_its_weights(monkeypatch, tmp_path):
    """Validations after the last checkpoint displace older weights that the resumed history still needs."""
    average, checkpoints = {"best": 2}, []
    settings = {"batch_rows": 16, "validate_steps": 2, "checkpoint_minutes": None}  # 4 steps per epoch

    def dying(self):
        checkpoints.append(self.global_step)
        if len(checkpoints) == 2:
            raise SystemExit
        save(self)

    save = loop.Loop.save
    falling = [5.0, 4.0, 3.0, 2.0]
    monkeypatch.setattr(loop.Loop, "save", dying)
    with pytest.raises(SystemExit):
        run(monkeypatch, average, tmp_path / "killed", falling, **settings)
    assert len(list((tmp_path / "killed/resume/validated").iterdir())) == 4
    monkeypatch.setattr(loop.Loop, "save", save)
    # Time is up right after resuming, so that only the two validations before the checkpoint remain.
    settings["max_minutes"] = 1e-9
    seen = tests.scripted(monkeypatch, [9.0, 9.0, 9.0])
    model, rows = tests.classifier(), tests.labelled(64)
    settings = Settings(epochs=4, num_shapes=1, average=average, **settings)
    result = loop.fit(model, {"train": rows, "valid": rows}, settings, tmp_path / "killed")
    assert result["average"]["steps"] == [2, 4]
    assert tests.same(seen[-1], tests.weights(model))


def test_a_killed_run_averages_like_an_uninterrupted_one(monkeypatch, tmp_path):
    rows, valid = tests.labelled(128), tests.labelled(32, seed=1)
    settings = Settings(**tests.SETTINGS, validate_steps=3, average={"best": 3})

    def train(output):
        model = tests.classifier()
        return loop.fit(model, {"train": rows, "valid": valid}, settings, output), tests.weights(model)

    whole = train(tmp_path / "whole")
    take = loop.Loop.update
    for last in (4, 13, 20):

        def dying(self, batch, last=last):
            if self.global_step == last:
                raise SystemExit
            take(self, batch)

        monkeypatch.setattr(loop.Loop, "update", dying)
        with pytest.raises(SystemExit):
            train(tmp_path / "killed")
    monkeypatch.setattr(loop.Loop, "update", take)
    result, weights = train(tmp_path / "killed")
    assert result == whole[0]
    assert tests.same(weights, whole[1])


def test_missing_weights_are_reported(tmp_path):
    with pytest.raises(ArtifactError, match="weights of step 7 are missing; train from the start"):
        CheckpointRetention(tmp_path, "valid_loss", {"valid_loss": "min"}).restore({"step": 7}, [])


def test_invalid_averages_are_refused():
    for average in ({}, {"last": 2, "best": 2}):
        with pytest.raises(ValidationError, match="give either last or best"):
            Average(**average)
    with pytest.raises(ConfigError, match="no validation rows to choose the best by; set average.last"):
        loop.fit(tests.classifier(), {"train": tests.labelled(8)}, Settings(average={"best": 2}))
    for settings in ({"keep": "last"}, {"optimizer": "lbfgs", "model": {"kind": "logistic_regression"}}):
        with pytest.raises(ValidationError, match="average"):
            tests.config(average={"last": 2}, **settings)
