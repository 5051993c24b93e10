"""Replies ranked from a response set: the loss, the model, the choice of replies, the metrics, and a pipeline to its export."""

import dataclasses
import json
import random
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
import tiny

from textpipe.answers import _ranking
from textpipe.answers._candidates import Candidates
from textpipe.answers._response_set import Response
from textpipe.errors import ConfigError, ModelError
from textpipe.metrics import ranking
from textpipe.objectives import in_batch
from textpipe.pipeline import runner
from textpipe.savedmodel import loader

SUGGEST = {
    "task": "suggest",
    "seed": 1,
    "tokenize": {"codec": "none"},
    "vectorize": {
        "features": {"kind": "tfidf", "num_buckets": 4096},
        "fields": {"reply": {"kind": "tfidf", "num_buckets": 4096}},
    },
    "responses": {"min_senders": 1},
    "model": {"kind": "dual_encoder", "embedding_size": 16, "units": [16]},
    "train": {"epochs": 12, "batch_rows": 32, "optimizer": {"kind": "adam", "learning_rate": 0.01}},
}
REPLIES = {
    "could you send": "I will send it today.",
    "are you free for": "Yes, that time suits me.",
    "thank you for": "You are welcome!",
    "when do we get": "I think it comes next week.",
}


def rows(path: Path, count: int = 400) -> Path:
    draw = random.Random(3)
    lines = ["message\treply"]
    for number in range(count):
        opening = draw.choice(list(REPLIES))
        reply = REPLIES[opening] if draw.random() < 0.9 else f"Something else {number}"
        lines.append(f"{opening} the {draw.choice(('report', 'plan', 'lunch'))} {draw.randrange(100)}\t{reply}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def suggested(tmp_path_factory):
    """(result of the run, loaded model)"""
    folder = tmp_path_factory.mktemp("suggest")
    file = folder / "replies.toml"
    tables = {**SUGGEST, "ingest": {"files": str(rows(folder / "rows.tsv"))}}
    file.write_text(tiny.toml(tables), encoding="utf-8")
    result = runner.run(
        runner.Pipeline.load(file), artifacts=folder / "artifacts", saved_models=folder / "saved_models"
    )
    return result, loader.Model.load(result.saved_model)


# The loss


class Vectors:
    """A model whose vectors are given."""

    def __init__(self, *pairs, symmetric=True):
        self.pairs, self.symmetric = pairs, symmetric

    def __call__(self, inputs, replies, training=False):
        return self.pairs


def log_softmax(scores):
    return scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))


@pytest.mark.parametrize("symmetric", [True, False])
def test_the_loss_equals_a_softmax_over_the_other_rows_in_one_or_both_directions(symmetric):
    draw = np.random.default_rng(1)
    pairs = [tuple(draw.normal(size=(5, 3)).astype(np.float32) for _ in range(2)) for _ in range(2)]
    replies = tf.constant([[4, 3], [5, 3], [4, 3], [6, 0], [7, 3]])  # rows 0 and 2 have the same reply
    sums = in_batch.sums(Vectors(*pairs, symmetric=symmetric), {}, replies)
    expected = 0.0
    for messages, vectors in pairs:
        scores = messages.astype(np.float64) @ vectors.T.astype(np.float64)
        scores[0, 2] = scores[2, 0] = -1e9
        directions = (scores, scores.T) if symmetric else (scores,)
        expected -= sum(np.diag(log_softmax(part)).sum() / len(directions) for part in directions)
    assert float(sums["loss"]) == pytest.approx(expected, rel=1e-5)
    assert float(sums["weight"]) == 5
    assert float(sums["correct"]) == (scores.argmax(axis=1) == np.arange(5)).sum()


def test_equal_replies_are_found_among_ids_and_sparse_rows():
    ids = tf.constant([[4, 5, 3, 0], [5, 4, 3, 0], [4, 5, 3, 0], [4, 5, 3, 3], [3, 0, 0, 0]])
    sparse = tf.sparse.from_dense([[1.0, 0, 2], [0, 0, 0], [1.0, 0, 1], [0, 0, 0], [0, 1.0, 0]])
    for replies, pairs in ((ids, {(0, 2)}), (sparse, {(0, 2), (1, 3)})):
        same = in_batch.same_targets(replies).numpy()
        assert {(a, b) for a, b in zip(*np.nonzero(same), strict=True) if a < b} == pairs
        assert same.diagonal().all()


# The model


