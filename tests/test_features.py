"""Features against scikit-learn's vectorizers, and ids against their definition."""

import itertools
import random

import numpy as np
import pytest
import tensorflow as tf
from nasty_strings import NASTY, random_texts
from pydantic import ValidationError
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer

from textpipe.config import plugins
from textpipe.config.sections import Plugin
from textpipe.errors import DataError
from textpipe.features._labels import Labels
from textpipe.text import ngrams
from textpipe.text.codec import ByteCodec

TOKENS = r"\w+(?:['’]\w+)*|[^\w\s]"
WORDS = [
    "where",
    "is",
    "my",
    "card",
    ",",
    "the",
    "card",
    "I",
    "ordered",
    "two",
    "days",
    "ago",
    "?",
    "it's",
    "late",
    "!",
    "please",
    "send",
    "a",
    "new",
    "one",
    "to",
    "my",
    "flat",
]


def texts(count, seed):
    draw = random.Random(seed)
    return [" ".join(draw.choices(WORDS, k=draw.randint(1, 15))) for _ in range(count)]


TRAIN, TEST = texts(200, 1), [*texts(50, 2), "unseen words only", "", "card card card unseen card"]


def build(folder, kind, train=TRAIN, codec=None, **options):
    config = Plugin.check("features", {"kind": kind, **options})
    module = plugins.find("features", kind)
    middle = len(train) // 2
    batches = tf.constant(train[:middle]), tf.constant(train[middle:])
    module.learn(config, lambda: iter(batches), folder, "text", codec=codec)
    return module.load(config, folder, "text", codec=codec)


def dense(rows):
    return tf.sparse.to_dense(rows).numpy()


def agree(feature, vectorizer, family, test=TEST, tolerance=1e-5):
    """Compare with scikit-learn: equal columns, matched by the hash of their n-gram, and no others."""
    vectorizer.fit(TRAIN)
    expected = vectorizer.transform(test).toarray()
    found = dense(feature(tf.constant(test)))
    names = vectorizer.get_feature_names_out().tolist()
    buckets = ngrams.hash_to_buckets(tf.ragged.constant([names]), family, feature.options()).flat_values.numpy()
    assert len(set(buckets.tolist())) == len(names), "two n-grams of the test share a bucket; use other words"
    columns = np.searchsorted(feature.columns.buckets, buckets)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found[:, columns], expected, atol=tolerance, rtol=0)


@pytest.mark.parametrize("words", [[1, 1], [1, 2], [2, 3]])
def test_tfidf_of_words_is_scikit_learns(tmp_path, words):
    vectorizer = TfidfVectorizer(ngram_range=tuple(words), token_pattern=TOKENS, lowercase=False)
    agree(build(tmp_path, "tfidf", words=words), vectorizer, "words")


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({"frequency": "log"}, {"sublinear_tf": True}),
        ({"frequency": "binary"}, {"binary": True}),
        ({"norm": "none"}, {"norm": None}),
        ({"min_df": 10}, {"min_df": 10}),
        ({"punctuation": False}, {"token_pattern": r"\w+(?:['’]\w+)*"}),
    ],
)
def test_tfidf_options_are_scikit_learns(tmp_path, ours, theirs):
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), lowercase=False, **{"token_pattern": TOKENS, **theirs})
    agree(build(tmp_path, "tfidf", **ours), vectorizer, "words")


@pytest.mark.parametrize("sizes", [[2, 5], [1, 1], [6, 8]])
def test_character_ngrams_are_scikit_learns_char_wb(tmp_path, sizes):
    vectorizer = TfidfVectorizer(ngram_range=tuple(sizes), analyzer="char_wb", lowercase=False)
    agree(build(tmp_path, "tfidf", words=[], characters=sizes), vectorizer, "characters")


@pytest.mark.parametrize("binary", [False, True])
def test_counts_are_scikit_learns(tmp_path, binary):
    feature = build(tmp_path, "counts", frequency="binary" if binary else "raw")
    vectorizer = CountVectorizer(ngram_range=(1, 2), token_pattern=TOKENS, lowercase=False, binary=binary)
    agree(feature, vectorizer, "words", tolerance=0)


def test_log_counts_are_one_plus_the_logarithm(tmp_path):
    raw = dense(build(tmp_path, "counts")(tf.constant(TEST)))
    found = dense(build(tmp_path, "counts", frequency="log")(tf.constant(TEST)))
    np.testing.assert_allclose(found, np.where(raw > 0, 1 + np.log(np.maximum(raw, 1)), 0), atol=1e-6)


