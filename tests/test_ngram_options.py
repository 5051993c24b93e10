"""casefold and marks of n-grams, compared with texts folded and marked beforehand."""

from collections import Counter

import numpy as np
import pytest
import tensorflow as tf
from test_features import TEST, TRAIN, build, dense
from test_text_stages import ingest, read, rows, run

from textpipe.config.sections import Plugin
from textpipe.errors import ConfigError
from textpipe.text import ngrams

CASED = [text.upper() if at % 2 else text.title() for at, text in enumerate(TRAIN)]


@pytest.mark.parametrize("kind", ["counts", "tfidf"])
def test_casefold_counts_as_if_the_texts_were_folded(tmp_path, kind):
    folded = build(tmp_path, kind, train=[text.lower() for text in TRAIN], characters=[2, 3])
    cased = build(tmp_path, kind, train=CASED, characters=[2, 3], casefold=True)
    np.testing.assert_array_equal(folded.columns.buckets, cased.columns.buckets)
    lower, upper = (tf.constant([getattr(text, case)() for text in TEST]) for case in ("lower", "upper"))
    np.testing.assert_array_equal(dense(cased(upper)), dense(folded(lower)))
    plain = build(tmp_path, kind, train=CASED, characters=[2, 3])
    assert plain.columns.dim > cased.columns.dim


def test_casefold_is_that_of_the_step_beyond_ascii(tmp_path):
    feature = build(tmp_path, "counts", train=["Straße", "ÉTÉ"], words=[1, 1], casefold=True)
    np.testing.assert_array_equal(dense(feature(tf.constant(["STRASSE été", "straße Été"]))), np.ones((2, 2)))


@pytest.mark.parametrize("sizes", [(1, 2), (1, 3), (2, 2), (3, 4)])
def test_marks_are_the_first_and_the_last_word_of_longer_ngrams(sizes):
    text = "a red fox ."
    words = ["<s>", *text.split(), "</s>"]
    expected = [
        " ".join(words[at : at + size])
        for size in range(sizes[0], sizes[1] + 1)
        for at in range(len(words) - size + 1)
        if size > 1 or 0 < at < len(words) - 1
    ]
    (found,) = ngrams.word_ngrams(tf.constant([text]), sizes, punctuation=True, marks=True).to_list()
    assert sorted(entry.decode() for entry in found) == sorted(expected)


def test_a_mark_in_a_text_is_no_mark():
    for punctuation in (True, False):
        (found,) = ngrams.word_ngrams(tf.constant(["<s> a </s>"]), (1, 2), punctuation=punctuation).to_list()
        assert not {b"<s> a", b"<s>", b"a </s>"} & set(found)


def test_marks_tell_a_text_from_the_same_words_in_a_longer_one(tmp_path):
    train = ["no", "no problem", "oh no"]
    plain, marked = (
        dense(build(tmp_path, "counts", train=train, marks=marks)(tf.constant(train))) for marks in (False, True)
    )
    # What "no" has and a longer text has not: its own start or its own end.
    assert [np.maximum(plain[0] - row, 0).sum() for row in plain[1:]] == [0, 0]
    assert [np.maximum(marked[0] - row, 0).sum() for row in marked[1:]] == [1, 1]


def test_a_text_without_words_has_its_marks():
    (empty,) = ngrams.word_ngrams(tf.constant([""]), (1, 2), punctuation=True, marks=True).to_list()
    assert empty == [b"<s> </s>"]


