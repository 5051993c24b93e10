"""Diverse beam search against a plain Python implementation of it, on the table-driven model of test_beam."""

import numpy as np
import pytest
import tensorflow as tf
from test_beam import END, WORDS, Table, along, compare, in_graph, log_softmax, penalty, sources, words_of

from textpipe.config.sections import Plugin
from textpipe.decoding import beam, diverse


def plain(model, first, beam_size, groups, strength, max_length, alpha):
    """Diverse beam search with lists: the best answers of all groups, best first."""
    size = beam_size // groups
    living, finished, done = [[(0.0, ())] for _ in range(groups)], [[] for _ in range(groups)], [False] * groups
    for length in range(1, max_length + 1):
        used, ended = [], set()
        for group in range(groups):
            if done[group]:
                continue
            candidates = []
            for log_prob, ids in living[group]:
                _, passed = along(model, first, (*ids, END))
                scores = log_softmax(model.logits[first, passed[-1]])
                for token in (*WORDS, END) if length < max_length else (END,):
                    if token == END and (*ids, END) in ended:
                        continue
                    price = 0 if token == END else strength * used.count(token)
                    candidates.append((log_prob + scores[token] - price, log_prob + scores[token], (*ids, token)))
            candidates = sorted(candidates, reverse=True)[: 2 * size]
            ends = [(lp / penalty(length, alpha), lp, ids) for _, lp, ids in candidates if ids[-1] == END]
            finished[group] = sorted(finished[group] + ends, reverse=True)[:size]
            living[group] = [(lp, ids) for _, lp, ids in candidates if ids[-1] != END][:size]
            used += [ids[-1] for _, ids in living[group]]
            ended |= {ids for _, _, ids in ends}
            best = max((lp for lp, _ in living[group]), default=-np.inf)
            if len(finished[group]) == size and finished[group][-1][0] >= best / penalty(max_length, alpha):
                done[group] = True
    return sorted((one for group in finished for one in group), reverse=True)


def run(model, decoder, config, source):
    """Runs eagerly, which is faster for a few rows."""
    return decoder.decode(model, {"source": source}, config)


@pytest.mark.parametrize(
    ("beam_size", "groups", "strength"), [(4, 4, 0.5), (4, 2, 1.5), (6, 3, 0.3), (6, 2, 0.0), (3, 3, 20.0), (6, 1, 0.7)]
)
def test_diverse_search_equals_a_plain_search_in_groups(beam_size, groups, strength):
    config = diverse.Config(beam_size=beam_size, groups=groups, strength=strength, max_length=8, length_penalty=0.6)
    for seed in range(2):
        model = Table(seed, end_bonus=1.5 * seed)
        firsts = (4, 5, 6, 7, 8, 9)
        decode = in_graph if (groups, seed) == (2, 0) else run
        found = decode(model, diverse, config, sources(*firsts))
        for row, first in enumerate(firsts):
            expected = plain(model, first, beam_size, groups, strength, 8, 0.6)
            compare(found, row, expected)
            answers = [words_of(ids) for ids in found["ids"][row].numpy() if words_of(ids)]
            assert len(answers) == len(set(answers)) == len(expected)


def test_one_group_is_beam_search():
    model, source = Table(3), sources(4, 5, 6, 7)
    found = run(model, diverse, diverse.Config(beam_size=4, groups=1, strength=0, max_length=9), source)
    expected = beam.decode(model, {"source": source}, beam.Config(beam_size=4, max_length=9))
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-6)


def test_groups_differ_more_than_a_beam():
    def first_words(decoder, **options):
        config = decoder.Config(beam_size=4, max_length=8, **options)
        found = run(Table(6, end_bonus=-1.0), decoder, config, sources(4, 5, 6, 7, 8, 9))["ids"].numpy()
        return np.mean([len(set(row[:, 0])) for row in found])

    assert first_words(diverse, groups=4, strength=1.0) > first_words(beam) + 0.5
    assert first_words(diverse, groups=4, strength=50.0) == 4


def test_beam_size_and_strength_can_be_set_for_a_call():
    model, source, config = Table(2), sources(4, 5), diverse.Config(groups=2, max_length=6)
    call = tf.function(lambda **options: diverse.decode(model, {"source": source}, config, options))
    found = call(beam_size=tf.constant(4), strength=tf.constant(0.9))
    for row, first in enumerate((4, 5)):
        compare(found, row, plain(model, first, 4, 2, np.float32(0.9), 6, 1.0))
    with pytest.raises(tf.errors.InvalidArgumentError, match="beam_size must be a multiple of groups = 2"):
        call(beam_size=tf.constant(5), strength=tf.constant(0.9))


def test_groups_that_do_not_divide_the_beam_are_refused():
    with pytest.raises(ValueError, match="beam_size = 5 is not divisible by groups = 2; make it a multiple"):
        Plugin.check("decoding", {"kind": "diverse", "beam_size": 5, "groups": 2})
