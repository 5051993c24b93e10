"""Greedy and beam decoding against exhaustive enumeration and against a plain Python search, on a tiny vocabulary.

The model is a table: the logits of a position depend on the row's first source token and on the whole history, which the
state holds as a number. So a state that follows the wrong parent changes every answer.
"""

import itertools
import math

import numpy as np
import pytest
import tensorflow as tf

from textpipe.config.sections import Plugin
from textpipe.decoding import _beam, _search, beam, greedy
from textpipe.decoding._top import Top, logsumexp

PAD, UNKNOWN, START, END = 0, 1, 2, 3
VOCABULARY = 8
WORDS = (UNKNOWN, 4, 5, 6, 7)
HISTORIES = 101


class Table:
    """logits[first source token, history]; attention points at source position history % T."""

    pad_id, start_id, end_id = PAD, START, END

    def __init__(self, seed, end_bonus=0.0, vocabulary=VOCABULARY, scale=1.5):
        random = np.random.default_rng(seed)
        self.logits = random.normal(scale=scale, size=(10, HISTORIES, vocabulary)).astype("float32")
        self.logits[:, :, END] += end_bonus
        self.steps, self.sizes = 0, []

    def encode(self, inputs):
        source = inputs["source"]
        return {"source": source}

    def start(self, memory):
        history = tf.ones_like(memory["source"][:, 0])
        return {"memory": {"source": memory["source"]}, "history": history, "pair": (tf.cast(history, tf.float32),)}

    def step(self, state, ids):
        self.steps += 1
        self.sizes.append(ids.shape[0])
        history = after(state["history"], ids)
        tf.debugging.assert_equal(tf.cast(state["history"], tf.float32), state["pair"][0])
        source = state["memory"]["source"]
        logits = tf.gather_nd(self.logits, tf.stack([source[:, 0], history], axis=1))
        attention = tf.one_hot(history % tf.shape(source)[1], tf.shape(source)[1])
        return logits, {**state, "history": history, "pair": (tf.cast(history, tf.float32),)}, attention


def after(history, token):
    return (history * 31 + token * 17 + 5) % HISTORIES


def log_softmax(logits):
    logits = logits.astype("float64")
    return logits - np.log(np.exp(logits).sum())


def along(model, first, ids):
    """(log-probability, histories) of an answer, in float64."""
    history, last, total, passed = 1, START, 0.0, []
    for token in ids:
        history = int(after(history, last))
        passed.append(history)
        total += log_softmax(model.logits[first, history])[token]
        last = token
    return total, passed


def penalty(length, alpha):
    return ((5 + length) / 6) ** alpha


def every_answer(model, first, max_length, alpha, min_length=1):
    """All answers up to max_length, best first: [(score, log-probability, ids)]."""
    answers = []
    for words in range(min_length - 1, max_length):
        for sentence in itertools.product(WORDS, repeat=words):
            ids = (*sentence, END)
            log_prob, _ = along(model, first, ids)
            answers.append((log_prob / penalty(len(ids), alpha), log_prob, ids))
    return sorted(answers, reverse=True)


def plain_beam(model, first, beam_size, max_length, alpha, patience=math.inf):
    """Exhaustive beam search with lists: (answers best first, number of steps after which stopping loses nothing).

    patience: or until patience * beam_size answers have ended among the best beam_size candidates.
    """
    living, finished, enough, ended = [(0.0, ())], [], None, 0
    for length in range(1, max_length + 1):
        candidates = []
        for log_prob, ids in living:
            _, passed = along(model, first, (*ids, END))
            scores = log_softmax(model.logits[first, passed[-1]])
            tokens = (*WORDS, END) if length < max_length else (END,)
            candidates += [(log_prob + scores[token], (*ids, token)) for token in tokens]
        candidates = sorted(candidates, reverse=True)[: 2 * beam_size]
        finished += [(lp / penalty(length, alpha), lp, ids) for lp, ids in candidates if ids[-1] == END]
        finished = sorted(finished, reverse=True)[:beam_size]
        living = [one for one in candidates if one[1][-1] != END][:beam_size]
        ended += sum(ids[-1] == END for _, ids in candidates[:beam_size])
        if ended >= patience * beam_size:
            return finished, length
        bound = living[0][0] / penalty(max_length, alpha) if living else -math.inf
        if enough is None and len(finished) == beam_size and finished[-1][0] >= bound:
            enough = length
    return finished, enough or max_length