def encoder(**settings):
    from textpipe.config.fields import Field, Sizes
    from textpipe.models import dual_encoder

    fields = tuple(Field(name, "source", "text") for name in settings.pop("fields", ("message",)))
    reply = {"kind": "sparse", "dim": 5, **settings.pop("reply", {})}
    joint = {"joint": reply["joint"]} if "joint" in reply else {}
    tables = {field.name: {"kind": "sparse", "dim": 7, **joint} for field in fields} | {"reply": reply}
    sizes = Sizes.from_tables(tables, (*fields, Field("reply", "target", "text")))
    return dual_encoder.build(dual_encoder.Config(**{"embedding_size": 4, **settings}), sizes, seed=1)


def sparse(rows, dim, seed):
    return tf.sparse.from_dense(np.random.default_rng(seed).poisson(0.5, (rows, dim)).astype(np.float32))


@pytest.mark.parametrize("fields", [("message",), ("subject", "body")])
def test_the_last_pair_of_vectors_is_that_of_encode_and_encode_reply(fields):
    model = encoder(fields=fields, units=(6, 3))
    inputs, replies = {name: sparse(4, 7, at) for at, name in enumerate(fields)}, sparse(4, 5, 9)
    pairs = model(inputs, replies)
    assert len(pairs) == (1 if len(fields) == 1 else 3)
    np.testing.assert_allclose(pairs[-1][0], model.encode(inputs), rtol=1e-6)
    np.testing.assert_allclose(pairs[-1][1], model.encode_reply(replies), rtol=1e-6)


def test_numbers_change_only_the_pair_of_all_fields():
    from textpipe.config.fields import Field, Sizes
    from textpipe.models import dual_encoder

    fields = (Field("message", "source", "text"), Field("recipients", "source", "number"))
    tables = {"message": {"kind": "sparse", "dim": 7}, "recipients": {"kind": "scalar", "mean": 0, "deviation": 1}}
    target = (Field("reply", "target", "text"), {"kind": "sparse", "dim": 5})
    sizes = Sizes.from_tables({**tables, "reply": target[1]}, (*fields, target[0]))
    model = dual_encoder.build(dual_encoder.Config(embedding_size=4, units=(3,)), sizes, seed=1)
    inputs, replies = {"message": sparse(4, 7, 1), "recipients": tf.constant([0.0, 1, 2, 3])}, sparse(4, 5, 2)
    changed = model({**inputs, "recipients": tf.constant([5.0, 1, 2, 3])}, replies)
    pairs = model(inputs, replies)
    assert len(pairs) == 2
    np.testing.assert_allclose(pairs[-1][0], model.encode(inputs), rtol=1e-6)
    np.testing.assert_array_equal(changed[0][0], pairs[0][0])
    assert np.abs(changed[1][0] - pairs[1][0])[0].max() > 1e-3
    np.testing.assert_array_equal(changed[1][0][1:], pairs[1][0][1:])
    only = Sizes.from_tables({"recipients": tables["recipients"], "reply": target[1]}, (fields[1], target[0]))
    with pytest.raises(ConfigError, match="expects a field of text, found only numbers: recipients"):
        dual_encoder.build(dual_encoder.Config(), only, seed=1)


def test_cosines_are_scaled_and_dot_products_are_not():
    inputs, replies = {"message": sparse(4, 7, 1)}, sparse(4, 5, 2)
    model = encoder(similarity="cosine")
    np.testing.assert_allclose(np.linalg.norm(model.encode(inputs), axis=1), 10, rtol=1e-3)
    np.testing.assert_allclose(np.linalg.norm(model.encode_reply(replies), axis=1), 1, rtol=1e-3)
    assert len(model.trainable_variables) == len(encoder(similarity="dot").trainable_variables) + 1


def test_shared_embeddings_are_one_table_of_messages_and_replies():
    from textpipe.config.fields import Field, Sizes
    from textpipe.models import dual_encoder

    fields = (Field("subject", "source", "text"), Field("body", "source", "text"), Field("reply", "target", "text"))
    joint = {"kind": "sparse", "dim": 7, "joint": ["subject", "body", "reply"]}
    sizes = Sizes.from_tables({field.name: joint for field in fields}, fields)
    config = dual_encoder.Config(embedding_size=4, units=(3,), share_embeddings=True)
    model = dual_encoder.build(config, sizes, seed=1)
    assert [weight.shape for weight in model.trainable_variables if tuple(weight.shape)[:1] == (7,)] == [(7, 4)]
    # Without layers on top, equal texts of all fields would have equal vectors.
    row = sparse(2, 7, 1)
    embedded = model.reply_embedding(row)
    for tower, vectors in zip(model.message_towers, model.by_field({"subject": row, "body": row}, False), strict=True):
        np.testing.assert_allclose(vectors, tower(embedded), rtol=1e-6)
    for other in ({"kind": "sparse", "dim": 7}, {**joint, "dim": 5}, {"kind": "ids", "vocab_size": 7}):
        sizes = Sizes.from_tables({"subject": joint, "body": other, "reply": joint}, fields)
        with pytest.raises(ConfigError, match="joint vocabulary of 'body' and 'reply', found separate ones; give both"):
            dual_encoder.build(config, sizes, seed=1)


