"""The trigger of smart reply: hashed n-grams embedded by field, precision by coverage, and a threshold for a stated coverage."""

import importlib.util
import itertools
import json
import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import sklearn.metrics
import tensorflow as tf
import tiny
from sklearn.feature_extraction import DictVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from textpipe.answers import label, labels
from textpipe.config import plugins
from textpipe.config.fields import Sizes
from textpipe.data import shards
from textpipe.errors import ConfigError, ModelError
from textpipe.features import hashed
from textpipe.metrics import classification, coverage
from textpipe.models import feed_forward
from textpipe.pipeline import bundled, runner
from textpipe.report import results
from textpipe.report.views import _classifier_charts, bars
from textpipe.savedmodel import description, thresholds
from textpipe.savedmodel.loader import Model

HEADERS = ("recipients", "is_reply", "from_list", "known_sender")
TEXTS = ["the old house", "the house the old house", "", "a ship, far away!", "old"]
LABEL = {"kind": "label", "classes": ["no", "yes"]}


# features/hashed.py


def feature(folder, **options):
    config = hashed.Config(**options)
    hashed.learn(config, lambda: iter([tf.constant(TEXTS)]), folder, "message", codec=None)
    return hashed.load(config, folder, "message", codec=None)


def counted(text, num_buckets):
    """{bucket: count} of the words and word pairs of a text without punctuation."""
    words = text.split()
    ngrams = words + [f"{one} {other}" for one, other in itertools.pairwise(words)]
    return Counter(int(tf.strings.to_hash_bucket_fast(ngram, num_buckets)) for ngram in ngrams)


def test_a_hashed_row_counts_the_words_and_pairs_of_each_bucket(tmp_path):
    found = feature(tmp_path, num_buckets=64, frequency="raw")
    dense = tf.sparse.to_dense(found(tf.constant(TEXTS[:3]))).numpy()
    for text, row in zip(TEXTS, dense, strict=False):
        expected = np.zeros(64)
        for bucket, count in counted(text, 64).items():
            expected[bucket] = count
        assert row.tolist() == expected.tolist()
    assert list(tmp_path.iterdir()) == []
    assert found.size == {"kind": "sparse", "dim": 64}


def test_a_hashed_row_is_a_set_of_buckets_by_default_and_of_unit_length_if_asked(tmp_path):
    binary = tf.sparse.to_dense(feature(tmp_path)(tf.constant(TEXTS))).numpy()
    assert binary.shape == (5, 2**15)
    assert binary.sum(axis=1).tolist() == [
        len(counted(text.replace(",", " ,").replace("!", " !"), 2**15)) for text in TEXTS
    ]
    unit = tf.sparse.to_dense(feature(tmp_path, norm="l2")(tf.constant(TEXTS))).numpy()
    lengths = np.sqrt(binary.sum(axis=1, keepdims=True))
    np.testing.assert_allclose(unit, binary / np.maximum(lengths, 1), rtol=1e-6)


def test_a_word_that_train_does_not_have_counts_in_its_bucket(tmp_path):
    rows = feature(tmp_path)(tf.constant(["unheard"]))
    assert rows.indices.numpy().tolist() == [[0, int(tf.strings.to_hash_bucket_fast("unheard", 2**15))]]


# models/feed_forward.py


def test_embeddings_of_ngrams_are_summed_by_field_and_concatenated_with_the_numbers():
    inputs = {
        "subject": {"kind": "sparse", "dim": 6},
        "message": {"kind": "sparse", "dim": 9},
        "recipients": {"kind": "scalar"},
    }
    config = feed_forward.Config(ngram_embedding=4, units=(5, 3, 2))
    model = feed_forward.build(config, Sizes(inputs, "wants_reply", LABEL), seed=1)
    draw = np.random.default_rng(1)
    subject, message = (draw.poisson(0.5, (7, dim)).astype(np.float32) for dim in (6, 9))
    recipients = draw.normal(size=7).astype(np.float32)
    for weight in model.weights:
        if weight.path.split("/")[-1] in ("kernel", "bias"):
            weight.assign(draw.normal(size=weight.shape))
    logits = model(
        {"subject": tf.sparse.from_dense(subject), "message": tf.sparse.from_dense(message), "recipients": recipients}
    )

    blocks = model.hidden[0].linear
    embedded = [
        sum(row[column] * table[column] for column in range(len(row)))
        for rows, table in zip((subject, message), (np.array(layer.kernel) for layer in blocks.embeddings), strict=True)
        for row in rows
    ]
    hidden = np.concatenate([embedded[:7], embedded[7:], recipients[:, None]], axis=1)  # [7, 4 + 4 + 1]
    assert hidden.shape == (7, 9)
    kernels = [np.concatenate(blocks.kernels), *(layer.linear.kernel for layer in model.hidden[1:])]
    for kernel, layer in zip(kernels, model.hidden, strict=True):
        hidden = np.maximum(hidden @ np.array(kernel) + np.array(layer.bias), 0)
    expected = hidden @ np.array(model.output_linear.kernel) + np.array(model.bias)
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-4)