class BeamAlone:
    @staticmethod
    def decode(model, source, config):
        rules = _search.Rules(config.rules, None, None)
        return _beam.search(model, source, config, rules, _beam.BestCandidates(), beam=config.beam_size)


def words_of(row):
    return tuple(int(token) for token in row if token != PAD)


def compare(found, row, expected, *, tolerance=2e-5):
    """The n-best of one row with (score, log-probability, ids) tuples, in order."""
    for place, (score, log_prob, ids) in enumerate(expected):
        assert words_of(found["ids"][row, place].numpy()) == ids
        assert found["scores"][row, place].numpy() == pytest.approx(score, abs=tolerance)
        assert found["log_probs"][row, place].numpy() == pytest.approx(log_prob, abs=tolerance)


def sources(*firsts, width=3):
    return tf.constant([[first, *[4] * (width - 1)] for first in firsts], tf.int32)


def in_graph(model, decoder, config, source):
    decode = tf.function(
        lambda source: decoder.decode(model, {"source": source}, config),
        input_signature=[tf.TensorSpec([None, None], tf.int32)],
    )
    return decode(source)


@pytest.mark.parametrize("alpha", [0.0, 0.6, 2.0])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_wide_beam_equals_exhaustive_enumeration(seed, alpha):
    # With 5 words and 3 positions before the end there are at most 5 ** 3 live hypotheses: a beam of 125 loses none.
    model = Table(seed)
    config = beam.Config(beam_size=125, max_length=4, length_penalty=alpha)
    found = in_graph(model, beam, config, sources(5, 6))
    for row, first in enumerate((5, 6)):
        compare(found, row, every_answer(model, first, 4, alpha)[:125])


def test_a_beam_wider_than_the_number_of_answers_pads_the_rest():
    model = Table(3)
    found = beam.decode(model, {"source": sources(5)}, beam.Config(beam_size=40, max_length=3))
    expected = every_answer(model, 5, 3, 1.0)
    assert len(expected) == 31
    compare(found, 0, expected)
    assert np.all(found["ids"][0, 31:].numpy() == PAD)
    np.testing.assert_array_equal(found["scores"][0, 31:], -1e9)
    np.testing.assert_array_equal(found["log_probs"][0, 31:], -1e9)
    np.testing.assert_array_equal(found["attention"][0, 31:], 0)


@pytest.mark.parametrize("alpha", [0.0, 1.0])
@pytest.mark.parametrize("beam_size", [1, 2, 4])
def test_a_narrow_beam_with_early_stop_equals_a_complete_plain_search(beam_size, alpha):
    config = beam.Config(beam_size=beam_size, max_length=9, length_penalty=alpha)
    for seed in range(4):
        model = Table(seed, end_bonus=seed)
        firsts = (4, 5, 6, 7, 8, 9)
        found = in_graph(model, beam, config, sources(*firsts))
        for row, first in enumerate(firsts):
            expected, _ = plain_beam(model, first, beam_size, 9, alpha)
            assert len(expected) == beam_size
            compare(found, row, expected)


@pytest.mark.parametrize("search", [beam, BeamAlone])
@pytest.mark.parametrize("patience", [0.5, 1.0, 2.0])
def test_patience_ends_the_search_when_a_plain_search_has_counted_as_many_ended_answers(search, patience):
    config = beam.Config(beam_size=3, max_length=12, length_penalty=2.0, patience=patience)
    sooner = 0
    for seed in range(2):
        model = Table(seed, end_bonus=1.0)
        for first in (4, 5):
            expected, steps = plain_beam(model, first, 3, 12, 2.0, patience)
            full, enough = plain_beam(model, first, 3, 12, 2.0)
            model.steps = 0
            found = search.decode(model, {"source": sources(first)}, config)
            if steps <= enough:
                compare(found, 0, expected)
                assert model.steps == steps
                sooner += steps < enough
            else:
                compare(found, 0, full)
    assert sooner


