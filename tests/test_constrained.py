"""Lexical constraints against enumeration of the answers that contain them, on the table-driven model of test_beam."""

import numpy as np
import pytest
import tensorflow as tf
from test_beam import END, Table, along, compare, every_answer, penalty, plain_beam, sources, words_of
from test_prefix import Letters, call, ids_of

from textpipe.config.sections import Plugin
from textpipe.decoding import beam, constrained
from textpipe.decoding._banks import Phrases, allocate, bank_index

# By row: nothing, a word, a phrase, two phrases, phrases that share tokens, nested ones, one that overlaps itself.
DEMANDS = ["", "c", "de", "a\nb", "ab\nbc", "dd\nd", "aba", "e\r\n\n  c  \n"]


def phrases_of(demand):
    return [ids_of(line.strip()) for line in demand.splitlines() if line.strip()]


def holds(ids, phrase):
    return any(ids[at : at + len(phrase)] == phrase for at in range(len(ids)))


def holds_all(ids, demand):
    return all(holds(ids, phrase) for phrase in phrases_of(demand))


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_a_wide_beam_equals_enumeration_of_answers_with_the_phrases(alpha):
    model = Table(0)
    # With 5 words and 4 positions before the end there are at most 5 ** 4 live hypotheses: a beam of 625 loses none.
    config = constrained.Config(beam_size=625, max_length=5, length_penalty=alpha)
    found = call(model, constrained, config, sources(*[5] * len(DEMANDS)), graph=alpha == 1, constraints=DEMANDS)
    every = every_answer(model, 5, 5, alpha)
    for row, demand in enumerate(DEMANDS):
        expected = [one for one in every if holds_all(one[2], demand)][:625]
        assert expected
        compare(found, row, expected[:30])
        assert all(not words_of(ids) for ids in found["ids"][row, len(expected) :].numpy())


@pytest.mark.parametrize(("beam_size", "max_length"), [(1, 3), (1, 12), (2, 9), (5, 9)])
def test_every_answer_contains_the_phrases_of_its_row_with_any_beam_size(beam_size, max_length):
    demands = ["abc\nde", "eeee", "a\nb\nc\nd\ne", "", "abab\nbaba"]
    for seed in range(2):
        model = Table(seed, end_bonus=2.0 * seed)
        config = constrained.Config(beam_size=beam_size, max_length=max_length, length_penalty=0.0)
        found = call(model, constrained, config, sources(4, 5, 6, 7, 8), constraints=demands)
        for row, demand in enumerate(demands):
            best = words_of(found["ids"][row, 0].numpy())
            assert best[-1] == END
            for ids, log_prob in zip(found["ids"][row].numpy(), found["log_probs"][row].numpy(), strict=True):
                if answer := words_of(ids):
                    assert holds_all(answer, demand)
                    assert log_prob == pytest.approx(along(model, 4 + row, answer)[0], abs=3e-5)


@pytest.mark.parametrize("beam_size", [1, 3])
def test_rows_without_phrases_are_searched_like_beam_search(beam_size):
    model, config = Table(2, end_bonus=1.0), constrained.Config(beam_size=beam_size, max_length=9)
    found = call(model, constrained, config, sources(4, 5, 6, 7), constraints=["", "ab\ncd", "\n", ""])
    for row in (0, 2, 3):
        compare(found, row, plain_beam(model, 4 + row, beam_size, 9, 1.0)[0])
    free = constrained.decode(model, {"source": sources(4, 5, 6, 7)}, config)
    expected = beam.decode(model, {"source": sources(4, 5, 6, 7)}, beam.Config(beam_size=beam_size, max_length=9))
    for name, values in expected.items():
        np.testing.assert_array_equal(free[name], values)


def test_a_beam_of_ten_nearly_always_finds_the_best_answer_with_a_phrase():
    model = Table(4)
    demands = ["c", "de", "a\nb", "eb", "bb", "d\nc"]
    config = constrained.Config(beam_size=10, max_length=5)
    found = call(model, constrained, config, sources(*range(4, 10)), constraints=demands)["scores"].numpy()[:, 0]
    best = [
        next(score for score, _, ids in every_answer(model, 4 + row, 5, 1.0) if holds_all(ids, demand))
        for row, demand in enumerate(demands)
    ]
    assert np.all(found <= np.array(best) + 1e-5)
    assert np.mean(np.isclose(found, best, atol=1e-5)) > 0.8


def test_phrases_of_a_call_override_those_of_the_pipeline_file():
    model, config = Table(1), constrained.Config(constraints=["ca", "e"], max_length=6, prefix="d")
    fixed = call(model, constrained, config, sources(5, 6))
    for ids in fixed["ids"].numpy().reshape(-1, fixed["ids"].shape[2]):
        assert not words_of(ids) or (holds_all(words_of(ids), "ca\ne") and words_of(ids)[0] == ids_of("d")[0])
    free = call(model, constrained, config, sources(5, 6), constraints=[""], prefix=[""])
    for row, first in enumerate((5, 6)):
        compare(free, row, plain_beam(model, first, 5, 6, 1.0)[0])


def test_a_prefix_leaves_room_for_the_phrases():
    found = call(
        Table(1), constrained, constrained.Config(max_length=3), sources(5), prefix=["abcd"], constraints=["ee"]
    )
    answer = words_of(found["ids"][0, 0].numpy())
    assert answer == (*ids_of("abcd"), *ids_of("ee"), END)
    assert found["scores"][0, 0].numpy() == pytest.approx(along(Table(1), 5, answer)[0] / penalty(7, 1.0), abs=2e-5)


def test_runs_of_phrases_agree_with_matching_the_text():
    random = np.random.default_rng(3)
    phrases = ["aab", "ba", "aaaa"]
    rule = Phrases.from_texts(tf.constant(["\n".join(phrases)]), Letters())
    state, before = rule.start(tf.constant(40)), [""] * 40
    for _ in range(12):
        drawn = random.choice(list("aab"), 40)
        before = [text + letter for text, letter in zip(before, drawn, strict=True)]
        state = rule.advance(state, tf.constant([ids_of(letter)[0] for letter in drawn], tf.int32))
        bank = bank_index(state).numpy()
        for row, text in enumerate(before):
            met = [phrase in text for phrase in phrases]
            assert state["met"][row].numpy()[:3].tolist() == met
            open_ = [phrase for phrase, held in zip(phrases, met, strict=True) if not held]
            run = max((size for phrase in open_ for size in range(5) if text.endswith(phrase[:size])), default=0)
            run = min(run, max(map(len, open_), default=0))
            assert bank[row] == run + sum(len(phrase) for phrase, held in zip(phrases, met, strict=True) if held)


def test_the_beam_is_divided_among_the_non_empty_banks():
    log_probs = tf.constant([[-1.0, -2, -3, -4, -5, -6, -7, -np.inf]])
    bank = tf.constant([[0, 0, 0, 0, 2, 0, 5, 5]])
    assert allocate(log_probs, bank, 4).numpy().tolist() == [[0, 4, 6, 1]]
    assert sorted(allocate(log_probs, bank, 2).numpy()[0].tolist()) == [4, 6]
    assert allocate(log_probs, tf.zeros_like(bank), 3).numpy().tolist() == [[0, 1, 2]]


@pytest.mark.parametrize("phrase", ["", " ", "a\nb"])
def test_invalid_phrases_are_refused(phrase):
    with pytest.raises(ValueError, match="expected a word or a phrase on a single line"):
        Plugin.check("decoding", {"kind": "constrained", "constraints": [phrase]})