def test_towers_that_begin_as_the_identity_pass_embeddings_on():
    model = encoder(embedding_size=5, units=(5, 3), initializer="identity", activation="relu")
    row = sparse(2, 7, 1)
    embedded = np.maximum(np.asarray(model.embeddings[0](row)), 0)
    np.testing.assert_allclose(model.by_field({"message": row}, False)[0], embedded[:, :3], rtol=1e-6)


CHANGES = {
    "embedding_size": 8,
    "units": (5,),
    "activation": "relu",
    "dropout": 0.5,
    "similarity": "dot",
    "share_embeddings": True,
    "initializer": "identity",
    "embedding_stddev": 0.5,
}


@pytest.mark.parametrize("name", CHANGES)
def test_every_setting_changes_the_vectors(name):
    settings = {"units": (6, 3), **({name: CHANGES[name]} if name == "units" else {})}
    inputs, replies = {"message": sparse(6, 7, 1)}, sparse(6, 7, 2)
    vectors = [
        np.asarray(
            encoder(reply={"dim": 7, "joint": ["message", "reply"]}, **changed)(inputs, replies, training=True)[-1][0]
        )
        for changed in ({"units": (6, 3)}, {**settings, name: CHANGES[name]})
    ]
    assert vectors[0].shape != vectors[1].shape or not np.allclose(*vectors)


def test_every_setting_is_tested():
    from textpipe.models import dual_encoder

    assert set(CHANGES) == set(dual_encoder.Config.model_fields) - {"kind", "loss"}
    assert encoder().symmetric and not encoder(loss="replies").symmetric  # the tests of the loss show the rest


def test_a_reply_of_classes_is_refused():
    from textpipe.config.fields import Field, Sizes
    from textpipe.models import dual_encoder

    tables = {"message": {"kind": "sparse", "dim": 7}, "reply": {"kind": "label", "classes": ["a", "b"]}}
    sizes = Sizes.from_tables(tables, (Field("message", "source", "text"), Field("reply", "target", "label")))
    with pytest.raises(ConfigError, match="expects sparse or ids features of the reply, found label"):
        dual_encoder.build(dual_encoder.Config(), sizes, seed=1)


# The choice of replies


def selector(responses, settings=None):
    """An Output without a graph, which chooses from given scores."""
    count = len(responses)
    model = SimpleNamespace(encode_reply=lambda ids: tf.zeros([len(ids), 1]))
    graph = SimpleNamespace(model=model, encode=lambda field, texts: texts, target="reply")
    output = _ranking.Output(graph, responses, settings)
    assert output.ranker.vectors.shape == (count, 1)
    return output


def choose(logits, responses, count, diverse):
    """The same choice, reply by reply in Python."""
    chosen = []
    for place in range(min(count, len(responses))):
        free = [at for at in range(len(responses)) if at not in chosen]
        if diverse:
            used = {responses[at].intent for at in chosen if responses[at].intent}
            free = [at for at in free if responses[at].intent not in used or not responses[at].intent]
            signs = {responses[at].polarity for at in chosen}
            if place == min(count, len(responses)) - 1 and place:
                wanted = -1 if 1 in signs and -1 not in signs else 1 if -1 in signs and 1 not in signs else 0
                free = [at for at in free if responses[at].polarity == wanted] or free if wanted else free
        chosen.append(max(free, key=lambda at: logits[at]) if free else -1)
    return chosen


@pytest.mark.parametrize("diverse", [False, True])
@pytest.mark.parametrize("count", [1, 3, 5, 50])
def test_replies_are_chosen_as_one_by_one_in_python(count, diverse):
    draw = random.Random(4)
    responses = [
        Response(f"reply {at}", intent=draw.choice(("", "yes", "no", "later")), count=1 + at) for at in range(12)
    ]
    signs = {"yes": 1, "no": -1}
    responses = [dataclasses.replace(one, polarity=signs.get(one.intent, 0)) for one in responses]
    output = selector(responses)
    logits = np.random.default_rng(5).normal(size=(20, 12)).astype(np.float32)
    found = output.chosen(Candidates(tf.constant(logits)), tf.constant(count), tf.constant(diverse)).numpy()
    assert found.tolist() == [choose(row, responses, count, diverse) for row in logits]


