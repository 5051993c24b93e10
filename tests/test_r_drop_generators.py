"""R-Drop of generators: the loss of two passes and its gradient, with the vocabulary in blocks and without; runs that resume."""

import numpy as np
import pytest
import test_training_loop as tests
from test_regularization import Stopped, refused

from textpipe.objectives import next_token, sequence
from textpipe.stages import train
from textpipe.training import loop, vocabulary_loss
from textpipe.training.regularization import regularized
from textpipe.training.settings import Settings


class TwoPasses(tests.Table):
    """A Table whose second half of rows has hidden vectors of its own, as dropout gives a second pass."""

    def __init__(self, split):
        import keras

        self.other = keras.Variable(np.random.default_rng(4).normal(size=(30, 5)).astype(np.float32))
        super().__init__(split)
        self.trainable_variables.append(self.other)

    def look_up(self, source, target_in, training=False):
        from keras import ops

        first, second = ops.split(target_in, 2)
        return ops.concatenate([ops.take(self.table, first, axis=0), ops.take(self.other, second, axis=0)])


def by_hand(parameters, target, smoothing, weight):
    """The loss in float64, and its gradient by central differences of every parameter."""

    def loss(parts):
        table, matrix, bias, other = parts
        sum_of_losses = 0.0
        for row in target:
            for before, label in zip([2, *row[:-1]], row, strict=True):
                if label == 0:
                    continue
                logs = []
                for rows in (table, other):
                    logits = rows[before] @ matrix + bias
                    logs.append(logits - np.log(np.exp(logits).sum()))
                expected = np.full(30, smoothing / 30)
                expected[label] += 1 - smoothing
                cross_entropies = [-expected @ each for each in logs]
                first, second = np.exp(logs)
                divergences = [first @ (logs[0] - logs[1]), second @ (logs[1] - logs[0])]
                sum_of_losses += np.mean(cross_entropies) + weight * np.mean(divergences)
        return sum_of_losses

    parameters = [np.array(part, np.float64) for part in parameters]
    slopes = []
    for part in parameters:
        slope = np.zeros_like(part)
        for index in np.ndindex(*part.shape):
            held, step = part[index], 1e-5
            part[index] = held + step
            above = loss(parameters)
            part[index] = held - step
            slope[index] = (above - loss(parameters)) / (2 * step)
            part[index] = held
        slopes.append(slope)
    return loss(parameters), slopes


@pytest.mark.parametrize("split", [True, False])
def test_the_loss_of_two_passes_and_its_gradient_agree_with_numpy(split, monkeypatch):
    import tensorflow as tf

    from textpipe.training import losses

    monkeypatch.setattr(vocabulary_loss, "BLOCK_LOGITS", 30 * 11)  # five tokens twice per block, and a remainder
    model, target = TwoPasses(split), tests.reversals(3, seed=1).target.gather(np.arange(3), 7)
    settings = Settings(label_smoothing=0.1, r_drop=0.7)
    objective = regularized.wrap(sequence, settings)
    variables = [variable.value for variable in model.trainable_variables]

    @tf.function(autograph=False)
    def step(target):
        return objective.gradients(
            model, {"source": target}, target, variables, total=tf.constant(7.0), config=settings,
            draws=objective.draws(settings, 1, 0),
        )  # fmt: skip

    sums, gradients = step(tf.constant(target))
    loss, slopes = by_hand([variable.value for variable in model.trainable_variables], target.tolist(), 0.1, 0.7)
    assert np.count_nonzero(target) % 5
    assert float(sums["weight"]) == np.count_nonzero(target)
    assert float(sums["loss"]) == pytest.approx(loss, rel=1e-5)
    for gradient, slope in zip(gradients, slopes, strict=True):
        assert np.abs(slope).max() > 0.01
        np.testing.assert_allclose(losses.to_dense(gradient), slope / 7, atol=1e-5)


def test_equal_passes_have_the_plain_loss_and_dropped_words_differ_between_the_passes():
    import tensorflow as tf

    def loss_of(**settings):
        settings = Settings(**settings)
        model = tests.generator()
        objective = regularized.wrap(sequence, settings)
        for layer in model._flatten_layers():
            if hasattr(layer, "rate"):
                layer.rate = 0.0
        rows = tests.reversals(20)
        inputs = {"source": tf.constant(rows.inputs["source"].gather(np.arange(20), 8))}
        target = tf.constant(rows.target.gather(np.arange(20), 8))
        sums, _ = objective.gradients(
            model, inputs, target, [variable.value for variable in model.trainable_variables],
            total=tf.constant(40.0), config=settings, draws=objective.draws(settings, 3, 0),
        )  # fmt: skip
        return float(sums["loss"])

    plain = loss_of()
    assert loss_of(r_drop=4.0) == pytest.approx(plain, rel=1e-5)
    dropped = {"word_dropout": {"rate": 0.5, "by": "unknown"}}
    first, second, third = [loss_of(r_drop=weight, **dropped) for weight in (1.0, 1001.0, 2001.0)]
    assert second - first > 1e-3
    assert third - second == pytest.approx(second - first, rel=0.01)


@pytest.mark.parametrize("more", [{}, {"accumulate": 2}, {"parallel": 2}])
def test_a_run_stopped_inside_an_epoch_resumes_with_the_same_draws(tmp_path, monkeypatch, more):
    def trained(folder, stop_after=None, **settings):
        rows, model, count = tests.reversals(48), tests.generator(), []
        settings = Settings(epochs=2, batch_rows=8, checkpoint_steps=1, num_shapes=1, **more, **settings)
        update = loop.Loop.update

        def dying(self, *arguments):
            count.append(None)
            if len(count) == stop_after:
                raise Stopped
            update(self, *arguments)

        with monkeypatch.context() as patch:
            patch.setattr(loop.Loop, "update", dying)
            try:
                loop.fit(model, {"train": rows, "valid": rows}, settings, folder, objective=sequence)
            except Stopped:
                assert stop_after
        return tests.weights(model)

    whole = trained(tmp_path / "whole", r_drop=2.0)
    trained(tmp_path / "stopped", stop_after=3, r_drop=2.0)
    assert tests.same(whole, trained(tmp_path / "stopped", r_drop=2.0))
    assert not tests.same(whole, trained(tmp_path / "without"))


def test_r_drop_is_for_generators_and_language_models_with_dropout():
    assert next_token.R_DROP
    train.Config(task="translate", model="transformer", r_drop=1.0)
    train.Config(
        task="translate", model={"kind": "transformer", "dropout": 0.0}, r_drop=1.0, word_dropout={"rate": 0.1}
    )
    refused(
        "r_drop: compares two passes, which are equal without dropout",
        model={"kind": "transformer", "dropout": 0.0},
        task="translate",
        r_drop=1.0,
    )


def test_a_model_whose_passes_are_equal_is_told_of_the_dropout_that_it_has():
    without = "r_drop: compares two passes, which are equal without dropout; set"
    refused(f"{without} word_dropout; leave", model="ntm", task="translate", r_drop=1.0)
    encoder = {"kind": "transformer", "causal": True, "dropout": 0.0}
    language_model = {"kind": "causal_language_model", "encoder": encoder}
    refused(rf"{without} \[model\] encoder.dropout; leave", model=language_model, task="pretrain", r_drop=1.0)
    train.Config(
        task="pretrain", model={**language_model, "encoder": {**encoder, "attention_dropout": 0.1}}, r_drop=1.0
    )
