"""A response set ranked by likelihood: the search over its trie against scoring each text, and a pipeline to its export."""

import functools
import itertools
import json
import math
import random
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
import tiny
from test_beam import END, Table, after, along, log_softmax
from test_prefix import Letters, ids_of

from textpipe.answers import _likelihood, _rankers, _response_set, ranking
from textpipe.answers._ranking_settings import Config
from textpipe.decoding import _trie_search, beam
from textpipe.errors import ConfigError
from textpipe.pipeline import runner
from textpipe.savedmodel import loader
from textpipe.servable.graph import Servable
from textpipe.training import likelihood

ABSENT = -1e9
TEXTS = ["a", "abc", "abd", "b", "bbbbbbbbbb", "cab", "", "ca", "eaeae", "dd", "ab", "abc"]  # one occurs twice


traced = functools.partial(tf.function, autograph=False)


def rows_of(texts):
    """[R, U] ids with an end, padded."""
    ids = [[*ids_of(text), END] for text in texts]
    longest = max(map(len, ids))
    return np.array([[*row, *[0] * (longest - len(row))] for row in ids], np.int32)


def sources(*first):
    return {"source": tf.constant([[one, 4, 3] for one in first])}


def every(model, first, texts):
    return np.array([along(model, first, (*ids_of(text), END))[0] for text in texts])


def searched(model, inputs, texts, beam):
    trie = _trie_search.TextTrie(rows_of(texts), END)
    return traced(lambda source: _trie_search.log_probs(model, {"source": source}, trie, beam=beam))(
        inputs["source"]
    ).numpy()


def plain_search(model, first, texts, beam):
    """{text: log-probability}: a beam search over the list with Python's lists."""
    answers = {(*ids_of(text), END): text for text in texts}
    live, found = [(0.0, (), 1, 2)], {}  # log-probability, ids, history, last token
    while live:
        longer = []
        for log_prob, ids, history, last in live:
            history = int(after(history, last))
            scores = log_softmax(model.logits[first, history])
            for token in range(8):
                now = (*ids, token)
                if any(answer[: len(now)] == now for answer in answers):
                    longer.append((log_prob + scores[token], now, history, token))
        found |= {answers[one[1]]: one[0] for one in longer if one[1] in answers}
        live = sorted((one for one in longer if one[1] not in answers), reverse=True)[:beam]
    return found


# The search


@pytest.mark.parametrize("width", [12, 1000])
def test_a_wide_search_gives_every_text_its_log_probability(width):
    model = Table(1)
    found = searched(model, sources(4, 5, 6), TEXTS, width)
    for row, first in enumerate((4, 5, 6)):
        np.testing.assert_allclose(found[row], every(model, first, TEXTS), rtol=1e-5)


@pytest.mark.parametrize("width", [1, 2, 3, 7])
def test_a_narrow_search_finds_what_a_plain_one_finds_with_exact_scores(width):
    draw = random.Random(width)
    texts = sorted({"".join(draw.choices("abcde", k=draw.randrange(0, 7))) for _ in range(300)})
    model = Table(2)
    found = searched(model, sources(4, 5, 6, 7), texts, width)
    for row, first in enumerate((4, 5, 6, 7)):
        expected = plain_search(model, first, texts, width)
        assert 0 < len(expected) < len(texts)
        assert {text for text, score in zip(texts, found[row], strict=True) if score > ABSENT} == set(expected)
        exact = every(model, first, texts)
        inside = found[row] > ABSENT
        np.testing.assert_allclose(found[row][inside], exact[inside], rtol=1e-5)
        assert (found[row][~inside] == ABSENT).all()


def test_it_finds_all_that_the_decoder_with_the_rule_trie_finds(tmp_path):
    draw = random.Random(3)
    texts = sorted({"".join(draw.choices("abcde", k=draw.randrange(1, 7))) for _ in range(200)})
    (tmp_path / "texts.txt").write_text("\n".join(texts), encoding="utf-8")
    rules = [{"kind": "trie", "file": tmp_path / "texts.txt"}]
    model, inputs = Table(4), sources(4, 5, 6)
    decoded = beam.decode(model, inputs, beam.Config(beam_size=8, length_penalty=0, rules=rules), codec=Letters())
    found = searched(model, inputs, texts, 8)
    number = {(*ids_of(text), END): at for at, text in enumerate(texts)}
    compared = 0
    for row, (answers, scores) in enumerate(zip(decoded["ids"].numpy(), decoded["log_probs"].numpy(), strict=True)):
        for ids, score in zip(answers, scores, strict=True):
            if score > ABSENT:
                assert found[row, number[tuple(ids[ids != 0])]] == pytest.approx(score, rel=1e-5)
                compared += 1
    assert compared >= 12