def test_embeddings_of_ngrams_without_ngrams_are_refused():
    sizes = Sizes({"message": {"kind": "ids", "vocab_size": 9, "max_length": 5}}, "wants_reply", LABEL)
    with pytest.raises(ConfigError, match="ngram_embedding: applies to fields of n-grams"):
        feed_forward.build(feed_forward.Config(ngram_embedding=4), sizes, seed=1)


# metrics/coverage.py


@pytest.mark.parametrize("seed", range(4))
def test_true_positives_are_the_mean_over_all_orders_of_ties(seed):
    draw = np.random.default_rng(seed)
    probabilities = draw.choice([0.2, 0.5, 0.9], 6)
    positive = draw.random(6) < 0.5
    orders = [order for order in itertools.permutations(range(6)) if all(np.diff(probabilities[list(order)]) <= 0)]
    expected = np.mean([np.cumsum(positive[list(order)]) for order in orders], axis=0)
    levels, hits = coverage.curve(probabilities, positive)
    np.testing.assert_allclose(hits, expected)
    assert levels.tolist() == sorted(probabilities, reverse=True)


def test_precision_and_recall_without_ties_are_those_of_scikit_learn():
    draw = np.random.default_rng(5)
    probabilities, positive = draw.permutation(200) / 200, draw.random(200) < 0.3
    for line in coverage.table(probabilities, positive, (0.01, 0.05, 0.11, 0.5, 1.0)):
        answered = probabilities >= line["threshold"]
        assert answered.sum() == line["rows"] == round(line["coverage"] * 200)
        assert line["precision"] == pytest.approx(sklearn.metrics.precision_score(positive, answered))
        assert line["recall"] == pytest.approx(sklearn.metrics.recall_score(positive, answered))


def test_tables_of_few_rows_answer_one_at_least_and_recall_of_no_positives_is_undefined():
    assert coverage.table(np.array([]), np.array([])) == []
    (line,) = coverage.table(np.array([0.4, 0.6]), np.array([False, False]), (0.05,))
    assert line == {"coverage": 0.05, "rows": 1, "threshold": 0.6, "precision": 0.0, "recall": None}


def test_only_reports_of_two_classes_have_coverage():
    rows = np.array([[0.3, 0.7], [0.6, 0.4]])
    report = classification.score(["no", "yes"], rows, ["yes", "no"], ["yes", "no"], resamples=0)
    assert [line["precision"] for line in report["coverage"]] == [1, 1, 1, 1]
    three = np.array([[0.2, 0.7, 0.1]])
    assert "coverage" not in classification.score(["a", "b", "c"], three, ["a"], ["b"], resamples=0)


def test_the_report_draws_precision_and_recall_by_coverage(classifier):
    run = results.Run("classifier", classifier)
    metrics = run.metrics
    probabilities = np.array([line["probabilities"]["yes"] for line in run.predictions])
    positive = np.array([line["label"] == "yes" for line in run.predictions])
    for line, expected in zip(metrics["coverage"], coverage.table(probabilities, positive), strict=True):
        assert line == pytest.approx(expected, abs=1e-6)
    body = bars.coverage_section(run).body
    curves = "".join(_classifier_charts.operating_curves(run))  # drawn in the same section
    assert body.count("<polyline") == curves.count("<polyline") + 2 and "Precision and recall of" in body
    assert [section.title for section in bars.sections(run)][:4] == ["Classes", "Confidence", "Coverage", "Errors"]


# savedmodel/thresholds.py


def about_of(values, **more):
    return {
        "answer": "label",
        "labels": ["no", "yes"],
        "coverage": {"label": "yes", "rows": 9, "thresholds": values},
        **more,
    }