def test_a_joint_vocabulary_numbers_an_ngram_alike_in_each_field(tmp_path):
    texts = {"source": ["yes , thanks", "no", "call me"] * 2, "target": ["no", "yes , thanks", "sure thing"] * 2}
    one = {"kind": "counts", "words": [1, 1]}
    different = len({word for text in (*texts["source"], *texts["target"]) for word in text.split()})
    for vocabulary, fields in (("joint", {}), ("separate", {}), ("joint", {"target": {**one, "min_df": 2}})):
        folder = tmp_path / f"{vocabulary}{len(fields)}"
        ingest(folder / "ingest", train=texts)
        features = {"features": one, "fields": {"target": one, **fields}, "vocabulary": vocabulary}
        output = run(folder, "translate", tokenize={"codec": "none"}, vectorize=features)["vectorize"]
        sizes, found = read(output, "features.json"), rows(output, "train")
        equal = found["source.indices"][:2] == found["target.indices"][1::-1]
        if vocabulary == "joint" and not fields:
            assert equal and sizes["source"]["dim"] == sizes["target"]["dim"] == different
            assert sizes["source"]["joint"] == sizes["target"]["joint"] == ["source", "target"]
        else:
            assert not equal and "joint" not in sizes["source"] and sizes["source"]["dim"] < different


def test_options_that_do_not_fit_are_refused():
    for options, message in (
        ({"words": [1, 1], "marks": True}, "marks applies to n-grams of two or more words"),
        ({"words": [], "characters": [2, 3], "marks": True}, "marks applies"),
        ({"pieces": [1, 1], "casefold": True}, "casefold applies to n-grams of words and characters"),
    ):
        with pytest.raises((ConfigError, ValueError), match=message):
            Plugin.check("features", {"kind": "counts", **options})


def brute_force_pairs(text, distance):
    words = text.split()
    return [
        tuple(sorted((words[at], words[later])))
        for at in range(len(words))
        for later in range(at + 1, min(at + distance, len(words) - 1) + 1)
    ]


@pytest.mark.parametrize("distance", [1, 2, 9])
def test_pairs_are_those_of_a_search_over_all_words(tmp_path, distance):
    texts = ["a red fox saw a dog", "", "fox", "dog a", "a dog", "the the the"]
    feature = build(tmp_path, "counts", train=texts, words=[], pairs=distance)
    expected = [Counter(brute_force_pairs(text, distance)) for text in texts]
    found = dense(feature(tf.constant(texts)))
    columns = sorted({pair for counter in expected for pair in counter})
    assert feature.size["dim"] == len(columns)
    # Columns are in the order of their hashes: compare them as sets of columns.
    table = np.array([[counter[pair] for pair in columns] for counter in expected], np.float32)
    assert sorted(map(tuple, found.T.tolist())) == sorted(map(tuple, table.T.tolist()))
    np.testing.assert_array_equal(found[3], found[4])


def test_pairs_do_not_share_columns_with_words_and_have_a_norm_of_their_own(tmp_path):
    both = build(tmp_path, "tfidf", words=[1, 1], pairs=2, norm="family", weights={"pairs": 0.5})
    family = both.columns.buckets // both.options().num_buckets
    assert set(family.tolist()) == {0, 1}
    rows = dense(both(tf.constant(["the house is green", "my name"])))
    for number, length in ((0, 1), (1, 0.5)):
        lengths = np.linalg.norm(rows[:, family == number], axis=1)
        np.testing.assert_allclose(lengths[lengths > 0], length, atol=1e-6)
    assert (rows[:, family == 1] != 0).any()


@pytest.mark.parametrize("power", [0, 0.5, 2])
def test_the_power_of_the_inverse_document_frequency(tmp_path, power):
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    plain = build(tmp_path / "one", "tfidf", norm="none")
    raised = build(tmp_path / "other", "tfidf", norm="none", idf_power=power)
    np.testing.assert_allclose(raised.idf, plain.idf**power, rtol=1e-6)
    counts = dense(build(tmp_path, "counts")(tf.constant(TEST)))
    np.testing.assert_allclose(dense(raised(tf.constant(TEST))), counts * raised.idf.numpy(), rtol=1e-6)


def test_weights_of_a_family_that_is_not_counted_are_refused():
    with pytest.raises((ConfigError, ValueError), match="pairs are not counted, because pairs = 0"):
        Plugin.check("features", {"kind": "tfidf", "norm": "family", "weights": {"pairs": 0.5}})
