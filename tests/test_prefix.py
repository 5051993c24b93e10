"""Answers that start with a given text, on the table-driven model of test_beam."""

import numpy as np
import pytest
import tensorflow as tf
from test_beam import END, WORDS, Table, along, compare, every_answer, penalty, plain_beam, sources, words_of

from textpipe.decoding import beam, greedy, sample


class Letters:
    """A codec: a-e are the words of the table, blanks nothing."""

    unk_id, end_id, vocab_size = None, END, 8  # id 1 is a word of the table instead of <unk>

    def encode(self, text):
        letters = tf.strings.unicode_decode(tf.strings.regex_replace(text, " ", ""), "UTF-8")
        return letters.with_flat_values(tf.gather(tf.constant(WORDS), letters.flat_values - ord("a")))


def call(model, decoder, config, source, *, graph=False, **options):
    """Runs eagerly, which is faster for a few rows, or as a graph."""

    def decode(source, options):
        return decoder.decode(model, {"source": source}, config, options, codec=Letters())

    return (tf.function(decode) if graph else decode)(
        source, {name: tf.constant(value) for name, value in options.items()}
    )


def ids_of(text):
    return tuple(WORDS[ord(letter) - ord("a")] for letter in text)


def test_a_wide_beam_equals_enumeration_of_answers_with_the_prefix():
    model, prefixes = Table(0), ["bc", "", "d", "abe"]
    config = beam.Config(beam_size=125, max_length=4, length_penalty=0.6)
    found = call(model, beam, config, sources(5, 6, 7, 8), graph=True, prefix=prefixes)
    for row, prefix in enumerate(prefixes):
        every = every_answer(model, 5 + row, 4, 0.6)
        compare(found, row, [one for one in every if one[2][: len(prefix)] == ids_of(prefix)][:125])


@pytest.mark.parametrize("decoder", [greedy, beam, sample])
def test_every_answer_starts_with_its_prefix_and_reports_its_probability(decoder):
    model, prefixes = Table(3, end_bonus=1.0), ["a", "edcba", "", "bb"]
    found = call(model, decoder, decoder.Config(max_length=9, length_penalty=1.0), sources(4, 5, 6, 7), prefix=prefixes)
    for row, prefix in enumerate(prefixes):
        for ids, score in zip(found["ids"][row].numpy(), found["scores"][row].numpy(), strict=True):
            answer = words_of(ids)
            assert answer[: len(prefix)] == ids_of(prefix)
            assert score == pytest.approx(along(model, 4 + row, answer)[0] / penalty(len(answer), 1.0), abs=2e-5)


def test_a_prefix_of_a_call_overrides_that_of_the_pipeline_file():
    model, config = Table(1), beam.Config(prefix="ca", max_length=6)
    fixed = call(model, beam, config, sources(5, 6, 7))
    assert all(words_of(ids)[:2] == ids_of("ca") for ids in fixed["ids"].numpy().reshape(-1, fixed["ids"].shape[2]))
    given = call(model, beam, beam.Config(max_length=6), sources(5, 6, 7), prefix=["ca"])
    np.testing.assert_array_equal(given["ids"], fixed["ids"])
    free = call(model, beam, config, sources(5, 6, 7), prefix=["", "", ""])
    for row, first in enumerate((5, 6, 7)):
        compare(free, row, plain_beam(model, first, 5, 6, 1.0)[0])


@pytest.mark.parametrize("decoder", [greedy, beam, sample])
def test_a_prefix_longer_than_max_length_is_kept_and_then_ended(decoder):
    found = call(Table(1), decoder, decoder.Config(max_length=3), sources(5, 6), prefix=["abcde", "a"])
    assert words_of(found["ids"][0, 0].numpy()) == (*ids_of("abcde"), END)
    second = words_of(found["ids"][1, 0].numpy())
    assert second[0] == ids_of("a")[0] and len(second) <= 3