@pytest.mark.parametrize("count", [1, 7, 101, 2000])
def test_a_share_of_rows_reaches_its_threshold(count):
    probabilities = np.random.default_rng(count).permutation(np.linspace(0, 1, count, dtype=np.float32))
    values = thresholds.thresholds(probabilities)
    assert len(values) == 101 and values[0] == probabilities.max() and values[100] == probabilities.min()
    for share in (0.0, 0.05, 0.11, 0.115, 0.5, 0.937, 1.0):
        level = thresholds.threshold_at(about_of(values), share)
        assert abs((probabilities >= np.float32(level)).sum() - share * count) <= 1 + 1e-6


def test_rows_of_equal_probability_all_reach_the_threshold():
    values = thresholds.thresholds(np.float32([0.1] * 50 + [0.7] * 50))
    assert np.float32(thresholds.threshold_at(about_of(values), 0.11)) == np.float32(0.7)


def test_thresholds_between_percents_are_interpolated():
    values = [1 - percent / 100 for percent in range(101)]
    assert thresholds.threshold_at(about_of(values), 0.115) == pytest.approx(0.885)
    assert thresholds.threshold_at(about_of(values), 1) == 0


@pytest.mark.parametrize(
    ("about", "share", "words"),
    [
        (about_of([0.5] * 101), 1.5, "coverage: expected a share of rows from 0 to 1, found 1.5"),
        (about_of([0.5] * 101), float("nan"), "from 0 to 1, found nan"),
        (about_of([0.5] * 101), "a", "found 'a'"),
        (about_of([0.5] * 100), 0.1, "expected 101 probabilities"),
        (about_of([0.1] * 100 + [0.2]), 0.1, "expected 101 probabilities, none above the one before"),
        (about_of(["x"] * 101), 0.1, "expected 101 probabilities"),
        ({"coverage": 3, "labels": ["no", "yes"]}, 0.1, "export the model again"),
        ({"answer": "label", "labels": ["no", "yes"]}, 0.1, "export the model again, or give a threshold"),
        ({"answer": "label", "labels": ["a", "b", "c"]}, 0.1, "answers one of 3 classes"),
        ({"answer": "text", "labels": None}, 0.1, "answers no class"),
    ],
)
def test_a_model_without_usable_thresholds_is_refused_with_a_cure(about, share, words):
    with pytest.raises(ModelError, match="^mail_trigger: ") as error:
        thresholds.threshold_at(about, share, model="mail_trigger")
    assert words in str(error.value)


def test_an_exported_classifier_states_thresholds_measured_on_valid(classifier):
    folder = classifier["export"] / "model"
    about = description.read(folder)
    texts = [
        text for batch in shards.read(classifier["ingest"], "valid", ["text"]) for text in batch["text"].to_pylist()
    ]
    assert (about["coverage"]["label"], about["coverage"]["rows"]) == ("yes", len(texts))
    answers = Model.load(folder).predict(texts)
    probabilities = np.array([answer["probabilities"][1] for answer in answers], np.float32)
    for share in (0.11, 0.5):
        level = np.float32(thresholds.threshold_at(about, share))
        assert (probabilities > level).sum() <= share * len(texts) + 1
        assert (probabilities >= level - 1e-6).sum() >= share * len(texts) - 1


def test_only_classifiers_of_two_classes_measure_thresholds():
    def never(split):
        raise AssertionError(split)

    assert label.about(["a", "b", "c"], never) == {}
    assert label.about(["no", "yes"], lambda split: []) == {}
    assert not hasattr(labels, "about")


# data/mail and pipelines/mail_trigger.toml


