"""Gradient accumulation and the moving average of weights, against one large batch and against NumPy."""

import json

import numpy as np
import pytest
import test_training_loop as tests
from pydantic import ValidationError

from textpipe.config import plugins
from textpipe.errors import ConfigError
from textpipe.training import loop, steps
from textpipe.training.batching import accumulation
from textpipe.training.batching.batches import Batch
from textpipe.training.settings import Settings


def updated(build, rows, groups, **settings):
    """The weights of a model after an update per group of batches, and the figures of each update."""
    import keras
    import tensorflow as tf

    model = build()
    optimizer = keras.optimizers.SGD(0.5)
    optimizer.build(model.trainable_variables)
    settings = Settings(accumulate=max(map(len, groups)), **settings)
    objective = plugins.find("objectives", rows.target.objective)
    training_steps = steps.Steps(model, optimizer, settings, tf.distribute.get_strategy(), len(rows), objective)
    return model, [training_steps.train(rows, group, number) for number, group in enumerate(groups, 1)]


@pytest.mark.parametrize("case", ["plain_classifier", "plain_generator"])
def test_accumulated_batches_equal_one_large_batch(case):
    """Batches of different sizes and numbers of tokens: a mean of their means would be another update."""
    build, rows = getattr(tests, case), tests.labelled(30) if "classifier" in case else tests.reversals(30)
    parts = np.split(np.arange(30), [3, 17])
    options = {"clip_norm": 0.05, "label_smoothing": 0.1}
    whole, (one,) = updated(build, rows, [[Batch(np.arange(30), {"source": 12, "target": 12})]], **options)
    accumulated, (several,) = updated(
        build, rows, [[Batch(part, {"source": 12, "target": 12}) for part in parts]], **options
    )
    assert several == pytest.approx(one, rel=1e-4)
    start = tests.weights(build())
    for first, second, before in zip(tests.weights(whole), tests.weights(accumulated), start, strict=True):
        np.testing.assert_allclose(first, second, atol=1e-6)
        assert not np.array_equal(first, before)


def test_the_sums_are_reset_after_each_update():
    rows, groups = (
        tests.reversals(20),
        [[Batch(np.arange(a, a + 5), {"source": 8, "target": 8}) for a in (0, 5)] for _ in range(2)],
    )
    _, (first, second) = updated(tests.plain_generator, rows, groups)
    assert second["weight"] == first["weight"]
    assert second["gradient_norm"] < 1.5 * first["gradient_norm"]


def test_batches_are_distributed_evenly_over_updates():
    order = [Batch(np.array([number]), {"source": 4, "target": 4}) for number in range(7)]
    found = accumulation.group_batches(order, 3)
    assert [len(group) for group in found] == [3, 2, 2]
    assert [batch for group in found for batch in group] == order
    assert accumulation.group_batches(order, 1) == [[batch] for batch in order]
    assert accumulation.group_batches([], 3) == []


def test_steps_count_updates(tmp_path):
    rows = tests.labelled(16 * 7)
    settings = Settings(epochs=2, batch_rows=16, num_shapes=1, accumulate=3, curve_steps=1)
    result = loop.fit(tests.classifier(), {"train": rows, "valid": rows}, settings, tmp_path)
    assert result["steps"] == 6
    resources = json.loads((tmp_path / "logs/resources.json").read_text())
    assert resources["rows"] == 2 * len(rows)
    assert resources["peak_rss_bytes"] > 1e7
    assert resources["rows_per_second"] == pytest.approx(resources["rows"] / resources["step_seconds"])


def test_the_moving_average_is_validated_and_kept(monkeypatch, tmp_path):
    """Against the recursion over the weights after each step, in NumPy."""
    import test_training_loop

    seen = test_training_loop.scripted(monkeypatch, [3.0, 2.0, 4.0])
    after = []
    train = steps.Steps.train

    def watched(self, *arguments):
        figures = train(self, *arguments)
        after.append([np.array(weight.value, np.float64) for weight in self.model.trainable_variables])
        return figures

    monkeypatch.setattr(steps.Steps, "train", watched)
    model, rows = tests.plain_classifier(), tests.labelled(64)
    average = [np.array(weight.value, np.float64) for weight in model.trainable_variables]
    optimizer = {"kind": "adam", "learning_rate": 0.05}
    settings = Settings(epochs=3, batch_rows=16, num_shapes=1, ema=0.3, optimizer=optimizer)
    loop.fit(model, {"train": rows, "valid": rows}, settings, tmp_path)
    assert len(after) == 12
    expected = []
    for count, weights in enumerate(after, 1):
        decay = min(0.3, (1 + count) / (10 + count))
        average = [decay * old + (1 - decay) * new for old, new in zip(average, weights, strict=True)]
        expected.append(average)
    for validation in range(3):
        for weight, average in zip(seen[validation], expected[4 * validation + 3], strict=True):
            np.testing.assert_allclose(weight, average, rtol=1e-5, atol=1e-6)
    assert tests.same(seen[1], tests.weights(model))  # the best validation's


def test_training_continues_from_the_weights_and_not_from_their_average(monkeypatch):
    rows = tests.labelled(64)
    settings = {"epochs": 2, "batch_rows": 16, "num_shapes": 1, "keep": "last"}
    ends = []
    train = steps.Steps.train

    def watched(self, *arguments):
        figures = train(self, *arguments)
        ends.append(tests.weights(self.model))
        return figures

    monkeypatch.setattr(steps.Steps, "train", watched)
    for ema in ({}, {"ema": 0.9}):
        model = tests.classifier()
        loop.fit(model, {"train": rows, "valid": rows}, Settings(**settings, **ema))
    assert tests.same(ends[7], ends[15])
    assert not tests.same(ends[15], tests.weights(model))  # keep = "last" keeps the last average


def test_a_metric_that_is_not_measured_is_refused():
    rows, settings = tests.labelled(16), Settings(epochs=1, num_shapes=1, metric="valid_bleu")
    with pytest.raises(ConfigError, match="valid_bleu is not measured; available:"):
        loop.fit(tests.classifier(), {"train": rows, "valid": rows}, settings)


@pytest.mark.parametrize(
    ("settings", "finding"),
    [
        ({"metric": "valid_bleu"}, "has no BLEU"),
        ({"scheduled_sampling": {}}, "leave scheduled_sampling out"),
        ({"model": {"kind": "logistic_regression"}, "optimizer": "lbfgs", "ema": 0.9}, "ema: lbfgs works on all rows"),
        ({"batch_tokens": "car"}, "auto"),
        ({"ema": 1.0}, "less than 1"),
    ],
)
def test_invalid_settings_are_refused(settings, finding):
    with pytest.raises(ValidationError, match=finding):
        tests.config(**settings)
