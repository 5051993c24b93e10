"""A row has the same answer for any number of answers, in every signature and in every batch."""

import math
from fractions import Fraction

import numpy as np
import pytest
import tensorflow as tf
import tiny
import volume
from test_beam import Table, compare, plain_beam, sources, words_of

from textpipe.config.sections import Plugin
from textpipe.decoding import _search, beam, constrained, diverse
from textpipe.servable.graph import Servable

FIRSTS = (4, 5, 6, 7, 8, 9)
SEEDS = range(volume.rounds(5, 8))
SEARCHES = [
    {"patience": 0.5},
    {"patience": 1.0, "length_penalty": 2.0},
    {"patience": 1.0, "coverage_penalty": 0.3, "length_penalty": 1.3, "max_ratio": 2.5, "max_extra": 2},
    {"patience": 1.7, "beam_size": 2, "min_length": 3, "rules": [{"kind": "no_repeat_ngram", "size": 2}]},
    {"length_penalty": 1.5, "coverage_penalty": 0.2},
    {"beam_size": 6, "length_penalty": 0.0},
]


@pytest.mark.volume
@pytest.mark.parametrize("search", SEARCHES, ids=str)
def test_the_best_answers_do_not_depend_on_n_best(search):
    for seed in SEEDS:
        model = Table(seed, end_bonus=seed % 3)
        every = beam.decode(
            model, {"source": sources(*FIRSTS)}, beam.Config(**{"beam_size": 3, "max_length": 12, **search})
        )
        for n_best in (1, 2):
            config = beam.Config(**{"beam_size": 3, "max_length": 12, "n_best": n_best, **search})
            some = beam.decode(model, {"source": sources(*FIRSTS)}, config)
            for row in range(len(FIRSTS)):
                for place in range(n_best):
                    assert words_of(some["ids"][row, place].numpy()) == words_of(every["ids"][row, place].numpy())
            np.testing.assert_allclose(some["scores"], every["scores"][:, :n_best], rtol=1e-5)


@pytest.mark.volume
@pytest.mark.parametrize(("patience", "alpha"), [(0.5, 0.0), (1.0, 1.3), (1.0, 2.0), (2.0, 2.0)])
def test_patience_equals_a_plain_search_without_pruning(patience, alpha):
    sooner = 0
    for seed in SEEDS:
        model = Table(seed, end_bonus=1.0)
        settings = {"beam_size": 3, "max_length": 10, "length_penalty": alpha, "patience": patience}
        every = beam.decode(model, {"source": sources(*FIRSTS)}, beam.Config(**settings))
        best = beam.decode(model, {"source": sources(*FIRSTS)}, beam.Config(n_best=1, **settings))
        for row, first in enumerate(FIRSTS):
            expected, _ = plain_beam(model, first, 3, 10, alpha, patience)
            compare(every, row, expected)
            compare(best, row, expected[:1])
            sooner += expected[0] != plain_beam(model, first, 3, 10, alpha)[0][0]
    assert sooner or patience > 1


@pytest.mark.volume
@pytest.mark.parametrize("decoder", [constrained, diverse])
def test_other_beam_searches_give_the_same_first_answer_too(decoder):
    own = {"patience": 1.0, "beam_size": 4} | ({"groups": 2} if decoder is diverse else {})
    for seed in SEEDS:
        model = Table(seed, end_bonus=1.0)
        settings = {"max_length": 10, "length_penalty": 1.3, **own}
        every = decoder.decode(model, {"source": sources(*FIRSTS)}, decoder.Config(**settings))
        best = decoder.decode(model, {"source": sources(*FIRSTS)}, decoder.Config(n_best=1, **settings))
        for row in range(len(FIRSTS)):
            assert words_of(best["ids"][row, 0].numpy()) == words_of(every["ids"][row, 0].numpy())