def test_patience_with_a_small_n_best_gives_the_answers_of_a_plain_search():
    missed = 0
    for seed in range(8):
        model = Table(seed, end_bonus=1.0)
        config = beam.Config(beam_size=3, max_length=12, length_penalty=2.0, patience=1.0, n_best=1)
        found = beam.decode(model, {"source": sources(5)}, config)["scores"][0, 0].numpy()
        plain, best = (plain_beam(model, 5, 3, 12, 2.0, patience)[0][0][0] for patience in (1.0, math.inf))
        assert plain - 1e-4 <= found <= best + 1e-4
        missed += found < best - 1e-4
    assert missed


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_the_search_stops_at_the_first_step_after_which_nothing_can_overtake(alpha):
    stops = []
    for seed in range(5):
        model = Table(seed, end_bonus=4.0)
        _, enough = plain_beam(model, 5, 2, 30, alpha)
        model.steps = 0
        beam.decode(model, {"source": sources(5)}, beam.Config(beam_size=2, max_length=30, length_penalty=alpha))
        assert model.steps == enough
        stops.append(enough)
    assert max(stops) < 30


def test_a_beam_finds_what_greedy_search_misses():
    better = 0
    for seed in range(6):
        model = Table(seed, end_bonus=1.0)
        one = greedy.decode(model, {"source": sources(5)}, greedy.Config(max_length=8))["log_probs"].numpy()[0, 0]
        many = beam.decode(model, {"source": sources(5)}, beam.Config(beam_size=30, max_length=8, length_penalty=0.0))
        assert many["log_probs"].numpy()[0, 0] >= one - 1e-5
        better += many["log_probs"].numpy()[0, 0] > one + 1e-3
    assert better


@pytest.mark.parametrize("end_bonus", [-3.0, 1.0])
def test_greedy_is_the_chain_of_the_likeliest_tokens(end_bonus):
    model, firsts, max_length = Table(4, end_bonus=end_bonus), (4, 5, 6, 7, 8, 9), 7
    found = in_graph(model, greedy, greedy.Config(max_length=max_length, length_penalty=1.0), sources(*firsts))
    for row, first in enumerate(firsts):
        ids = ()
        while not ids or ids[-1] != END:
            _, passed = along(model, first, (*ids, END))
            logits = model.logits[first, passed[-1]].copy()
            logits[[PAD, START]] = -np.inf
            ids += (END,) if len(ids) == max_length - 1 else (int(np.argmax(logits)),)
        log_prob, _ = along(model, first, ids)
        compare(found, row, [(log_prob / penalty(len(ids), 1.0), log_prob, ids)])


@pytest.mark.parametrize(
    ("decoder", "config"),
    [(greedy, greedy.Config(max_length=12)), (beam, beam.Config(beam_size=4, max_length=12))],
    ids=["greedy", "beam"],
)
def test_attention_follows_each_hypothesis(decoder, config):
    model, firsts, width = Table(5, end_bonus=0.5), (4, 5, 6, 7), 7
    found = in_graph(model, decoder, config, sources(*firsts, width=width))
    ids, attention = found["ids"].numpy(), found["attention"].numpy()
    assert attention.shape == (*ids.shape, width)
    for row, first in enumerate(firsts):
        for place in range(ids.shape[1]):
            answer = words_of(ids[row, place])
            _, passed = along(model, first, answer)
            expected = np.zeros((ids.shape[2], width))
            expected[np.arange(len(answer)), [history % width for history in passed]] = 1
            np.testing.assert_array_equal(attention[row, place], expected)


