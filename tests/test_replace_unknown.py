"""Replacement of unknown words in answers: in the codec, the graph and the SavedModel."""

import json
import random

import numpy as np
import pytest
import tensorflow as tf
import tiny

from textpipe.config import plugins
from textpipe.config.sections import Plugin
from textpipe.errors import ConfigError
from textpipe.servable import writer
from textpipe.servable.graph import Servable
from textpipe.text import lexicon
from textpipe.text.codec import WordCodec
from textpipe.text.unknown import UnknownWordReplacer

UNK = 1


def words_of(*texts):
    return tf.ragged.constant([text.split() for text in texts], dtype=tf.string)


def attention(rows):
    """[B, N, U, T] from the position that each step attends to; a little attention is spread over all positions."""
    width = max(place for row in rows for beam in row for place in beam) + 2  # the end of the source is a position too
    weights = np.full((len(rows), len(rows[0]), len(rows[0][0]), width), 0.01, np.float32)
    for b, row in enumerate(rows):
        for n, beam in enumerate(row):
            for u, place in enumerate(beam):
                weights[b, n, u, place] = 0.9
    return tf.constant(weights)


def test_each_step_takes_the_word_with_the_largest_weight():
    tokens = words_of("Anna sees Ben", "where is Clara")
    found = UnknownWordReplacer()(tokens, attention([[[0, 2, 1], [1, 1, 0]], [[2, 2, 0], [0, 1, 2]]]))
    assert found.numpy().tolist() == [
        [[b"Anna", b"Ben", b"sees"], [b"sees", b"sees", b"Anna"]],
        [[b"Clara", b"Clara", b"where"], [b"where", b"is", b"Clara"]],
    ]


def test_words_in_the_lexicon_are_translated_and_others_copied():
    found = UnknownWordReplacer({"sees": "sieht", "dog": "Hund"})(words_of("Anna sees Ben"), attention([[[0, 1, 2]]]))
    assert found.numpy().tolist() == [[[b"Anna", b"sieht", b"Ben"]]]


def test_the_end_token_and_padding_are_not_copied():
    # The largest weight is on the end token or after it; the largest on a word is used.
    weights = np.array([[[[0.1, 0.2, 0.7, 0.0]]], [[[0.2, 0.1, 0.1, 0.6]]]], np.float32)
    found = UnknownWordReplacer()(words_of("hello Anna", "Ben sleeps"), tf.constant(weights))
    assert found.numpy().tolist() == [[[b"Anna"]], [[b"Ben"]]]


def test_without_attention_nothing_is_replaced():
    found = UnknownWordReplacer()(words_of("hello Anna"), tf.zeros([1, 2, 3, 3]))
    assert found.numpy().tolist() == [[[b""] * 3] * 2]


def test_words_of_a_truncated_source_are_truncated_too():
    found = UnknownWordReplacer()(words_of("one two three four five"), attention([[[0, 1]]]))
    assert found.numpy().tolist() == [[[b"one", b"two"]]]


def test_the_codec_replaces_only_unknown_words():
    codec = WordCodec(["der", "Hund", "."])
    ids = tf.constant([[2, 4, UNK, 6, 3, UNK], [UNK, 5, UNK, 3, 0, 0]])
    put = tf.constant([["a", "b", "Zebra", "c", "d", "e"], ["", "x", "Emu", "", "", ""]])
    assert codec.decode(ids, put).numpy().tolist() == [b"der Zebra.", b"<unk> Hund Emu"]
    assert codec.decode(ids).numpy().tolist() == [b"der <unk>.", b"<unk> Hund <unk>"]


def test_a_lexicon_is_learned_from_cooccurring_words():
    draw = random.Random(1)
    nouns = {"dog": "Hund", "cat": "Katze", "house": "Haus", "zebra": "Zebra", "emu": "Emu"}
    verbs = {"sleeps": "schläft", "waits": "wartet", "falls": "fällt"}
    rows = []
    for _ in range(60):
        noun, verb, other = draw.choice(list(nouns)), draw.choice(list(verbs)), draw.choice(list(nouns))
        # German has the verb last here, so positions alone are not enough.
        german = f"das {nouns[noun]} beim {nouns[other]} {verbs[verb]}"
        rows.append((f"the {noun} {verb} near the {other}".split(), german.split()))
    found = lexicon.learn(rows)
    assert {word: found.get(word) for word in nouns | verbs} == nouns | verbs


def test_model_1_matches_its_equations():
    # Brown et al. (1993), equations 16 and 17 with a NULL word shared by all rows, in plain dictionaries.
    texts = [("a b", "x y"), ("a c", "x z"), ("b", "y"), ("c d", "z w x")]
    rows = [(source.split(), target.split()) for source, target in texts]
    null, table = {}, {}
    targets = sorted({target for _, side in rows for target in side})
    for source, target in rows:
        for t in target:
            null[t] = 1 / len(targets)
            for s in source:
                table[s, t] = 1 / len(targets)
    for _ in range(lexicon.ITERATIONS):
        counts, nulls = dict.fromkeys(table, 0.0), dict.fromkeys(null, 0.0)
        for source, target in rows:
            for t in target:
                total = null[t] + sum(table[s, t] for s in source)
                nulls[t] += null[t] / total
                for s in source:
                    counts[s, t] += table[s, t] / total
        table = {(s, t): counts[s, t] / sum(v for (o, _), v in counts.items() if o == s) for s, t in counts}
        null = {t: value / sum(nulls.values()) for t, value in nulls.items()}
    expected = []
    for source, target in rows:
        for t in target:
            largest = max(null[t], *(table[s, t] for s in source))
            expected += [table[s, t] == largest and table[s, t] > null[t] for s in source]
    _, source_ids, source_lengths = lexicon.index_words([source for source, _ in rows])
    _, target_ids, target_lengths = lexicon.index_words([target for _, target in rows])
    places = lexicon.position_pairs(source_lengths, target_lengths)
    found = lexicon.best_alignments(source_ids, target_ids, *places)
    assert found.tolist() == expected
    assert any(expected) and not all(expected)