def test_rows_are_in_canonical_order_and_empty_ones_stay_empty(tmp_path):
    feature = build(tmp_path, "tfidf", characters=[2, 4])
    rows = feature(tf.constant(TEST))
    indices = rows.indices.numpy().tolist()
    assert indices == sorted(indices)
    assert len({tuple(index) for index in indices}) == len(indices)
    assert rows.dense_shape.numpy().tolist() == [len(TEST), feature.size["dim"]]
    assert np.isfinite(rows.values.numpy()).all()
    lengths = np.linalg.norm(dense(rows), axis=1)
    assert lengths[TEST.index("")] == 0
    np.testing.assert_allclose(lengths[:50], 1, atol=1e-6)


def test_rows_do_not_depend_on_other_rows_of_the_batch(tmp_path):
    feature = build(tmp_path, "tfidf", characters=[2, 4], frequency="log")
    together = dense(feature(tf.constant(TEST)))
    strings = tf.TensorSpec([None], tf.string)
    serve = tf.function(lambda text: tf.sparse.to_dense(feature(text)), input_signature=[strings])
    alone = np.concatenate([serve(tf.constant([text])) for text in TEST])
    np.testing.assert_array_equal(together, alone)
    assert feature(tf.zeros([0], tf.string)).dense_shape.numpy().tolist() == [0, feature.size["dim"]]


def test_families_do_not_share_columns(tmp_path):
    both = build(tmp_path, "counts", words=[1, 1], characters=[3, 3])
    single = [build(tmp_path, "counts", words=[1, 1]), build(tmp_path, "counts", words=[], characters=[3, 3])]
    assert both.size["dim"] == sum(feature.size["dim"] for feature in single)
    sums = [dense(feature(tf.constant(TEST))).sum(axis=1) for feature in (both, *single)]
    np.testing.assert_array_equal(sums[0], sums[1] + sums[2])


def test_each_family_is_normalized_as_in_a_union_of_scikit_learns_vectorizers(tmp_path):
    feature = build(tmp_path, "tfidf", words=[1, 2], characters=[2, 4], frequency="log", norm="family")
    found = dense(feature(tf.constant(TEST)))
    family = feature.columns.buckets // feature.options().num_buckets
    theirs = {
        0: TfidfVectorizer(ngram_range=(1, 2), token_pattern=TOKENS, lowercase=False, sublinear_tf=True),
        1: TfidfVectorizer(ngram_range=(2, 4), analyzer="char_wb", lowercase=False, sublinear_tf=True),
    }
    for number, vectorizer in theirs.items():
        expected = vectorizer.fit(TRAIN).transform(TEST).toarray()
        part = found[:, family == number]
        assert part.shape == expected.shape
        np.testing.assert_allclose(np.sort(part, axis=1), np.sort(expected, axis=1), atol=1e-5)
        lengths = np.linalg.norm(part, axis=1)
        np.testing.assert_allclose(lengths[lengths > 0], 1, atol=1e-6)


def test_piece_ngrams_are_ngrams_of_the_codecs_ids(tmp_path):
    feature = build(tmp_path, "counts", train=["abab", "ba"], words=[], pieces=[1, 2], codec=ByteCodec())
    # a, b, ab, ba
    assert feature.size == {"kind": "sparse", "dim": 4}
    assert sorted(dense(feature(tf.constant(["abab", "bba", "zz"])))[0].tolist()) == [1, 2, 2, 2]
    assert dense(feature(tf.constant(["abab", "bba", "zz"]))).sum(axis=1).tolist() == [7, 4, 0]


def test_few_buckets_collide_and_counts_add_up(tmp_path):
    feature = build(tmp_path, "counts", words=[1, 1], num_buckets=3)
    assert feature.size["dim"] <= 3
    lengths = [len(text.replace("it's", "its").split()) for text in TEST[:50]]
    assert dense(feature(tf.constant(TEST[:50]))).sum(axis=1).tolist() == lengths


@pytest.mark.parametrize("buckets", [[], [0], [63], [64], [0, 1, 62, 63, 64, 127, 128, 4000], list(range(200)), "many"])
def test_a_bucket_has_the_column_of_its_place_among_those_of_training(buckets):
    draw = np.random.default_rng(5)
    buckets = np.sort(draw.choice(2**20, 20_000, replace=False)) if buckets == "many" else np.array(buckets, np.int64)
    found = np.concatenate([draw.choice(buckets, 500)] if len(buckets) else [[]])
    values = np.concatenate([found, draw.integers(0, 2**24, 300), np.arange(70), [2**26]]).astype(np.int64)
    draw.shuffle(values)
    splits = np.sort(np.concatenate([[0, 0, len(values)], draw.integers(0, len(values), 20)]))
    columns = ngrams.Columns(buckets)(tf.RaggedTensor.from_row_splits(values, splits))
    column_of = {bucket: column for column, bucket in enumerate(buckets.tolist())}
    rows = [values[start:end].tolist() for start, end in itertools.pairwise(splits)]
    assert columns.to_list() == [[column_of[value] for value in row if value in column_of] for row in rows]


