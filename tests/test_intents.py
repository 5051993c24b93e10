"""Intents spread from a few examples, and are read from files that a person wrote."""

import json
import random
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest

from textpipe.answers._response_set import Response
from textpipe.errors import DataError
from textpipe.metrics import clustering
from textpipe.stages import _intent_propagation as propagation
from textpipe.stages._intents import Propagation

MAIL = Path(__file__).parents[1] / "data" / "mail"
LIKE = ["Yes, I can.", "Yes, I will.", "No, sorry.", "No, never."]
SEEDS = {"Yes, I can.": "yes", "No, sorry.": "no"}


def test_updates_agree_with_the_objective_s_minimum_over_all_nodes():
    """After many updates the distributions solve the linear system of the objective, with U left in."""
    settings = Propagation(iterations=100, uniform_weight=0.2, seed_weight=3.0)
    weights = propagation.feature_weights(LIKE)
    given = np.array([0, -1, 1, -1])
    found = np.concatenate([values for _, values in propagation.distributions(weights, given, 2, settings)], axis=1)
    links = weights.toarray().astype(np.float64)  # [N, F]
    size, count = links.shape[0], sum(links.shape)
    graph = np.zeros((count, count))
    graph[:size, size:] = links
    graph += graph.T
    anchored = np.array([3.0 if place < size and given[place] >= 0 else 0.0 for place in range(count)])
    system = np.diag(anchored + 0.2 + graph.sum(axis=1)) - graph
    one_hot = np.zeros((count, 2))
    one_hot[[0, 2], [0, 1]] = 1
    whole = np.linalg.solve(system, anchored[:, None] * one_hot + 0.2 * 0.5)  # U = 1/2 each
    from_uniform = np.linalg.solve(system, np.full((count, 2), 0.2 * 0.5))
    np.testing.assert_allclose(found, (whole - from_uniform)[:size], atol=1e-5)
    np.testing.assert_allclose(whole.sum(axis=1), 1)


def test_intents_are_computed_in_blocks_without_changing_anything(monkeypatch):
    responses = [f"{verb} the {noun}" for verb in ("take", "give", "see") for noun in ("cat", "dog", "bird", "cow")]
    seeds = {text: text.split()[-1] for text in responses[:4]}
    whole = propagation.propagate(responses, seeds, seed=1)
    monkeypatch.setattr(propagation, "BLOCK", 3)
    parts = propagation.propagate(responses, seeds, seed=1)
    assert [intent for intent, _ in whole] == [intent for intent, _ in parts]
    assert [intent for intent, _ in whole[4:8]] == ["cat", "dog", "bird", "cow"]
    np.testing.assert_allclose([share for _, share in whole], [share for _, share in parts], atol=1e-5)


def test_like_wording_gets_the_intent_and_a_tie_none():
    assert [intent for intent, _ in propagation.propagate(LIKE, SEEDS, seed=1)] == ["yes", "yes", "no", "no"]
    symmetric = {"yes yes": "yes", "no no": "no"}
    found = propagation.propagate(["yes yes", "no no", "yes no", "no yes"], symmetric, seed=1, settings=off())
    assert [intent for intent, _ in found] == ["yes", "no", "", ""]


def off(**settings) -> Propagation:
    """Without new intents."""
    return Propagation(rounds=0, **settings)


def mail_replies() -> tuple[list[str], dict[str, str]]:
    """The bundled mails' replies, most frequent first, and the intent of each."""
    counts: Counter[str] = Counter()
    intents: dict[str, str] = {}
    for split in ("train", "valid", "test"):
        for line in (MAIL / f"{split}.jsonl").read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            if row["reply"]:
                counts[row["reply"]] += 1
                intents[row["reply"]] = row["intent"]
    return sorted(counts, key=lambda text: (-counts[text], text)), intents


@pytest.mark.parametrize("draw", [1, 2])
def test_three_examples_an_intent_reach_a_v_measure_of_eight_tenths(draw):
    """Of 1,199 replies of 22 intents; a response without an intent counts as a cluster of its own."""
    responses, truth = mail_replies()
    members = defaultdict(list)
    for text in sorted(responses):
        members[truth[text]].append(text)
    rng = random.Random(draw)
    seeds = {text: intent for intent in members for text in rng.sample(members[intent], 3)}
    found = propagation.propagate(responses, seeds, seed=draw)
    clusters = [intent or f"alone {place}" for place, (intent, _) in enumerate(found)]
    assert clustering.v_measure([truth[text] for text in responses], clusters)["v_measure"] >= 0.8
    assert all(intent == seeds[text] for text, (intent, _) in zip(responses, found, strict=True) if text in seeds)


def test_what_no_example_is_like_becomes_new_intents_named_by_their_first_response():
    responses = [*LIKE, "see you at lunch", "see you at dinner", "purple monkey"]
    found = propagation.propagate(responses, SEEDS, seed=1)
    assert [intent for intent, _ in found[:4]] == ["yes", "yes", "no", "no"]
    assert [intent for intent, _ in found[4:]] == ["see you at lunch"] * 2 + [""]  # one alone is no intent
    assert [intent for intent, _ in propagation.propagate(responses, SEEDS, seed=1, settings=off())[4:]] == [""] * 3
    named = propagation.propagate(responses, {"Yes, I can.": "see you at lunch"}, seed=1)
    assert found[4][0] != named[4][0] != named[0][0]  # a person's intent may be called like a response