def test_given_texts_are_scored_whatever_their_order_and_number():
    model = Table(5)
    pairs = [(row, text) for row, text in itertools.product(range(3), TEXTS)]
    random.Random(1).shuffle(pairs)
    row, texts = zip(*pairs, strict=True)
    found = _trie_search.forced_log_probs(model, sources(4, 5, 6), tf.constant(row), tf.constant(rows_of(texts)))
    expected = [along(model, 4 + at, (*ids_of(text), END))[0] for at, text in pairs]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("block", [1, 64, 300])
def test_rows_of_a_block_at_a_time_give_the_same(block, monkeypatch):
    model, inputs = Table(6), sources(4, 5, 6, 7, 4)
    expected = searched(model, inputs, TEXTS, 3)
    trie = _trie_search.TextTrie(rows_of(TEXTS), END)
    monkeypatch.setattr(_trie_search, "BLOCK", block)

    def search(rows):
        return _trie_search.log_probs(model, rows, trie, beam=3)

    np.testing.assert_allclose(_trie_search.in_blocks(search, inputs, 3, 8), expected, rtol=1e-6)


# Networks: against the training code, which computes all positions of a text together


def network(kind, **settings):
    from textpipe.config import plugins
    from textpipe.config.fields import Field, Sizes

    ids = {"kind": "ids", "vocab_size": 8, "max_length": 16}
    fields = (Field("source", "source", "text"), Field("reply", "target", "text"))
    module = plugins.find("models", kind)
    model = module.build(module.Config(**settings), Sizes.from_tables({"source": ids, "reply": ids}, fields), seed=1)
    draw = np.random.default_rng(1)  # the weights as they begin give all texts about one probability
    for variable in model.trainable_variables:
        variable.assign(variable + draw.normal(scale=0.3, size=variable.shape))
    return model


NETWORKS = {
    "gru": ("recurrent", {"units": 6, "embedding_size": 4, "attention_size": 4}),
    "lstm": ("recurrent", {"cell": "lstm", "layers": 2, "units": 6, "embedding_size": 6, "input_feeding": True}),
    "transformer": ("transformer", {"d_model": 8, "num_heads": 2, "d_ff": 8}),
}


@pytest.fixture(scope="module", params=NETWORKS)
def model(request):
    kind, settings = NETWORKS[request.param]
    return network(kind, **settings)


SOURCE = tf.constant([[4, 5, 6, 7, 3], [5, 3, 0, 0, 0], [7, 7, 4, 3, 0]])


def by_training_code(model, texts):
    source, ids = tf.repeat(SOURCE, len(texts), axis=0), tf.tile(rows_of(texts), [3, 1])
    log_probs = likelihood.token_log_probs(model, {"source": source}, ids)
    return tf.reshape(tf.reduce_sum(log_probs, axis=1), [3, -1]).numpy()


class Graph:
    """As much of a Servable as a ranker uses; a text is its letters."""

    target = "reply"

    def __init__(self, model):
        self.model, self.features = model, {"reply": SimpleNamespace(codec=Letters())}

    def encode(self, field, text):
        ids = Letters().encode(text)
        return tf.concat([ids, tf.fill([tf.shape(text)[0], 1], END)], axis=1).to_tensor(0)


def test_a_ranker_scores_as_the_training_code_does(model):
    ranker, inputs = _likelihood.Likelihood(Graph(model), tf.constant(TEXTS), beam=64), {"source": SOURCE}
    expected = by_training_code(model, TEXTS)
    assert len(np.unique(expected.round(3))) > 20  # the rows and texts differ
    np.testing.assert_allclose(traced(lambda rows: ranker.candidates(rows).scores)(inputs), expected, rtol=1e-4)
    np.testing.assert_allclose(traced(ranker.exact)(inputs), expected, rtol=1e-4)
    narrow = traced(lambda rows: ranker.log_probs(rows, 2))(inputs).numpy()
    inside = narrow > ABSENT
    assert inside.any() and not inside.all()
    np.testing.assert_allclose(narrow[inside], expected[inside], rtol=1e-4)