def test_learning_twice_writes_the_same_bytes(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        build(tmp_path / name, "tfidf", characters=[2, 3])
    files = [{path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("one", "two")]
    assert files[0] == files[1]
    assert set(files[0]) == {"text.buckets.npy", "text.idf.npy"}


def test_no_frequent_ngram_is_an_error_with_a_cure(tmp_path):
    with pytest.raises(DataError, match=r"no n-gram is in 201 or more of the 200 training texts; lower min_df"):
        build(tmp_path, "tfidf", min_df=201)
    with pytest.raises(DataError, match="no n-gram"):
        build(tmp_path, "counts", train=["", " "])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"words": []}, "no n-gram is left to count"),
        ({"words": [2, 1]}, "expected \\[shortest, longest\\]"),
        ({"characters": [3]}, "expected \\[shortest, longest\\]"),
        ({"num_buckets": 1}, "num_buckets"),
    ],
)
def test_invalid_options_are_errors(options, message):
    for kind in ("counts", "tfidf"):
        with pytest.raises(ValidationError, match=message):
            plugins.find("features", kind).Config(**options)


def test_ids_have_an_end_and_are_padded_and_truncated(tmp_path):
    feature = build(tmp_path, "ids", codec=ByteCodec(), max_length=4)
    found = feature(tf.constant(["abcdef", "abc", "ab", ""])).numpy().tolist()
    a, b, c = (4 + ord(letter) for letter in "abc")
    assert found == [[a, b, c, 3], [a, b, c, 3], [a, b, 3, 0], [3, 0, 0, 0]]
    rows, num_truncated = feature.rows(tf.constant(["abcdef", "abc", "ab", ""]))
    assert rows.row_lengths().numpy().tolist() == [4, 4, 3, 1]
    assert num_truncated.numpy() == 1
    assert feature.size == {"kind": "ids", "vocab_size": 260, "max_length": 4}
    assert feature(tf.zeros([0], tf.string)).shape[0] == 0


def test_features_take_any_text_and_export(tmp_path):
    nasty = [*NASTY, *random_texts(200, seed=9)]
    module = tf.Module()
    module.features = {
        "sparse": build(tmp_path, "tfidf", train=nasty, characters=[2, 3], pieces=[1, 2], codec=ByteCodec()),
        "ids": build(tmp_path, "ids", codec=ByteCodec(), max_length=50),
    }
    graphs = {}
    for name, feature in module.features.items():

        def serve(text, feature=feature, name=name):
            found = feature(text)
            return {"ids": found} if name == "ids" else {"indices": found.indices, "values": found.values}

        graphs[name] = tf.function(serve).get_concrete_function(tf.TensorSpec([None], tf.string))
    tf.saved_model.save(module, str(tmp_path / "model"), signatures=graphs)
    loaded = tf.saved_model.load(str(tmp_path / "model")).signatures
    sparse = module.features["sparse"](tf.constant(nasty))
    found = loaded["sparse"](tf.constant(nasty))
    np.testing.assert_array_equal(found["indices"], sparse.indices)
    np.testing.assert_array_equal(found["values"], sparse.values)
    np.testing.assert_array_equal(loaded["ids"](tf.constant(nasty))["ids"], module.features["ids"](tf.constant(nasty)))


def test_labels_map_to_indices_and_back():
    labels = Labels(["no", "ja – oui", "yes"])
    assert labels.ids(tf.constant(["yes", "no", "maybe", "ja – oui"])).numpy().tolist() == [2, 0, -1, 1]
    assert [name.decode() for name in labels.name(tf.constant([1, 1, 0])).numpy()] == ["ja – oui", "ja – oui", "no"]
    assert labels.size == {"kind": "label", "classes": ["no", "ja – oui", "yes"]}


def test_a_long_text_does_not_pad_the_short_texts_of_its_batch(tmp_path):
    feature = build(tmp_path, "counts", words=[1, 1])
    columns = feature.columns
    words = tf.ragged.constant([["card", "my", "strange"], [], ["strange"], ["my"]])
    found = columns(ngrams.hash_to_buckets(words, "words", feature.options()))
    assert [len(row) for row in found.to_list()] == [2, 0, 0, 1]
    traced = tf.function(columns, autograph=False).get_concrete_function(
        tf.RaggedTensorSpec([None, None], tf.int64, row_splits_dtype=tf.int64)
    )
    padded = {"RaggedTensorToTensor", "Tile", "BroadcastTo", "SequenceMask"}  # rows at the width of the longest
    nodes = [
        *traced.graph.as_graph_def().node,
        *(node for function in traced.graph.as_graph_def().library.function for node in function.node_def),
    ]
    assert not padded & {node.op for node in nodes}
