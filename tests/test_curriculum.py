"""A curriculum by length: the first epochs train on the shortest rows."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import test_training_loop as tests

from textpipe.errors import ConfigError
from textpipe.objectives import sequence
from textpipe.training import loop
from textpipe.training.batching import accumulation, batches
from textpipe.training.batching.batches import Plan
from textpipe.training.batching.curriculum import Curriculum, competence, ranks
from textpipe.training.settings import Settings

OPTIONS = Curriculum(epochs=4, start=0.1)


@pytest.fixture
def lengths():
    random = np.random.default_rng(0)
    return {name: random.integers(1, 60, size=1000) for name in ("source", "target")}


def test_competence_is_that_of_the_equation_and_ends_at_one():
    for epoch in range(1, 5):
        expected = math.sqrt((epoch - 1) * (1 - 0.1**2) / 4 + 0.1**2)
        assert competence(OPTIONS, epoch) == pytest.approx(expected)
    assert competence(OPTIONS, 1) == pytest.approx(0.1)
    assert [competence(OPTIONS, epoch) for epoch in (5, 6, 100)] == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("num_shapes", [3, None])
def test_an_epoch_has_the_shortest_rows_once_and_later_ones_all(lengths, num_shapes):
    plan = Plan(lengths, batch_tokens=512, seed=1, num_shapes=num_shapes, options=OPTIONS)
    total = lengths["source"] + lengths["target"]
    counts = plan.batches_by_epoch(6)
    for epoch in range(1, 7):
        order = plan.epoch(epoch)
        rows = np.concatenate([batch.rows for batch in order])
        assert len(rows) == len(set(rows)) == round(1000 * competence(OPTIONS, epoch))
        assert total[rows].max() <= np.delete(total, rows).min(initial=10**9)
        assert counts[epoch - 1] == len(order)
    assert counts[-1] == plan.num_batches
    assert accumulation.total_updates(plan, 6, 3) == sum(-(-count // 3) for count in counts)


def test_rows_of_the_same_length_keep_their_order():
    assert list(ranks({"a": [3, 1, 3, 2], "b": [0, 1, 0, 1]})) == [1, 0, 2, 3]


def test_resegmented_rows_keep_their_place_in_the_curriculum(lengths):
    plan = Plan(lengths, batch_tokens=512, seed=1, redrawn=True, options=OPTIONS)
    fewer = {name: np.maximum(1, tokens - 1) for name, tokens in lengths.items()}
    rows = np.concatenate([batch.rows for batch in plan.epoch(1, fewer)])
    assert sorted(rows) == sorted(np.flatnonzero(ranks(lengths) < 100))


def trained(folder, **settings):
    model, rows = tests.generator(), tests.reversals(64)
    settings = Settings(epochs=3, batch_rows=8, curriculum={"epochs": 2, "start": 0.25}, **settings)
    summary = loop.fit(model, {"train": rows}, settings, folder, objective=sequence)
    return model, summary


def test_a_run_makes_as_many_updates_as_planned_and_resumes_with_the_same_weights(tmp_path, monkeypatch):
    whole, summary = trained(tmp_path / "whole")
    settings = Settings(epochs=3, batch_rows=8, curriculum={"epochs": 2, "start": 0.25})
    plan = batches.plan(tests.reversals(64), settings)
    assert summary["steps"] == sum(plan.batches_by_epoch(3)) < 3 * plan.num_batches
    update, count = loop.Loop.update, []

    def dying(self, *arguments):
        count.append(None)
        if len(count) == 4:
            raise KeyboardInterrupt
        update(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(loop.Loop, "update", dying)
        with pytest.raises(KeyboardInterrupt):
            trained(tmp_path / "stopped", checkpoint_steps=1)
    resumed, _ = trained(tmp_path / "stopped", checkpoint_steps=1)
    assert tests.same(tests.weights(whole), tests.weights(resumed))


def test_settings_that_cannot_be_followed_are_refused():
    with pytest.raises(ValueError, match=r"curriculum.epochs: expected fewer than the 3 of epochs, found 3"):
        Settings(epochs=3, curriculum={"epochs": 3})
    with pytest.raises(ConfigError, match="curriculum: sparse rows have no tokens to order them by"):
        batches.plan(SimpleNamespace(lengths={}, target_name="label"), Settings(curriculum={"epochs": 1}))