def test_texts_that_are_no_responses_are_scored_too():
    model = network(NETWORKS["gru"][0], **NETWORKS["gru"][1])
    ranker = _likelihood.Likelihood(Graph(model), tf.constant(TEXTS), beam=2)
    others = ["bad", "", "dead", "a"]
    candidates = tf.constant([others, others[::-1], others])
    expected = by_training_code(model, others)
    expected[1] = expected[1][::-1]
    score = traced(lambda source, texts: ranker.score_texts({"source": source}, texts))
    np.testing.assert_allclose(score(SOURCE, candidates), expected, rtol=1e-4)
    given = traced(ranker.reply_scores)({"source": SOURCE}, {"reply": candidates[:, 0]})
    np.testing.assert_allclose(given, expected[:, 0], rtol=1e-4)


def test_mutual_information_takes_off_what_is_probable_whatever_the_message():
    model = network(NETWORKS["gru"][0], **NETWORKS["gru"][1])
    graph, texts = Graph(model), tf.constant(TEXTS)
    sample = {"source": SOURCE}
    ranker = _likelihood.Likelihood(graph, texts, beam=2, mutual_information=0.5, messages=sample)
    exact = by_training_code(model, TEXTS)
    mean = np.log(np.exp(exact).mean(axis=0))
    scores = traced(lambda rows: ranker.candidates(rows).scores)({"source": SOURCE}).numpy()
    inside = scores > ABSENT
    assert inside.any() and not inside.all()
    np.testing.assert_allclose(scores[inside], (exact - 0.5 * mean)[inside], rtol=1e-4)
    assert (scores[~inside] == ABSENT).all()
    assert math.isclose(np.exp(ranker.marginal(sample)).sum(), np.exp(mean).sum(), rel_tol=1e-4)


def test_the_beam_is_that_of_the_settings():
    model = network(NETWORKS["gru"][0], **NETWORKS["gru"][1])
    found = []
    for settings in (Config(beam_size=1), Config(beam_size=2), Config()):
        ranker = _rankers.likelihood(Graph(model), tf.constant(TEXTS), settings)
        found.append((ranker.candidates({"source": SOURCE}).scores.numpy() > ABSENT).sum())
    assert found[0] < found[1] < found[2] == 3 * len(TEXTS)
    matching = SimpleNamespace(model=SimpleNamespace(encode_reply=None))
    with pytest.raises(ConfigError, match=r"\[answer\] beam_size: applies to rankers by likelihood"):
        _rankers.matching(matching, tf.constant(TEXTS), np.zeros(len(TEXTS)), Config(beam_size=2), width=1)


# A pipeline

LIKELIHOOD = {
    "task": "suggest",
    "seed": 1,
    "tokenize": {"codec": {"kind": "unigram", "vocab_size": 330}},
    "vectorize": {"features": {"kind": "ids", "max_length": 24}},
    "responses": {"min_senders": 1},
    "export": {"golden_rows": 20, "warmup_rows": 2},
    "model": {"kind": "recurrent", "units": 16, "embedding_size": 16, "attention_size": 8},
    "train": {"epochs": 15, "batch_tokens": 1024, "optimizer": {"kind": "adam", "learning_rate": 0.01}},
}


def run(folder, name, tables):
    from test_suggest import rows

    file = folder / f"{name}.toml"
    ingest = {"files": str(rows(folder / "rows.tsv"))}
    file.write_text(tiny.toml({**tables, "ingest": ingest}), encoding="utf-8")
    places = {"artifacts": folder / "artifacts", "saved_models": folder / "saved_models"}
    return runner.run(runner.Pipeline.load(file), **places)


@pytest.fixture(scope="module")
def suggested(tmp_path_factory):
    """(folder, result of the run, loaded model)"""
    folder = tmp_path_factory.mktemp("likelihood")
    result = run(folder, "likelihood", LIKELIHOOD)
    return folder, result, loader.Model.load(result.saved_model)


def test_a_ranker_by_likelihood_is_trained_measured_and_exported(suggested):
    _, result, model = suggested
    report = json.loads((result.artifacts["evaluate"].path / "metrics.json").read_text(encoding="utf-8"))
    metrics = report["metrics"]
    assert metrics["mrr"] > 1.5 * metrics["mrr_by_frequency"]
    assert 1 < metrics["perplexity"] < 20
    assert "one_of_100" not in metrics
    train = json.loads((result.artifacts["train"].path / "train.json").read_text(encoding="utf-8"))
    assert "valid_perplexity" in train["best"]  # trained token by token
    (answer,) = model.predict(["could you send the plan 7"])
    assert answer["answer"] == "I will send it today."
    assert len(set(answer["replies"])) == 3


