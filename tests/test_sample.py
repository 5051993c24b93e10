"""Sampling against the enumerated distribution, on the table-driven model of test_beam."""

import math
from collections import Counter

import numpy as np
import pytest
import tensorflow as tf
from test_beam import (
    END,
    PAD,
    START,
    VOCABULARY,
    Table,
    after,
    along,
    in_graph,
    log_softmax,
    penalty,
    sources,
    words_of,
)

from textpipe.config.sections import Plugin
from textpipe.decoding import _random, greedy, sample

DRAWS = 6000


def cut(logits, temperature, top_k, top_p):
    """The sampling distribution of a token, in float64: sort, truncate, renormalize."""
    weights = np.exp(log_softmax(logits / temperature))
    order = np.argsort(-weights, kind="stable")
    if top_k is not None:
        weights[order[top_k:]] = 0
        weights /= weights.sum()
    total = 0.0
    for token in order:
        if total >= top_p:
            weights[token] = 0
        total += weights[token]
    return weights / weights.sum()


def distribution(model, first, max_length, temperature=1.0, top_k=None, top_p=1.0):
    """{answer: probability of drawing it}."""
    found, open_ = Counter(), [((), 1, START, 1.0)]
    while open_:
        ids, history, last, probability = open_.pop()
        history = int(after(history, last))
        logits = model.logits[first, history].astype("float64")
        if len(ids) + 1 == max_length:
            found[(*ids, END)] += probability
            continue
        logits[[PAD, START]] = -np.inf
        for token, weight in enumerate(cut(logits, temperature, top_k, top_p)):
            if token == END and weight:
                found[(*ids, END)] += probability * weight
            elif weight:
                open_.append(((*ids, token), history, token, probability * weight))
    return found


CUTS = [
    {},
    {"temperature": 0.5},
    {"temperature": 2.0, "top_k": 2},
    {"top_p": 0.6},
    {"temperature": 1.5, "top_k": 4, "top_p": 0.7},
]


@pytest.mark.parametrize("options", CUTS, ids=str)
def test_sample_frequencies_agree_with_enumeration(options):
    model = Table(1, end_bonus=1.0)
    config = sample.Config(num_samples=DRAWS, max_length=3, seed=3, **options)
    found = in_graph(model, sample, config, sources(5, 6))
    for row, first in enumerate((5, 6)):
        expected = distribution(model, first, 3, **options)
        assert sum(expected.values()) == pytest.approx(1)
        counts = Counter(words_of(ids) for ids in found["ids"][row].numpy())
        assert set(counts) <= set(expected)  # nothing from outside the top_k and top_p
        # Pearson's statistic is about chi-square: mean = freedom, variance = 2 * freedom. Rare answers are pooled.
        often = {ids: p for ids, p in expected.items() if p * DRAWS >= 5}
        pairs = [(counts[ids], p * DRAWS) for ids, p in often.items()]
        pairs.append((DRAWS - sum(seen for seen, _ in pairs), DRAWS - sum(mean for _, mean in pairs)))
        statistic = sum((seen - mean) ** 2 / mean for seen, mean in pairs if mean > 1)
        freedom = max(1, sum(mean > 1 for _, mean in pairs) - 1)
        assert statistic < freedom + 4 * math.sqrt(2 * freedom)
        assert len(often) > 1


@pytest.mark.parametrize(("top_k", "top_p"), [(1, 1.0), (3, 1.0), (0, 0.3), (0, 0.9), (40, 0.5), (0, 1.0)])
def test_every_token_of_the_nucleus_is_drawn_and_no_other(top_k, top_p):
    # A vocabulary larger than the first top-k, so that the nucleus needs a second pass.
    random = np.random.default_rng(2)
    logits = random.normal(scale=0.5, size=400).astype("float32")
    expected = cut(logits.astype("float64"), 1.0, top_k or None, top_p)
    # A uniform number in the middle of each of 20,000 equal intervals: every token with a larger share is drawn.
    uniform = (np.arange(20_000) + 0.5) / 20_000
    drawn = sample.draw(
        tf.constant(np.tile(logits, (20_000, 1))), tf.constant(uniform), 1.0, top_k, top_p, False
    ).numpy()
    counts = np.bincount(drawn, minlength=400) / 20_000
    assert np.all(counts[expected == 0] == 0)
    assert np.all(counts[expected > 0] > 0)
    np.testing.assert_allclose(counts, expected, atol=1.1e-4)


