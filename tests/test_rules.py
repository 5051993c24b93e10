"""Rules for the next token, and options of a call, in every decoder."""

import numpy as np
import pytest
import tensorflow as tf
import test_beam
from test_beam import END, PAD, Table, along, compare, every_answer, in_graph, sources, words_of

from textpipe.config.sections import Plugin
from textpipe.decoding import beam, greedy
from textpipe.decoding.rules import no_repeat_ngram

NO_REPEAT = {"kind": "no_repeat_ngram", "size": 2}


def repeats(ids, size):
    grams = [ids[at : at + size] for at in range(len(ids) - size + 1)]
    return len(set(grams)) < len(grams)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_no_repeat_ngram_disallows_tokens_that_repeat_an_ngram(size):
    random = np.random.default_rng(size)
    ids = random.integers(0, 4, size=(20, 9))
    rule = no_repeat_ngram.load(no_repeat_ngram.Config(size=size))
    state = rule.start(tf.constant(20))
    for length in range(10):
        found = rule.disallowed(state, tf.constant(length + 1), tf.constant(6)).numpy()
        for row in range(20):
            before = tuple(ids[row, :length])
            if not repeats(before, size):
                expected = [repeats((*before, token), size) for token in range(6)]
                np.testing.assert_array_equal(found[row], expected)
        if length < 9:
            state = rule.advance(state, tf.constant(ids[:, length], tf.int32))


def test_a_wide_beam_under_a_rule_equals_enumeration_of_what_the_rule_allows():
    model = Table(0)
    config = beam.Config(beam_size=150, max_length=4, length_penalty=0.6, rules=[{**NO_REPEAT, "size": 1}])
    found = in_graph(model, beam, config, sources(5, 6))
    for row, first in enumerate((5, 6)):
        expected = [one for one in every_answer(model, first, 4, 0.6) if not repeats(one[2], 1)]
        assert 50 < len(expected) < 150
        compare(found, row, expected)
        assert np.all(found["ids"][row, len(expected) :].numpy() == PAD)


def test_greedy_takes_the_likeliest_allowed_token():
    model = Table(4, end_bonus=-4.0)
    config = greedy.Config(max_length=30, rules=[NO_REPEAT])
    found = in_graph(model, greedy, config, sources(4, 5, 6))
    free = in_graph(model, greedy, greedy.Config(max_length=30), sources(4, 5, 6))
    for row, first in enumerate((4, 5, 6)):
        ids = ()
        while not ids or ids[-1] != END:
            _, passed = along(model, first, (*ids, END))
            logits = model.logits[first, passed[-1]].copy()
            disallowed = [token for token in range(8) if repeats((*ids, token), 2)]
            logits[[PAD, test_beam.START, *disallowed]] = -np.inf
            ids += (END,) if len(ids) == 29 else (int(np.argmax(logits)),)
        log_prob, _ = along(model, first, ids)
        compare(found, row, [(log_prob, log_prob, ids)])
        assert repeats(words_of(free["ids"][row, 0].numpy()), 2)


class Only:
    """A rule that allows only one answer."""

    def __init__(self, ids):
        self.ids = tf.constant([*ids, *[PAD] * 20])

    def start(self, rows):
        return tf.zeros([rows], tf.int32)

    def disallowed(self, state, length, vocab_size):
        return tf.logical_not(tf.one_hot(tf.gather(self.ids, state), vocab_size, on_value=True, off_value=False))

    def advance(self, state, token):
        return state + 1


@pytest.fixture
def only(monkeypatch):
    """Replaces the rules of a section by `Only(ids)`."""
    from textpipe.decoding import _search

    def put(*ids):
        init = _search.Rules.__init__

        def patched(self, configs, *given):
            init(self, configs, *given)
            self.rules = [Only(ids)]

        monkeypatch.setattr(_search.Rules, "__init__", patched)

    return put


@pytest.mark.parametrize("decoder", [greedy, beam])
def test_an_answer_that_a_rule_forces_has_its_own_log_probability(only, decoder):
    only(5, 4, 7, END)
    model = Table(2)
    found = in_graph(model, decoder, decoder.Config(max_length=9, length_penalty=0.0), sources(5))
    log_prob, _ = along(model, 5, (5, 4, 7, END))
    compare(found, 0, [(log_prob, log_prob, (5, 4, 7, END))])
    assert np.all(found["log_probs"].numpy()[0, 1:] == -1e9)


@pytest.mark.parametrize("decoder", [greedy, beam])
def test_the_score_is_absent_if_the_rules_disallow_every_token(only, decoder):
    only(5, 4, 7, 7, 7, 7, END)
    found = in_graph(Table(2), decoder, decoder.Config(max_length=3, length_penalty=1.0), sources(5))
    np.testing.assert_array_equal(found["scores"], np.full(found["scores"].shape, -1e9))
    np.testing.assert_array_equal(found["log_probs"], found["scores"])


def test_rules_of_a_pipeline_file_are_checked():
    with pytest.raises(ValueError, match="did you mean 'no_repeat_ngram'"):
        Plugin.check("decoding", {"kind": "beam", "rules": [{"kind": "no_repeat_ngrams"}]})
    with pytest.raises(ValueError, match="size"):
        Plugin.check("decoding", {"kind": "beam", "rules": [{"kind": "no_repeat_ngram", "size": 0}]})


# Options


@pytest.mark.parametrize("decoder", [greedy, beam])
def test_options_are_fields_of_the_config(decoder):
    assert set(decoder.OPTIONS) <= set(decoder.Config.model_fields)


def with_options(model, decoder, config):
    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.int32), {
        name: tf.TensorSpec([], dtype) for name, dtype in decoder.OPTIONS.items()
    }])  # fmt: skip
    def decode(source, options):
        return decoder.decode(model, {"source": source}, config, options)

    def call(source, **values):
        given = {name: getattr(config, name) or 0 for name in decoder.OPTIONS} | values
        return decode(source, {name: tf.constant(value, decoder.OPTIONS[name]) for name, value in given.items()})

    return call


def test_an_option_of_a_call_acts_like_the_config():
    model = Table(6, end_bonus=-2.0)
    source = tf.constant([[5, 4, 4, 4, 4], [6, 4, 0, 0, 0], [7, 4, 4, 0, 0]], tf.int32)
    tried = [{}, {"beam_size": 1}, {"beam_size": 6, "length_penalty": 0.2}, {"max_ratio": 1.5, "max_extra": 1}]
    tried += [{"max_length": 3}, {"min_length": 4, "max_length": 6, "length_penalty": 0.0}]
    for decoder in (greedy, beam):
        base = decoder.Config(max_length=7)
        call = with_options(model, decoder, base)
        for values in tried:
            if set(values) <= set(decoder.OPTIONS):
                found = call(source, **values)
                expected = decoder.decode(model, {"source": source}, base.model_copy(update=values))
                for name in expected:
                    np.testing.assert_allclose(found[name], expected[name], rtol=1e-6, err_msg=f"{values} {name}")


@pytest.mark.parametrize(
    ("values", "words"),
    [({"beam_size": 0}, "beam_size"), ({"length_penalty": -1.0}, "length_penalty"), ({"max_ratio": -0.5}, "max_ratio")],
)
def test_an_option_outside_the_bounds_of_its_field_fails(values, words):
    call = with_options(Table(6), beam, beam.Config(max_length=3))
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"option {words} must be"):
        call(sources(5), **values)