def test_an_answer_does_not_depend_on_other_rows_or_padding():
    config = beam.Config(beam_size=3, max_length=12, length_penalty=1.3, patience=1.0, max_ratio=2.0)
    for seed in range(3):
        model = Table(seed, end_bonus=1.0)
        source = tf.constant([[5, 4, 4, 0, 0], [6, 4, 4, 4, 4], [7, 4, 0, 0, 0], [5, 4, 4, 0, 0]], tf.int32)
        together = beam.decode(model, {"source": source}, config)
        for row, length in enumerate((3, 5, 2, 3)):
            alone = beam.decode(model, {"source": source[row : row + 1, :length]}, config)
            found = [[words_of(ids) for ids in part["ids"][at].numpy()] for part, at in ((together, row), (alone, 0))]
            assert found[0] == found[1]


DECODERS = [
    {"kind": "greedy"},
    {"kind": "greedy", "max_ratio": 1.1, "max_extra": 1, "length_penalty": 1.0, "rules": ["no_repeat_ngram"]},
    {"kind": "beam", "beam_size": 3, "patience": 1.0, "length_penalty": 1.3},
    {"kind": "beam", "beam_size": 4, "n_best": 2, "coverage_penalty": 0.4, "max_ratio": 1.3, "prefix": "das"},
    {"kind": "diverse", "beam_size": 4, "groups": 2, "patience": 1.0},
    {"kind": "constrained", "beam_size": 3, "patience": 1.0},
    {"kind": "constrained", "beam_size": 3, "constraints": ["rot"], "n_best": 2},
    {"kind": "sample", "num_samples": 3, "top_p": 0.9},
    {"kind": "sample", "temperature": 0.0, "min_length": 3},
]
TEXTS = ["the dog 5 is red", "", "the old house 77 is green", "a cat", " \u200b\u00a0\t", "the car 9 is new and old"]


def load(paths, decode):
    return Servable.load(paths, "translate", Plugin.check("decoding", {"max_length": 9, **decode}))


def answers(servable, texts):
    """{signature: (best answer of each row, its score)}, op by op."""
    given = {"source": tf.constant(texts)}
    defaults = {name: tf.convert_to_tensor(value) for name, value in servable.output.defaults().items()}
    default, nbest, options = (
        servable.output.answer(given),
        servable.output.nbest(given),
        servable.output.answer_with_options({**given, **defaults}),
    )
    found = {"serving_default": (default["answer"], default["score"])}
    found |= {
        name: (part["texts"][:, 0], part["scores"][:, 0]) for name, part in (("nbest", nbest), ("options", options))
    }
    assert nbest["texts"].numpy().tolist() == options["texts"].numpy().tolist()
    return {name: (best.numpy().tolist(), scores.numpy()) for name, (best, scores) in found.items()}


@pytest.mark.parametrize("decode", DECODERS, ids=str)
def test_every_signature_gives_the_same_answer(generator, decode):
    servable = load(generator, decode)
    found = answers(servable, TEXTS)
    best, scores = found["serving_default"]
    for other, other_scores in found.values():
        assert other == best
        np.testing.assert_allclose(other_scores, scores, rtol=1e-5)
    # The tokens of the attention signature, and single rows.
    pieces = servable.definition("attention").call({"source": tf.constant(TEXTS)})["target_tokens"].numpy()
    ids = servable.output.generate(servable.output.search_inputs({"source": tf.constant(TEXTS)}))["ids"][:, 0]
    codec = servable.features["target"].codec
    assert codec.decode(ids).numpy().tolist() == best
    assert codec.pieces(ids).numpy()[:, : pieces.shape[1]].tolist() == pieces.tolist()
    for row in (0, 3):
        assert servable.output.answer({"source": tf.constant(TEXTS[row : row + 1])})["answer"].numpy().tolist() == [
            best[row]
        ]
    # A blank text has the empty answer with score 0, or the required text.
    required = decode.get("prefix", "") or "".join(decode.get("constraints", []))
    assert [best[row] for row in (1, 4)] == [required.encode()] * 2
    assert (scores[[1, 4]] == 0).all() == (not required)


