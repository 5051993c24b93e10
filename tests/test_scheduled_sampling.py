"""Scheduled sampling: which words are replaced, by which, how often, and that no gradient flows through them."""

import math

import numpy as np
import pytest
import test_training_loop as tests

from textpipe.objectives import sequence
from textpipe.training import losses, vocabulary_loss
from textpipe.training.regularization import scheduled_sampling
from textpipe.training.settings import ScheduledSampling, Settings

SEED = np.array([7, 1], np.int32)


def mixed(model, inputs, probability, seed=SEED, choose="argmax"):
    found = scheduled_sampling.mix_predictions(
        model, {"source": inputs}, inputs, probability=probability, seed=seed, choose=choose
    )
    return np.array(found)


def inputs(rows=6):
    """Decoder inputs of reversed rows: start_id, words, padding."""
    target = tests.reversals(rows).target.gather(np.arange(rows), 8)
    return np.array(losses.shift_right(target, 2)) * (np.array(losses.shift_right(target, 2)) != 0)


def own_words(model, read):
    """The predicted next word after each of these, in NumPy; padding and start_id are disallowed."""
    table, weight, bias = (np.array(variable.value, np.float64) for variable in model.trainable_variables)
    logits = table[read] @ weight + bias
    logits[..., [0, 2]] = -np.inf
    return logits


@pytest.mark.parametrize("split", [True, False])
def test_replaced_words_are_predictions_after_the_true_words(split, monkeypatch):
    monkeypatch.setattr(vocabulary_loss, "BLOCK_LOGITS", 30 * 4)  # four words per block, several blocks and a remainder
    model, read = tests.Table(split), inputs()
    said = own_words(model, read).argmax(-1)
    expected = read.copy()
    expected[:, 1:] = np.where(read[:, 1:] != 0, said[:, :-1], 0)
    np.testing.assert_array_equal(mixed(model, read, 1.0), expected)
    np.testing.assert_array_equal(mixed(model, read, 0.0), read)


def test_the_requested_share_is_replaced_at_positions_given_by_the_seed():
    model, read = tests.Table(True), inputs(400)
    whole = mixed(model, read, 1.0)
    changeable = whole != read  # elsewhere the model predicts the true word
    half = mixed(model, read, 0.3)
    assert ((half == read) | (half == whole)).all()
    share, count = (half != read)[changeable].mean(), changeable.sum()
    assert abs(share - 0.3) < 4 * math.sqrt(0.3 * 0.7 / count)
    np.testing.assert_array_equal(half, mixed(model, read, 0.3))
    assert (half != mixed(model, read, 0.3, seed=np.array([7, 2], np.int32))).any()


def test_sampled_words_follow_the_models_distribution():
    model = tests.Table(True)
    read = np.full((200, 51), 9, np.int32)
    read[:, 0] = 2
    said = mixed(model, read, 1.0, choose="sample")[:, 2:]  # each after the word 9
    logits = own_words(model, np.array([9]))[0]
    probabilities = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    frequencies = np.bincount(said.ravel(), minlength=30) / said.size
    error = np.sqrt(probabilities * (1 - probabilities) / said.size)
    assert (np.abs(frequencies - probabilities) <= 4.5 * error + 1e-4).all()
    assert frequencies.max() < 0.95


def test_the_gradient_is_that_of_reading_the_mixture(monkeypatch):
    """Computed by hand for a constant mixture: no gradient flows through the predictions."""
    import tensorflow as tf

    model, target = tests.Table(True), tests.reversals(5).target.gather(np.arange(5), 8)
    variables = [variable.value for variable in model.trainable_variables]
    seen = []

    mix = scheduled_sampling.mix_predictions

    def noted(*arguments, **options):
        words = mix(*arguments, **options)
        seen.append(np.array(words))
        return words

    monkeypatch.setattr(scheduled_sampling, "mix_predictions", noted)
    sums, gradients = sequence.gradients(
        model,
        {"source": target},
        tf.constant(target),
        variables,
        total=tf.constant(1.0),
        config=Settings(scheduled_sampling={"probability": 0.7}),
        draws=(tf.constant(0.7), tf.constant(SEED)),
    )
    table, weight, bias = (np.array(variable.value, np.float64) for variable in model.trainable_variables)
    slopes, loss = np.zeros_like(table), 0.0
    for before, label in zip(seen[0].ravel(), target.ravel(), strict=True):
        if label:
            logits = table[before] @ weight + bias
            chances = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
            loss -= math.log(chances[label])
            slopes[before] += weight @ (chances - np.eye(30)[label])
    assert (seen[0] != np.array(losses.shift_right(target, 2))).any()
    assert float(sums["loss"]) == pytest.approx(loss, rel=1e-5)
    np.testing.assert_allclose(losses.to_dense(gradients[0]), slopes, atol=1e-4)


def test_in_the_hybrid_model_known_words_are_replaced_by_known_words():
    """Spellings stay where the reference has them, so that every label can be predicted."""
    from textpipe.config.fields import Sizes
    from textpipe.data.columns import Ids
    from textpipe.models import hybrid

    ids = {"kind": "ids", "vocab_size": 17, "num_words": 9, "max_length": 20}
    model = hybrid.build(
        hybrid.Config(units=8, embedding_size=6, letter_units=5, dropout=0.0), Sizes({"a": ids}, "b", ids), seed=2
    )
    random = np.random.default_rng(3)
    for variable in model.trainable_variables:
        variable.assign(random.normal(size=variable.shape))  # so that it also predicts letters and <unk>
    rows = [[4, 5, 1, 12, 15, 9, 6, 7, 3], [1, 11, 9, 8, 4, 1, 10, 10, 9, 3], [8, 7, 6, 5, 3], [1, 14, 3]]
    target = Ids.from_lists(rows * 8).gather(np.arange(32), 10)
    read = np.array(losses.shift_right(target, 2)) * (np.array(losses.shift_right(target, 2)) != 0)
    for choose in ("argmax", "sample"):
        found = mixed(model, read, 1.0, choose=choose)
        known = (read >= 3) & (read < 9)
        assert (found[known] != read[known]).mean() > 0.5
        np.testing.assert_array_equal(found[~known], read[~known])
        assert ((found[known] >= 3) & (found[known] < 9)).all()

    # The last two entries of a hidden vector select words or letters: the others cost 30 nats.
    flags = [np.array(model.hidden({"source": target}, inputs))[..., -2:] for inputs in (read, found)]
    np.testing.assert_array_equal(*flags)


def test_the_probability_follows_the_curves_of_the_paper():
    linear = ScheduledSampling(probability=0.2, start=100, steps=50)
    rates = [scheduled_sampling.rate(linear, step) for step in (1, 100, 125, 150, 900)]
    assert rates == pytest.approx([0, 0, 0.1, 0.2, 0.2])
    exponential = ScheduledSampling(probability=1.0, steps=40, curve="exponential")
    k = 0.01 ** (1 / 40)
    for step in (1, 10, 40, 200):
        assert scheduled_sampling.rate(exponential, step) == pytest.approx(1 - k**step)
    sigmoid = ScheduledSampling(probability=0.5, steps=1000, curve="inverse_sigmoid")
    rates = [scheduled_sampling.rate(sigmoid, step) for step in range(1, 4000, 7)]
    assert rates == sorted(rates)
    assert scheduled_sampling.rate(sigmoid, 500) == pytest.approx(0.25)
    assert (rates[0], rates[-1]) == (pytest.approx(0, abs=0.01), pytest.approx(0.5, abs=0.01))
    k = scheduled_sampling.inverse_sigmoid_k(500)
    assert k * math.log(k) == pytest.approx(500)
