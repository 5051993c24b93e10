"""Large response sets: an inverted-file index in the graph, beside an exact search."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
import tiny
from test_suggest import SUGGEST, rows

from textpipe.answers import _rankers, _ranking, _ranking_measures, ranking
from textpipe.answers._candidates import Candidates, Numbers
from textpipe.answers._index import CellIndex
from textpipe.answers._ranking_settings import Config, Index
from textpipe.answers._response_set import Response
from textpipe.errors import ConfigError
from textpipe.pipeline import runner
from textpipe.savedmodel import loader
from textpipe.stages import _replay


def clustered(count, size=16, centers=40, seed=1):
    """Unit vectors around random centers."""
    draw = np.random.default_rng(seed)
    middle = draw.normal(size=(centers, size))
    vectors = middle[draw.integers(0, centers, count)] + 0.4 * draw.normal(size=(count, size))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


VECTORS, MESSAGES = clustered(3000), 12 * clustered(50, seed=1)
BIAS = np.log(np.random.default_rng(2).zipf(1.5, 3000).clip(max=500) / 9000)
EXACT = MESSAGES.astype(np.float64) @ VECTORS.T  # without the bias


def searched(index, messages=MESSAGES):
    """(scores [B, K], numbers [B, K]) from the traced search."""
    search = tf.function(index.search, input_signature=[tf.TensorSpec([None, 16])], autograph=False)
    return [part.numpy() for part in search(tf.constant(messages))]


def recall(index, count=10):
    """The share of the best ten responses, with the bias, that a search finds."""
    scores, numbers = searched(index)
    scores = np.where(numbers >= 0, scores + BIAS[np.maximum(numbers, 0)], -1e9)
    found = np.take_along_axis(numbers, np.argsort(-scores, axis=1)[:, :count], axis=1)
    best = np.argsort(-(EXACT + BIAS), axis=1)[:, :count]
    return np.mean([len({*mine} & {*others}) / count for mine, others in zip(found, best, strict=True)])


def test_a_search_of_all_cells_gives_every_response_and_its_exact_score():
    scores, numbers = searched(CellIndex(VECTORS, BIAS, Index(cells=30, probes=30), width=1))
    assert [sorted(row) for row in numbers.tolist()] == [list(range(3000))] * len(MESSAGES)
    np.testing.assert_allclose(scores, np.take_along_axis(EXACT, numbers, axis=1), rtol=1e-4, atol=1e-4)


def test_more_probes_find_more_and_the_default_finds_nearly_all():
    recalls = [recall(CellIndex(VECTORS, BIAS, Index(cells=110, probes=probes), width=1)) for probes in (1, 8, 110)]
    assert recalls[0] < recalls[1] < recalls[2] == 1
    index = CellIndex(VECTORS, BIAS, Index(), width=1)
    assert 90 < len(index.sizes) <= 110 and index.probes == 8  # twice the square root; some may be empty
    assert recall(index) >= 0.95


def test_a_frequent_response_is_found_in_a_cell_that_is_less_near():
    bias = np.full(3000, -9.0)
    last = np.argmin(EXACT[0])
    bias[last] = 100.0
    index = CellIndex(VECTORS, bias, Index(cells=30, probes=1), width=1)
    assert last in searched(index)[1][0]
    assert last not in searched(CellIndex(VECTORS, bias * 0, Index(cells=30, probes=1), width=1))[1][0]


def test_a_message_has_its_candidates_in_any_company():
    index = CellIndex(VECTORS, BIAS, Index(cells=60, probes=3), width=500)
    together = searched(index)
    assert together[1].shape[1] >= 500
    for row in (0, 17):
        alone = searched(index, MESSAGES[row : row + 1])
        for mine, others, nothing in zip(alone, together, (-1e9, -1), strict=True):
            shared = min(mine.shape[1], others.shape[1])
            np.testing.assert_allclose(mine[0, :shared], others[row, :shared], rtol=1e-5)
            assert (others[row, shared:] == nothing).all()


def test_an_index_is_the_same_when_it_is_learned_again():
    first, again = (CellIndex(VECTORS, BIAS, Index(cells=50), width=1) for _ in range(2))
    for name in ("order", "first", "sizes", "centers", "bias", "vectors"):
        assert getattr(first, name).numpy().tobytes() == getattr(again, name).numpy().tobytes()


def test_equal_vectors_leave_cells_without_a_response_out():
    index = CellIndex(np.ones((20, 16), np.float32), np.zeros(20), Index(cells=5), width=4)
    assert index.sizes.numpy().tolist() == [20]
    assert sorted(searched(index)[1][0]) == list(range(20))


# The settings


def test_a_message_between_two_cells_is_ambiguous():
    index = CellIndex(VECTORS, np.zeros(3000), Index(cells=30, probes=1), width=1)
    start, end = index.centers.numpy().astype(np.float64)[:2]
    best = np.argmax(index.centers.numpy() @ np.linspace(start, end, 100_001).T, axis=0)
    share = (np.flatnonzero(best != best[0])[0] - 0.5) / 100_000  # of the way to where another cell is best
    between = start + share * (end - start)
    messages = tf.constant(np.stack([start, between, np.zeros(16)]), tf.float32)
    assert index.ambiguous(messages).tolist() == [False, True, False]
    everything = CellIndex(VECTORS, np.zeros(3000), Index(cells=30, probes=30), width=1)
    assert not everything.ambiguous(messages).any()


def graph(count, tokens=False):
    """A graph whose responses have the vectors of VECTORS."""
    model = SimpleNamespace() if tokens else SimpleNamespace(encode_reply=lambda texts: VECTORS[: len(texts)])
    return SimpleNamespace(model=model, encode=lambda field, texts: texts, target="reply")


def matching(count, **settings):
    texts = tf.constant([str(number) for number in range(count)])
    return _rankers.matching(graph(count), texts, BIAS[:count], Config(**settings), width=1)


def test_a_set_has_an_index_if_it_is_large_or_the_settings_say_so(monkeypatch):
    monkeypatch.setattr(_rankers, "MAX_EXACT", 200)
    assert matching(200).index is None
    assert matching(201).index is not None
    assert len(matching(100, index={"cells": 7}).index.sizes) == 7
    with pytest.raises(ConfigError, match='index: "none" compares at most 200 responses with every message, found 201'):
        matching(201, index="none")
    with pytest.raises(ConfigError, match="by likelihood search at most 200 responses, found 201; lower max_size"):
        _rankers.likelihood(graph(201, tokens=True), tf.fill([201], "x"), Config())
    with pytest.raises(
        ConfigError, match='prior: "language_model" learns n-grams from at most 200 responses, found 201'
    ):
        _rankers.prior([Response(str(number)) for number in range(201)], Config(prior="language_model"), 1.0)


def test_settings_of_an_index_that_do_not_fit_are_refused():
    with pytest.raises(ConfigError, match=r"index\.cells: expected at most one cell per response, 100, found 101"):
        matching(100, index={"cells": 101})
    with pytest.raises(ValueError, match="probes: expected at most the 4 cells, found 5"):
        Index(cells=4, probes=5)
    with pytest.raises(ConfigError, match="index: applies to rankers by matching, but this model ranks by likelihood"):
        _rankers.likelihood(graph(2, tokens=True), tf.constant(["a", "b"]), Config(index={"cells": 2}))


def test_a_ranker_with_an_index_has_no_answer_without_text():
    output = SimpleNamespace(ranker=SimpleNamespace(index=1), responses=lambda: (1, 2))
    with pytest.raises(ConfigError, match="index: a LiteRT model compares the message with all of its 2 responses"):
        ranking.from_features(output, {})


# Candidates


def test_a_response_is_found_by_its_text():
    texts = ["b", "a", "", "ä"]
    numbers = Numbers(tf.constant(texts))
    assert numbers.find(tf.constant(["ä", "x", "b", "a", "", "zz"])).numpy().tolist() == [3, -1, 0, 1, 2, -1]


def test_ranks_of_what_a_search_did_not_find_are_behind_all_that_it_found():
    candidates = Candidates(tf.constant([[5.0, 9, 7], [5, 9, -1e9]]), tf.constant([[3, 1, 8], [3, 1, -1]]))
    for own, expected in (([8, 3], [2, 2]), ([0, 0], [7, 6.5]), ([-1, 1], [1])):
        assert _ranking_measures.ranks(candidates, np.array(own), 10).tolist() == expected


@pytest.mark.parametrize("weight", [0.5, 1.0])
def test_a_cascade_ranks_candidates_of_an_index_again(weight):
    settings = Config.model_construct(candidates=3, rerank_weight=weight)
    output = _ranking.Output(graph(6), [Response(text) for text in "abcdef"], settings)
    output.second = SimpleNamespace(
        call=lambda name, raw: {"log_probs": tf.where(raw["candidates"] == "e", -1.0, -3.0)}
    )
    given = Candidates(tf.constant([[2.0, 1.0, -1e9]]), tf.constant([[2, 4, -1]]))
    found = np.exp(output.reranked({}, given).scores.numpy()[0])
    first, other = np.exp([2.0, 1.0]), np.exp([-3.0, -1.0])
    mixed = first ** (1 - weight) * other**weight
    np.testing.assert_allclose(found, [*(mixed / mixed.sum()), 0], rtol=1e-5)


# A pipeline


@pytest.fixture(scope="module")
def indexed(tmp_path_factory):
    """(result of a run with an index of few cells, loaded model, texts of the responses)"""
    folder = tmp_path_factory.mktemp("indexed")
    texts = [line.partition("\t")[2] for line in rows(folder / "rows.tsv").read_text(encoding="utf-8").splitlines()[1:]]
    texts = list(dict.fromkeys([*texts, *(f"It is {number}." for number in range(40))]))
    (folder / "responses.tsv").write_text("\n".join(["response", *texts]) + "\n", encoding="utf-8")
    tables = {
        **SUGGEST,
        "ingest": {"files": str(folder / "rows.tsv")},
        "responses": {"file": str(folder / "responses.tsv")},
        "answer": {"index": {"cells": 12, "probes": 2}},
        "export": {"golden_rows": 30},
    }
    file = folder / "indexed.toml"
    file.write_text(tiny.toml(tables), encoding="utf-8")
    result = runner.run(
        runner.Pipeline.load(file), artifacts=folder / "artifacts", saved_models=folder / "saved_models"
    )
    return result, loader.Model.load(result.saved_model), texts


def test_an_exported_ranker_answers_from_its_index(indexed):
    result, model, _ = indexed
    metrics = json.loads((result.artifacts["evaluate"].path / "metrics.json").read_text(encoding="utf-8"))["metrics"]
    assert metrics["mrr"] > 0.8 and metrics["coverage"] == 1
    (answer,) = model.predict(["thank you for the soup"])
    assert answer["answer"] == "You are welcome!" and len(set(answer["replies"])) == 3


def test_replies_behind_the_last_candidate_are_empty(indexed):
    _, model, texts = indexed
    (answer,) = model.predict(["thank you for the soup"], signature="options", options={"num_replies": 100})
    given = [reply for reply in answer["replies"] if reply]
    assert 3 <= len(given) < len(texts)
    assert answer["replies"] == [*given, *[""] * (len(texts) - len(given))]
    assert sum(answer["scores"]) == pytest.approx(1, abs=1e-5)


def test_every_response_has_a_score_whether_the_index_finds_it_or_not(indexed):
    _, model, texts = indexed
    messages = tf.constant(["thank you for the soup"] * len(texts))
    log_probs = model.signatures["score"](message=messages, reply=tf.constant(texts))["log_prob"].numpy()
    (best,) = model.predict(["thank you for the soup"], signature="nbest")
    expected = {text: score for text, score in zip(best["texts"], best["scores"], strict=True) if text}
    assert len(expected) > 3
    assert {text: np.exp(log_probs[texts.index(text)]) for text in expected} == pytest.approx(expected, rel=1e-3)
    assert np.isfinite(log_probs).all() and np.exp(log_probs).max() <= 1


def test_replies_of_equal_score_may_be_listed_in_place_of_one_another(indexed):
    result, _, texts = indexed
    lines = (result.saved_model / loader.GOLDEN).read_text(encoding="utf-8").splitlines()
    rows = [row for row in map(json.loads, lines) if "tied" in row]
    assert rows
    for row in rows:
        assert not {*row["tied"]} & {*row["texts"]} and {*row["tied"]} < {*texts}
        listed = {"texts": [*row["texts"][:-1], row["tied"][-1]], "scores": row["scores"]}
        assert not list(_replay.answer_differences(row, "nbest", listed))
        listed["texts"][-1] = "another reply"
        assert len(list(_replay.answer_differences(row, "nbest", listed))) == 1