def test_a_streamed_greedy_answer_ends_as_the_answer(generator):
    for decode in DECODERS[:2]:
        servable = load(generator, decode)
        state = servable.definition("begin").call({"source": tf.constant(TEXTS)})
        done = False
        while not done:
            state = servable.output.stream.advance({name: part for name, part in state.items() if name != "done"})
            done = bool(tf.reduce_all(state["done"]))
        text = servable.features["target"].codec.decode(state["ids"]).numpy().tolist()
        assert text == servable.output.answer({"source": tf.constant(TEXTS)})["answer"].numpy().tolist()


def test_a_blank_text_has_only_the_empty_answer_and_affects_no_other_row(generator):
    servable = load(generator, {"kind": "beam", "beam_size": 3, "min_length": 4})
    texts = servable.output.nbest({"source": tf.constant(TEXTS)})
    kept = [row for row, text in enumerate(TEXTS) if text.strip(" \u200b\u00a0\t")]
    alone = servable.output.nbest({"source": tf.constant([TEXTS[row] for row in kept])})
    assert alone["texts"].numpy().tolist() == texts["texts"].numpy()[kept].tolist()
    assert texts["texts"][1].numpy().tolist() == [b""] * 3
    assert texts["scores"][1].numpy().tolist() == [0, np.float32(-1e9), np.float32(-1e9)]
    weights = servable.definition("attention").call({"source": tf.constant(TEXTS)})
    assert not weights["weights"].numpy()[1, 1:].any() and set(weights["alignment"].numpy()[1, 1:].tolist()) == {-1}
    scored = servable.definition("score").call(
        {"source": tf.constant(["", "", "a"]), "target": tf.constant(["", "das", ""])}
    )
    assert scored["log_prob"][0] == 0 > max(scored["log_prob"].numpy()[1:])


def test_white_space_is_blank_even_if_the_codec_keeps_it(tmp_path):
    # Without a step that normalizes white space, and with a codec that has a token for a space.
    tables = {**tiny.GENERATOR, "normalize": {"steps": []}, "tokenize": {"codec": "characters"}}
    paths = tiny.build(tmp_path / "built", tables, tiny.generator_rows(tmp_path / "rows.tsv", 60), until="train")
    servable = load(paths, {"kind": "greedy"})
    found = servable.output.answer({"source": tf.constant(["  ", "\t\n", " a ", "\u3000"])})
    assert [text == b"" for text in found["answer"].numpy()] == [True, True, False, True]
    assert (found["score"].numpy() == 0).tolist() == [True, True, False, True]


def test_max_ratio_is_exact_for_every_length():
    lengths = range(1, 61)
    source = tf.constant([[5] * length + [0] * (60 - length) for length in lengths], tf.int32)
    rules = _search.Rules([])
    for hundredths in range(5, 1200, 7):
        ratio, expected = hundredths / 100, [math.ceil(Fraction(hundredths, 100) * length) + 3 for length in lengths]
        settings = beam.Config(max_length=10_000, max_ratio=ratio, max_extra=3)
        assert _search.max_lengths(source, 0, settings, rules).numpy().tolist() == expected
        settings = settings.model_copy(update={"max_ratio": tf.constant(ratio, tf.float32)})
        assert _search.max_lengths(source, 0, settings, rules).numpy().tolist() == expected


def test_a_search_for_fewer_answers_ends_sooner():
    # The purpose of n_best: to skip steps that only the worse answers need.
    fewer = 0
    for seed in SEEDS:
        model = Table(seed, end_bonus=2.0)
        steps = []
        for n_best in (1, 5):
            model.steps = 0
            beam.decode(
                model,
                {"source": sources(*FIRSTS)},
                beam.Config(beam_size=5, n_best=n_best, max_length=30, patience=4.0),
            )
            steps.append(model.steps)
        assert steps[0] <= steps[1]
        fewer += steps[0] < steps[1]
    assert fewer