def test_three_replies_never_share_an_intent_and_hold_both_signs_if_they_hold_one():
    responses = [
        Response(f"{intent} {at}", intent, sign)
        for intent, sign in (("yes", 1), ("no", -1), ("ask", 0), ("well", 1))
        for at in range(4)
    ]
    output = selector(responses)
    logits = tf.constant(np.random.default_rng(6).normal(size=(200, 16)).astype(np.float32))
    for row in output.chosen(Candidates(logits), tf.constant(3), tf.constant(True)).numpy():
        assert len({responses[at].intent for at in row}) == 3
        signs = {responses[at].polarity for at in row}
        assert not signs & {1, -1} or {1, -1} <= signs


def test_a_reply_that_a_search_did_not_find_is_not_forced_for_its_sign():
    responses = [Response(f"{intent}", intent, sign) for intent, sign in (("a", 1), ("b", 1), ("c", 0), ("d", -1))]
    logits = tf.constant([[3.0, 2.0, 1.0, -1e9], [3.0, 2.0, 1.0, 0.0]])
    found = selector(responses).chosen(Candidates(logits), tf.constant(3), tf.constant(True)).numpy()
    assert found.tolist() == [[0, 1, 2], [0, 1, 3]]


# Metrics


def test_ranks_count_from_one_and_equal_scores_share_their_mean():
    scores = np.array([[3.0, 1, 2], [1, 1, 1], [0, 5, 5]])
    assert ranking.ranks(scores, np.array([2, 0, 1])).tolist() == [2, 2, 1.5]
    assert ranking.figures(np.array([1, 2, 20, 40])) == pytest.approx(
        {"p_at_1": 0.25, "p_at_3": 0.5, "p_at_10": 0.5, "p_at_20": 0.75, "mrr": (1 + 1 / 2 + 1 / 20 + 1 / 40) / 4}
    )
    assert ranking.by_frequency([9, 9, 5], np.array([0, 2])).tolist() == [1.5, 3]


def test_one_of_a_hundred_is_counted_in_groups():
    draw = np.random.default_rng(7)
    replies = draw.normal(size=(250, 40))
    assert ranking.one_of(replies, replies) == {"one_of_100": 1.0}  # 200 rows of 250
    assert ranking.one_of(draw.normal(size=(2000, 40)), draw.normal(size=(2000, 40)))["one_of_100"] == pytest.approx(
        0.01, abs=0.01
    )
    assert ranking.one_of(replies[:99], replies[:99]) == {}


# A pipeline


def test_a_pipeline_suggests_the_replies_that_its_rows_teach(suggested):
    result, model = suggested
    metrics = json.loads((result.artifacts["evaluate"].path / "metrics.json").read_text(encoding="utf-8"))["metrics"]
    assert metrics["mrr"] > 0.9 > metrics["mrr_by_frequency"] + 0.2
    assert metrics["coverage"] == pytest.approx(0.9, abs=0.1)
    answers = model.predict([f"{opening} the soup" for opening in REPLIES])
    assert [answer["answer"] for answer in answers] == list(REPLIES.values())
    assert all(
        answer["replies"][0] == answer["answer"] and answer["scores"][0] == answer["score"] for answer in answers
    )


def test_options_set_the_number_of_replies(suggested):
    _, model = suggested
    (answer,) = model.predict(["thank you for the cake"], signature="options", options={"num_replies": 2})
    assert len(answer["replies"]) == 2
    (everything,) = model.predict(["thank you for the cake"], signature="options", options={"num_replies": 100})
    assert sum(everything["scores"]) == pytest.approx(1, abs=1e-5)


def test_a_number_of_replies_outside_its_bounds_is_refused(suggested):
    _, model = suggested
    for number in (0, 101):
        with pytest.raises(tf.errors.InvalidArgumentError, match="num_replies"):
            model.signatures["options"](
                message=tf.constant(["hello"]), num_replies=tf.constant(number), diverse=tf.constant(True)
            )


def test_diversity_can_be_switched_off(suggested):
    _, model = suggested
    for value in (False, "false"):
        (answer,) = model.predict(["thank you for the cake"], signature="options", options={"diverse": value})
        assert len(answer["replies"]) == 3
    with pytest.raises(ModelError, match="option diverse expects true or false, found 3"):
        model.predict(["thank you for the cake"], signature="options", options={"diverse": 3})


def test_probabilities_of_the_response_set_sum_to_one(suggested):
    _, model = suggested

    def probabilities(replies):
        messages = tf.constant(["are you free for lunch"] * len(replies))
        return model.signatures["score"](message=messages, reply=tf.constant(replies))["probability"].numpy()

    assert probabilities(_ranking_texts(suggested)).sum() == pytest.approx(1, abs=1e-4)
    assert 0 < probabilities(["banana"])[0] < 1


def _ranking_texts(suggested):
    result, _ = suggested
    lines = (result.artifacts["responses"].path / "responses.tsv").read_text(encoding="utf-8").splitlines()
    return [line.split("\t")[0] for line in lines[1:]]