def test_tokens_of_probability_zero_are_never_drawn():
    weights = tf.constant([[0, 0.25, 0, 0.5, 0.25, 0.0]] * 6)
    uniform = tf.constant([0, 0.2499, 0.25, 0.7499, 0.75, 1 - 2.0**-53], tf.float64)
    assert sample.inverse(weights, uniform).numpy().tolist() == [1, 1, 3, 3, 4, 4]


def test_temperature_zero_is_greedy():
    model = Table(4)
    found = in_graph(model, sample, sample.Config(temperature=0, max_length=7, length_penalty=1.0), sources(4, 5, 6, 7))
    expected = greedy.decode(model, {"source": sources(4, 5, 6, 7)}, greedy.Config(max_length=7, length_penalty=1.0))
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-6)


def test_scores_are_those_of_the_model_and_sorted():
    model = Table(5)
    config = sample.Config(num_samples=9, temperature=2.0, top_k=3, max_length=6, length_penalty=0.6)
    found = in_graph(model, sample, config, sources(5, 8))
    for row, first in enumerate((5, 8)):
        for ids, log_prob, score in zip(
            *(found[name][row].numpy() for name in ("ids", "log_probs", "scores")), strict=True
        ):
            expected, _ = along(model, first, words_of(ids))
            assert log_prob == pytest.approx(expected, abs=2e-5)
            assert score == pytest.approx(expected / penalty(len(words_of(ids)), 0.6), abs=2e-5)
        assert np.all(np.diff(found["scores"][row]) <= 0)
        assert len({words_of(ids) for ids in found["ids"][row].numpy()}) > 3


def draws(source, **options):
    config = sample.Config(**{"num_samples": 4, "max_length": 8, "seed": 7, **options})
    found = sample.decode(Table(2, end_bonus=-1.0), {"source": source}, config)["ids"].numpy()
    return [[words_of(ids) for ids in row] for row in found]


def test_samples_of_a_row_do_not_depend_on_the_batch():
    together = draws(tf.constant([[5, 4, 4, 0], [6, 5, 4, 7], [5, 4, 4, 0], [5, 4, 5, 0]], tf.int32))
    assert together[0] == together[2] != together[3]
    assert draws(tf.constant([[5, 4, 4]], tf.int32)) == together[:1]
    assert draws(tf.constant([[6, 5, 4, 7, 0, 0]], tf.int32)) == together[1:2]


def test_samples_depend_on_the_seed_only():
    source = tf.constant([[5, 4, 4], [6, 4, 4]], tf.int32)
    assert draws(source) == draws(source) != draws(source, seed=8)


def test_options_of_a_call_override_the_fields():
    source, model = sources(5, 6), Table(2)
    given = {"num_samples": 3, "temperature": 0.7, "top_k": 4, "top_p": 0.8, "seed": 5, "max_length": 6}
    call = tf.function(lambda **options: sample.decode(model, {"source": source}, sample.Config(), options))
    found = call(**{name: tf.constant(value, sample.OPTIONS[name]) for name, value in given.items()})
    np.testing.assert_array_equal(found["ids"], sample.decode(model, {"source": source}, sample.Config(**given))["ids"])
    found = call(top_k=tf.constant(0), max_length=tf.constant(6))
    np.testing.assert_array_equal(
        found["ids"], sample.decode(model, {"source": source}, sample.Config(max_length=6))["ids"]
    )
    with pytest.raises(tf.errors.InvalidArgumentError, match="top_p'? must be at most 1"):
        call(top_p=tf.constant(1.5))


@pytest.mark.parametrize(
    "fault", [{"top_p": 0.0}, {"top_p": 1.1}, {"top_k": 0}, {"temperature": -1}, {"num_samples": 0}]
)
def test_invalid_options_are_refused(fault):
    with pytest.raises(ValueError, match=next(iter(fault))):
        Plugin.check("decoding", {"kind": "sample", **fault})


def test_the_generator_is_splitmix64():
    # The first numbers of Vigna's reference implementation for this seed.
    known = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431, 16408922859458223821]
    key = tf.constant(1234567, tf.uint64)
    assert _random.nth(key, tf.range(5)).numpy().tolist() == known
    np.testing.assert_array_equal(_random.uniform(key, tf.range(5)), [(number >> 11) / 2**53 for number in known])


def test_rows_that_differ_only_in_order_or_length_have_different_keys():
    ids = tf.constant([[5, 6, 0, 0], [6, 5, 0, 0], [5, 6, 6, 0], [5, 0, 0, 0], [11, 0, 0, 0]], tf.int32)
    keys = _random.row_keys(1, ids, PAD, 3).numpy()
    assert len(set(keys.tolist())) == 15
    assert VOCABULARY > 7