@pytest.fixture(scope="module")
def generator():
    spec = importlib.util.spec_from_file_location(
        "mail_generator", Path(__file__).parents[1] / "data" / "mail" / "generate.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def mails(generator):
    return {
        split: [
            json.loads(line) for line in (generator.HERE / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()
        ]
        for split in generator.SPLITS
    }


def test_headers_do_not_change_the_texts(generator, mails):
    grammar = generator.read_grammar()
    grammar["headers"] |= {"topic_share": 0.9, "answer_share": 0.1}
    others = generator.corpus(grammar)
    for split, rows in mails.items():
        for name in ("id", "intent", "message", "wants_reply", "reply"):
            assert [row[name] for row in rows] == [row[name] for row in others[split]]
        assert [row["subject"] for row in rows] != [row["subject"] for row in others[split]]


def test_subject_phrases_are_of_one_split(generator, mails):
    grammar = generator.read_grammar()
    phrases = {split: set() for split in generator.SPLITS}
    for key, pair in grammar["headers"]["held_out"].items():
        phrases["train"].update(grammar["mailbox"]["subjects"][key])
        phrases["valid"].add(pair[0])
        phrases["test"].add(pair[1])
    for one, other in itertools.combinations(generator.SPLITS, 2):
        assert not phrases[one] & phrases[other]
    # Independent of the generator: fixed phrases that occur in one split occur in no other.
    marks = ("Re: ", "RE: ", "AW: ", "Fwd: ", "FW: ")
    for split, rows in mails.items():
        seen = {row["subject"].removeprefix(next(filter(row["subject"].startswith, marks), "")) for row in rows}
        for other in set(generator.SPLITS) - {split}:
            fixed = {text for text in phrases[other] if "{" not in text}
            assert not seen & fixed, (split, other)


def test_header_fields_follow_from_the_mail(mails):
    for row in itertools.chain(*mails.values()):
        assert 1 <= row["recipients"] <= 9 and all(row[name] in (0, 1) for name in HEADERS[1:])
        assert row["is_reply"] == row["subject"].startswith(("Re: ", "RE: ", "AW: ")), row["id"]
        if "\n> " in row["message"] or "Original Message" in row["message"]:
            assert row["is_reply"], row["id"]
        assert row["from_list"] == (row["intent"] in ("newsletter", "office_notice"))
        assert not (row["from_list"] and row["known_sender"])


def test_header_fields_alone_say_little_about_the_label(mails):
    table = {split: [{name: row[name] for name in HEADERS} for row in rows] for split, rows in mails.items()}
    truth = {split: [row["wants_reply"] == "yes" for row in rows] for split, rows in mails.items()}
    model = make_pipeline(DictVectorizer(), LogisticRegression()).fit(table["train"], truth["train"])
    area = sklearn.metrics.roc_auc_score(truth["test"], model.predict_proba(table["test"])[:, 1])
    card = (Path(__file__).parents[1] / "data" / "mail" / "README.md").read_text(encoding="utf-8")
    assert f"ROC AUC of {area:.2f}".replace("0.", ".") in " ".join(card.split())
    assert 0.5 < area < 0.65


def test_the_bundled_trigger_reads_the_fields_of_the_mails(mails):
    pipeline = runner.Pipeline.load(bundled.find("mail_trigger"))
    names = [field.name for field in plugins.find("tasks", pipeline.sections["ingest"].task).FIELDS]
    assert names == ["subject", "message", *HEADERS, "wants_reply"]
    assert set(names) <= set(mails["test"][0])


def test_a_trigger_over_texts_and_headers_learns_and_exports_its_thresholds(tmp_path):
    draw = random.Random(3)
    lines = ["subject\tmessage\trecipients\twants_reply"]
    for number in range(240):
        wants = draw.random() < 0.4
        many = draw.randrange(1, 3 if wants else 6)
        subject = draw.choice(("question", "meeting") if wants else ("news", "meeting"))
        message = f"{draw.choice(('could you call', 'please send') if wants else ('thank you', 'we sent'))} {number}"
        lines.append(f"{subject}\t{message}\t{many}\t{'yes' if wants else 'no'}")
    (tmp_path / "rows.tsv").write_text("\n".join(lines) + "\n")
    tables = {
        "task": {
            "kind": "classify",
            "fields": {"subject": "text", "message": "text", "recipients": "number"},
            "target": "wants_reply",
        },
        "seed": 1,
        "ingest": {"split": {"valid": 0.2, "test": 0.2}},
        "tokenize": {"codec": "none"},
        "vectorize": {"features": {"kind": "hashed", "num_buckets": 512}},
        "model": {"kind": "feed_forward", "ngram_embedding": 8, "units": [8, 8, 4], "dropout": 0.1},
        "train": {"epochs": 6, "batch_rows": 16, "optimizer": {"kind": "adam", "learning_rate": 0.01}},
        "export": {"golden_rows": 8, "warmup_rows": 0},
    }
    outputs = tiny.build(tmp_path / "run", tables, tmp_path / "rows.tsv", until="export")
    metrics = json.loads((outputs["evaluate"] / "metrics.json").read_text())
    assert metrics["metrics"]["roc_auc"] > 0.95
    about = description.read(outputs["export"] / "model")
    assert about["coverage"]["label"] == "yes"
    assert thresholds.threshold_at(about, 0.2) > 0.5 > thresholds.threshold_at(about, 0.9)
    vocabulary = json.loads((outputs["train"] / "vocabulary.json").read_text())
    assert vocabulary["subject"]["names"] == list(range(512))