def test_candidates_of_a_call_are_scored_as_the_ranker_scores_its_responses(suggested):
    _, result, model = suggested
    texts = [one.text for one in _response_set.read(result.artifacts["responses"].path / _response_set.FILE)]
    messages = tf.constant(["could you send the plan 7", "thank you for the lunch 3"])
    found = model.signatures["rerank"](message=messages, candidates=tf.constant([texts, texts]))["log_probs"].numpy()
    answers = model.signatures["nbest"](message=messages)
    for row in range(2):
        order = np.argsort(-found[row])[: answers["texts"].shape[1]]
        assert [texts[at] for at in order] == [text.decode() for text in answers["texts"][row].numpy()]
        shares = np.exp(found[row] - np.logaddexp.reduce(found[row]))[order]
        np.testing.assert_allclose(answers["scores"][row], shares, rtol=1e-3)
    with pytest.raises(tf.errors.InvalidArgumentError, match="candidates: expected at most 1,000 per row"):
        model.signatures["rerank"](message=messages[:1], candidates=tf.fill([1, 1001], "no"))


def test_the_settings_penalize_what_is_probable_whatever_the_message(suggested):
    _, result, _ = suggested
    paths = {stage: artifact.path for stage, artifact in result.artifacts.items()}
    message = {"message": tf.constant(["could you send the plan 7", "thank you for the lunch 3"])}
    scores = []
    for weight in (0.0, 0.5):
        servable = Servable.load(paths, "suggest", answer=Config(mutual_information=weight))
        scores.append(servable.output.candidates(message).scores.numpy())
    mean = servable.output.ranker.marginal(ranking.sampled_messages(servable, paths["ingest"]))
    np.testing.assert_allclose(scores[1], scores[0] - 0.5 * mean, rtol=1e-4)
    assert mean.max() - mean.min() > 1


def test_a_response_outside_the_beam_has_its_probability_beside_the_responses_in_it(suggested):
    _, result, _ = suggested
    paths = {stage: artifact.path for stage, artifact in result.artifacts.items()}
    output = Servable.load(paths, "suggest", answer=Config(beam_size=1)).output
    replies = [one.text for one in output.responses()]
    raw = {"message": tf.constant(["could you send the plan 7"] * len(replies)), "reply": tf.constant(replies)}
    searched = output.candidates({"message": raw["message"][:1]}).scores[0].numpy()
    inside = searched > ABSENT / 2
    assert inside.any() and not inside.all()
    exact = output.ranker.reply_scores(output.graph.inputs(raw), raw).numpy()
    total = np.where(
        inside, np.logaddexp.reduce(searched[inside]), np.logaddexp(np.logaddexp.reduce(searched[inside]), exact)
    )
    np.testing.assert_allclose(output.score(raw)["log_prob"], exact - total, rtol=1e-3, atol=1e-4)


def test_a_ranker_by_matching_takes_it_as_the_second(suggested):
    from test_suggest import SUGGEST

    folder, *_ = suggested
    answer: dict = {"rerank": str(folder / "saved_models/likelihood"), "candidates": 4, "rerank_weight": 1.0}
    result = run(folder, "cascade", {**SUGGEST, "answer": answer})
    metrics = json.loads((result.artifacts["evaluate"].path / "metrics.json").read_text(encoding="utf-8"))["metrics"]
    assert metrics["mrr"] > 1.5 * metrics["mrr_by_frequency"]
    assert (
        loader.Model.load(result.saved_model).predict(["thank you for the plan 7"])[0]["replies"][0]
        == "You are welcome!"
    )


def test_settings_that_do_not_fit_are_refused(tmp_path):
    from test_suggest import SUGGEST

    with pytest.raises(ConfigError, match=r"answer.*beam_size.*greater than or equal to 1"):
        run(tmp_path, "none", {**LIKELIHOOD, "answer": {"beam_size": 0}})
    with pytest.raises(ConfigError, match=r"\[decode\]: task 'suggest' ranks the answers of a set"):
        run(tmp_path, "decode", {**LIKELIHOOD, "decode": {"kind": "beam"}})
    with pytest.raises(ConfigError, match="recurrent: needs target features of kind 'ids', found 'sparse'"):
        fields = {"reply": {"kind": "counts"}}
        run(tmp_path, "sparse", {**LIKELIHOOD, "vectorize": {**LIKELIHOOD["vectorize"], "fields": fields}})
    with pytest.raises(ConfigError, match="asks for a ranking or a text; use .*dual_encoder"):
        run(tmp_path, "labels", {**SUGGEST, "model": {"kind": "logistic_regression"}, "train": {}})
    with pytest.raises(ConfigError, match="valid_bleu|BLEU"):
        run(tmp_path, "bleu", {**SUGGEST, "train": {"metric": "valid_bleu"}})