def test_the_same_seed_gives_the_same_intents():
    responses, truth = mail_replies()
    seeds = {text: truth[text] for text in responses[:20]}
    settings = Propagation(new_intents=5, rounds=2)
    runs = [propagation.propagate(responses, seeds, seed=seed, settings=settings) for seed in (1, 1, 2)]
    assert runs[0] == runs[1] != runs[2]


def test_a_new_intent_a_round_is_fewer_than_many():
    responses, truth = mail_replies()
    seeds = {text: truth[text] for text in responses[:5]}
    few, many = (
        len({intent for intent, _ in propagation.propagate(responses, seeds, seed=1, settings=settings)} - {""})
        for settings in (Propagation(new_intents=1, rounds=1), Propagation(new_intents=20, rounds=1))
    )
    assert few <= 2 + len(set(seeds.values())) < many


@pytest.mark.parametrize("key, low, high", [("threshold", 0.0, 1.0), ("margin", 1.0, 50.0), ("evidence", 0.0, 0.9)])
def test_stricter_settings_leave_more_responses_without_an_intent(key, low, high):
    responses, truth = mail_replies()
    seeds = {text: truth[text] for text in responses[:40]}
    loose, strict = (
        sum(bool(intent) for intent, _ in propagation.propagate(responses, seeds, seed=1, settings=off(**{key: value})))
        for value in (low, high)
    )
    assert loose > strict >= len(seeds)


@pytest.mark.parametrize("change", [{"seed_weight": 0.1}, {"uniform_weight": 5.0}, {"iterations": 1}])
def test_weights_and_iterations_change_how_far_examples_reach(change):
    weights = propagation.feature_weights(LIKE)
    given = np.array([0, -1, 1, -1])
    before, after = (
        next(propagation.distributions(weights, given, 2, settings))[1] for settings in (off(), off(**change))
    )
    assert after[1, 0] < 0.9 * before[1, 0]  # less of it arrives at the response that is like the first


def test_features_are_words_runs_and_skip_grams():
    assert propagation.features("See you at 5!") == {
        "see", "you", "at", "\x03", "\x02 see", "see you", "you at", "at \x03", "\x03 \x02", "\x02 see you", "see you at",
        "you at \x03", "at \x03 \x02", "\x02 * you", "see * at", "you * \x03", "at * \x02",
    }  # fmt: skip


def test_responses_without_a_feature_in_common_stay_without_an_intent():
    found = propagation.propagate(["one", "!!!", "two"], {"one": "first"}, seed=1)
    assert found == [("first", 1.0), ("", 0.0), ("", 0.0)]


# ---------------------------------------------------------------- files


def responses() -> list[Response]:
    return [Response(text, count=9 - place) for place, text in enumerate(LIKE)]


def written(folder: Path, text: str) -> Path:
    path = folder / "intents.tsv"
    path.write_text(text, encoding="utf-8")
    return path


def test_polarity_spreads_with_the_intent(tmp_path):
    path = written(tmp_path, "response\tintent\tpolarity\nYes, I can.\tyes\tpositive\nno sorry\tno\tnegative\n")
    found = propagation.spread(responses(), path, Propagation(), seed=1)
    assert [(one.intent, one.polarity) for one in found] == [("yes", 1), ("yes", 1), ("no", -1), ("no", -1)]
    assert [one.text for one in found] == LIKE  # in their order


def test_intents_of_the_response_set_are_examples_too(tmp_path):
    path = written(tmp_path, "No, sorry.\tno\n")
    given = [Response("Yes, I can.", intent="yes", polarity=1), *responses()[1:]]
    found = propagation.spread(given, path, Propagation(), seed=1)
    assert [(one.intent, one.polarity) for one in found] == [("yes", 1), ("yes", 1), ("no", 0), ("no", 0)]


@pytest.mark.parametrize(
    "text, message",
    [
        ("Yes, I can\tyes\n\nYes, I cant\tyes\nWho?\tyes\n", r"line 3: 'Yes, I cant' is not in the response set \(so are those of lines 4\); did you mean 'Yes, I can.'"),
        ("Yes, I can.\tyes\nyes i can\tno\n", "line 2: the response 'yes i can' has the intent 'no' here and 'yes' in line 1; keep one"),
        ("Yes, I can.\tyes\tpositive\nYes, I will.\tyes\tneutral\n", "line 2: the intent 'yes' is neutral here and positive in line 1"),
        ("Yes, I can.\n", "line 1: expected a response, its intent and perhaps a polarity, with tabs between them, found 'Yes, I can.'"),
        ("Yes, I can.\t \n", "line 1: expected a response, its intent"),
        ("Yes, I can.\tyes\tgood\n", "line 1: expected a polarity of positive, negative, neutral or nothing, found 'good'"),
        ("\n", "contains no line with a response and its intent"),
    ],
)  # fmt: skip
def test_a_fault_of_the_intents_is_named_with_its_line(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        propagation.spread(responses(), written(tmp_path, text), Propagation(), seed=1)


def test_an_intent_of_the_response_set_is_not_overruled(tmp_path):
    given = [Response("Yes, I can.", intent="yes"), *responses()[1:]]
    with pytest.raises(DataError, match="has the intent 'no' here and 'yes' in the response set"):
        propagation.spread(given, written(tmp_path, "Yes, I can.\tno\n"), Propagation(), seed=1)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match="intents.tsv: cannot be read: No such file"):
        propagation.spread(responses(), tmp_path / "intents.tsv", Propagation(), seed=1)