def test_rows_without_words_do_not_affect_the_lexicon():
    assert lexicon.learn([]) == {}
    assert lexicon.learn([([], ["x"]), (["a"], [])]) == {}


FIRST, LAST = ("Ann", "Ber", "Cla", "Dor", "Emi", "Fel", "Gre"), ("a", "o", "us", "ine", "ek")
NAMES = [first + last for first in FIRST for last in LAST]
SAYINGS = (("hello {}", "hallo {}"), ("where is {} now", "wo ist {} jetzt"), ("good night {}", "gute nacht {}"))
TABLES = {
    **tiny.GENERATOR,
    "tokenize": {"codec": {"kind": "words", "min_count": 20}, "vocabulary": "separate", "lexicon": True},
    "model": {
        "kind": "recurrent",
        "units": 24,
        "embedding_size": 24,
        "attention_size": 12,
        "dropout": 0.0,
        "embedding_dropout": 0.0,
    },
    "train": {"epochs": 12, "batch_tokens": 256, "optimizer": {"kind": "adam", "learning_rate": 0.02}},
}
DECODE = {"kind": "beam", "beam_size": 2, "max_length": 8}
TEXTS = ["hello Zebedee", "where is Quirin now", "good night Annine", "hello Wu and Li", ""]


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    """Sayings with names, each name too rare for the vocabulary."""
    folder = tmp_path_factory.mktemp("names")
    draw = random.Random(1)
    pairs = [(en.format(name), de.format(name)) for name in NAMES for en, de in SAYINGS]
    draw.shuffle(pairs)
    file = folder / "rows.tsv"
    file.write_text("source\ttarget\n" + "".join(f"{en}\t{de}\n" for en, de in pairs), encoding="utf-8")
    return tiny.build(folder / "built", TABLES, file, until="train")


@pytest.fixture(scope="module")
def servables(paths):
    return {
        switch: Servable.load(paths, "translate", Plugin.check("decoding", {**DECODE, "replace_unknown": switch}))
        for switch in (False, True)
    }


def answers(servable, name="serving_default", key="answer"):
    """The outputs of one signature, without tracing the others."""
    method = {"serving_default": servable.output.answer, "nbest": servable.output.nbest}[name]
    return np.vectorize(bytes.decode)(method({"source": tf.constant(TEXTS)})[key].numpy()).tolist()


def test_unseen_names_are_copied_for_unknown_tokens(servables):
    lost, copied = answers(servables[False]), answers(servables[True])
    assert lost[:3] == ["hallo <unk>", "wo ist <unk> jetzt", "gute nacht <unk>"]
    assert copied[:3] == ["hallo Zebedee", "wo ist Quirin jetzt", "gute nacht Annine"]
    assert not any("<unk>" in answer for answer in copied[:4])  # of an empty source there is nothing to copy
    # Only the unknown words differ.
    for one, other in zip(lost, copied, strict=True):
        assert [word for word in one.split() if word != "<unk>"] == [
            word for word, old in zip(other.split(), one.split(), strict=True) if old != "<unk>"
        ]


def test_every_hypothesis_has_its_own_replacements(servables):
    found = answers(servables[True], "nbest", "texts")
    assert [texts[0] for texts in found] == answers(servables[True])
    assert not any("<unk>" in text for texts in found[:4] for text in texts)


def test_the_saved_model_replaces_as_the_python_code_does(servables, tmp_path):
    writer.save(servables[True], tmp_path / "saved")
    loaded = tf.saved_model.load(str(tmp_path / "saved"))
    for name, key in (("serving_default", "answer"), ("nbest", "texts")):
        found = loaded.signatures[name](source=tf.constant(TEXTS))[key].numpy()
        assert np.vectorize(bytes.decode)(found).tolist() == answers(servables[True], name, key)


def test_the_lexicon_includes_words_outside_the_vocabulary(paths):
    found = json.loads((paths["tokenize"] / "lexicon.json").read_text(encoding="utf-8"))
    assert found["hello"] == "hallo"
    # A name is in few rows, but nothing else in them translates it.
    trained = [name for name in NAMES if name in found]
    assert len(trained) > len(NAMES) / 2
    assert all(found[name] == name for name in trained)


def test_a_codec_without_words_is_rejected(tmp_path):
    tables = {**tiny.GENERATOR, "train": {**tiny.GENERATOR["train"], "epochs": 1}}
    paths = tiny.build(tmp_path / "built", tables, tiny.generator_rows(tmp_path / "rows.tsv", 60), until="train")
    with pytest.raises(ConfigError, match=r"\[decode\] replace_unknown.*codec to \"words\""):
        Servable.load(paths, "translate", Plugin.check("decoding", {**DECODE, "replace_unknown": True}))


def test_a_lexicon_needs_a_words_codec_and_a_target_text():
    stage = plugins.find("stages", "tokenize")
    with pytest.raises(ValueError, match="the codec is 'unigram'"):
        stage.Config(task="translate", lexicon=True)
    with pytest.raises(ValueError, match="has no target text"):
        stage.Config(task="classify", codec={"kind": "words"}, lexicon=True)