@pytest.mark.parametrize("beam_size", [1, 3])
def test_each_row_of_a_batch_has_its_own_maximum_length(beam_size):
    model = Table(6, end_bonus=-9.0)
    source = tf.constant([[5, 4, 4, 4, 4], [6, 4, 0, 0, 0], [7, 4, 4, 0, 0]], tf.int32)
    config = beam.Config(beam_size=beam_size, max_length=8, max_ratio=1.5, max_extra=1)
    found = in_graph(model, beam, config, source)
    for row, (first, cap) in enumerate([(5, 8), (6, 4), (7, 6)]):
        expected, _ = plain_beam(model, first, beam_size, cap, 1.0)
        compare(found, row, expected)


def test_no_answer_is_shorter_than_min_length():
    model = Table(7, end_bonus=3.0)
    expected = every_answer(model, 5, 4, 1.0, min_length=3)
    compare(
        beam.decode(model, {"source": sources(5)}, beam.Config(beam_size=125, max_length=4, min_length=3)),
        0,
        expected[:125],
    )
    found = greedy.decode(model, {"source": sources(5)}, greedy.Config(max_length=9, min_length=3))
    assert len(words_of(found["ids"][0, 0].numpy())) >= 3


@pytest.mark.parametrize("decoder", ["greedy", "beam"])
def test_an_answer_may_consist_of_its_end_only(decoder):
    config = Plugin.check("decoding", {"kind": decoder, "max_length": 1})
    found = {"greedy": greedy, "beam": beam}[decoder].decode(Table(8), {"source": sources(5)}, config)
    assert found["ids"].numpy()[0, 0].tolist() == [END]
    assert found["log_probs"].numpy()[0, 0] == pytest.approx(along(Table(8), 5, (END,))[0], abs=1e-5)


def to_the_end(model, source, config):
    """A search that computes every hypothesis of every row until the last row is done."""
    settings = _search.with_options(config, None, beam.OPTIONS, beam.TEXTS)
    rules = _search.Rules(config.rules)
    found = _beam.search(model, {"source": source}, settings, rules, _beam.BestCandidates(), beam=config.beam_size)
    return {name: part.numpy()[:, : config.n_best or config.beam_size] for name, part in found.items()}


NO_REPEAT = {"kind": "no_repeat_ngram", "size": 2}


@pytest.mark.parametrize(
    ("vocabulary", "options"),
    [
        (VOCABULARY, {"beam_size": 4}),
        (VOCABULARY, {"beam_size": 4, "n_best": 1, "length_penalty": 0.0}),
        (VOCABULARY, {"beam_size": 3, "n_best": 2, "max_ratio": 2.0, "max_extra": 3, "rules": [NO_REPEAT]}),
        (1200, {"beam_size": 5, "n_best": 1, "coverage_penalty": 0.3}),
        (1031, {"beam_size": 3, "min_length": 4, "rules": [NO_REPEAT]}),
    ],
)
def test_dropping_hypotheses_that_cannot_win_changes_no_answer(vocabulary, options):
    model = Table(7, end_bonus=2.0, vocabulary=vocabulary, scale=2.0)
    source = sources(*range(10), *range(10), width=5)
    config = beam.Config(max_length=14, **options)
    expected = to_the_end(model, source, config)
    found = {name: part.numpy() for name, part in in_graph(model, beam, config, source).items()}
    length = found["ids"].shape[2]
    assert not expected["ids"][:, :, length:].any()
    np.testing.assert_array_equal(found["ids"], expected["ids"][:, :, :length])
    np.testing.assert_allclose(found["scores"], expected["scores"], rtol=1e-5)
    np.testing.assert_allclose(found["log_probs"], expected["log_probs"], rtol=1e-5)
    np.testing.assert_array_equal(found["attention"], expected["attention"][:, :, :length])


