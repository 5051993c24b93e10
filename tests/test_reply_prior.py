"""log P(reply): by frequency and by an n-gram model."""

import itertools

import numpy as np
import pytest
from test_suggest import selector

from textpipe.answers._ranking_settings import Config
from textpipe.answers._reply_prior import END, UNKNOWN, NgramModel, by_frequency, by_language_model
from textpipe.answers._response_set import Response


def test_a_bigram_model_by_hand():
    model = NgramModel([["a"], ["a", "b"]], [1, 1], order=2)
    # Five events without history: a a b end end; three different, and four words in the vocabulary.
    a, b, end = (2 + 3 / 4) / 8, (1 + 3 / 4) / 8, (2 + 3 / 4) / 8
    assert model.probability((), "a") == pytest.approx(a)
    assert model.probability((), "b") == pytest.approx(b)
    assert model.probability(("a",), "b") == pytest.approx((1 + 2 * b) / (2 + 2))
    assert model.probability(("a",), END) == pytest.approx((1 + 2 * end) / (2 + 2))
    first = (2 + 1 * a) / (2 + 1)
    assert model.log_prob(["a", "b"]) == pytest.approx(np.log(first * (1 + 2 * b) / 4 * (1 + 1 * end) / (1 + 1)))
    assert model.log_prob(["z"]) == pytest.approx(np.log(1 / 3 * (3 / 4 / 8) * end))


def test_counts_are_repetitions():
    texts = [["a", "b"], ["b"], ["c", "a", "b"]]
    weighted = NgramModel(texts, [3, 1, 2])
    repeated = NgramModel([texts[0]] * 3 + [texts[1]] + [texts[2]] * 2, [1] * 6)
    for text in [*texts, ["a"], ["b", "z"], []]:
        assert weighted.log_prob(text) == pytest.approx(repeated.log_prob(text))


def test_after_every_history_the_words_sum_to_one():
    model = NgramModel([["a", "b"], ["b", "b", "a"], ["c"]], [2, 1, 5])
    words = [*sorted(model.vocabulary), "<s>"]
    for history in itertools.product(words, words):
        total = sum(model.probability(history, word) for word in model.vocabulary)
        assert total == pytest.approx(1), history
    assert UNKNOWN in model.vocabulary


def test_a_rare_wording_of_frequent_words_has_more_of_the_language_model():
    responses = [
        Response("Thank you very much.", count=500),
        Response("Thank you so much.", count=400),
        Response("Thank you so very much.", count=1),
        Response("Seven purple elephants dance.", count=1),
    ]
    frequency, model = by_frequency(responses), by_language_model(responses)
    assert frequency[2] == frequency[3] == pytest.approx(np.log(1 / 902))
    assert model[2] > model[3] + 1
    assert np.exp(model).sum() == pytest.approx(1) and np.exp(frequency).sum() == pytest.approx(1)
    assert np.argmax(model) == 0


def test_case_punctuation_and_a_response_without_words():
    responses = [Response("OK.", count=3), Response("ok", count=1), Response("!", count=2)]
    found = by_language_model(responses)
    assert found[0] == found[1] and np.isfinite(found).all()


def test_a_ranker_takes_the_prior_of_its_settings():
    responses = [Response("Yes.", count=8), Response("Yes, of course.", count=2), Response("Of course.", count=1)]
    for prior, expected in (("frequency", by_frequency), ("language_model", by_language_model)):
        for weight in (0, 0.5, 2):
            settings = Config(prior=prior, prior_weight=weight)
            found = selector(responses, settings).prior
            np.testing.assert_allclose(found, weight * expected(responses), rtol=1e-5)
    assert not np.allclose(by_frequency(responses), by_language_model(responses), atol=0.01)