def test_rows_that_are_done_are_no_longer_computed():
    model, rows = Table(7, end_bonus=2.0), 40
    config = beam.Config(beam_size=3, max_length=30)
    source = sources(*(row % 10 for row in range(rows)))
    # A row is computed for as many steps as it needs on its own.
    alone = []
    for row in range(10):
        model.steps = 0
        beam.decode(model, {"source": source[row : row + 1]}, config)
        alone.append(model.steps)
    model.sizes = []
    beam.decode(model, {"source": source}, config)
    assert model.sizes[0] == rows  # one hypothesis each, not three
    for step, size in enumerate(model.sizes[1:], 2):
        needed = sum(steps >= step for steps in alone) * rows // 10
        assert size <= 3 * min(rows, needed * 8 / 7 + 1)
    assert len(model.sizes) == max(alone) and model.sizes[-1] < rows


@pytest.mark.parametrize("beta", [0.2, 2.0])
def test_the_coverage_penalty_agrees_with_enumeration(beta):
    model, width = Table(1), 4
    source = tf.constant([[5, 4, 4, 4], [6, 4, 4, 0]], tf.int32)
    config = beam.Config(beam_size=125, max_length=4, length_penalty=0.7, coverage_penalty=beta)
    found = in_graph(model, beam, config, source)
    order = {}
    for row, (first, real) in enumerate([(5, 4), (6, 3)]):
        expected = []
        for score, log_prob, ids in every_answer(model, first, 4, 0.7):
            got = np.zeros(width)
            for history in along(model, first, ids)[1]:
                got[history % width] += 1
            coverage = np.log(np.clip(got[:real], 1e-9, 1)).sum()
            expected.append((score + beta * coverage, log_prob, ids))
        expected.sort(reverse=True)
        compare(found, row, expected[:125], tolerance=1e-4)
        order[row] = [ids for _, _, ids in expected]
    assert order[0] != [ids for _, _, ids in every_answer(model, 5, 4, 0.7)]


@pytest.mark.parametrize("size", [1024, 1031, 2000])
def test_grouped_top_k_finds_the_best_tokens_of_a_row(size):
    random = np.random.default_rng(size)
    logits = random.normal(size=(4 * 3, size)).astype("float32")
    behind = random.normal(size=(4, 3)).astype("float32")
    for count in (1, 7, 25):
        found = Top(tf.constant(logits)).best(tf.constant(behind), count)
        total, hypothesis, token = (part.numpy() for part in found)
        every = logits.reshape(4, 3, size) + behind[:, :, None]
        for row in range(4):
            assert len(set(zip(hypothesis[row], token[row], strict=True))) == total.shape[1] >= count
            there = token[row] < size
            np.testing.assert_array_equal(total[row][there], every[row, hypothesis[row][there], token[row][there]])
            assert np.all(total[row][~there] == -np.inf)
            np.testing.assert_array_equal(np.sort(total[row])[::-1][:count], np.sort(every[row].ravel())[::-1][:count])


@pytest.mark.parametrize("shift", [0.0, 59.0, -59.0, 300.0, -300.0])
def test_logsumexp_is_exact_for_large_logits(shift):
    logits = np.random.default_rng(0).normal(size=(5, 900)).astype("float32")
    expected = np.log(np.exp(logits.astype("float64")).sum(axis=1)) + shift
    logits = logits + np.float32(shift)
    np.testing.assert_allclose(logsumexp(tf.constant(logits)), expected, rtol=1e-6)
    np.testing.assert_allclose(logsumexp(tf.constant(logits), tf.constant(logits.max(axis=1))), expected, rtol=1e-6)


def test_lengths_that_contradict_each_other_are_refused():
    with pytest.raises(ValueError, match="min_length = 9 is more than max_length = 4; lower it"):
        Plugin.check("decoding", {"kind": "beam", "max_length": 4, "min_length": 9})
    with pytest.raises(ValueError, match="n_best = 9 is more than beam_size = 4; raise beam_size"):
        Plugin.check("decoding", {"kind": "beam", "n_best": 9, "beam_size": 4})
