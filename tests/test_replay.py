"""A replay accepts only differences that rounding explains, for greedy, beam and sampled answers."""

import json
import shutil

import pytest
import tensorflow as tf

from textpipe.config.sections import Plugin
from textpipe.errors import ModelError
from textpipe.savedmodel import loader, signatures
from textpipe.servable.graph import Servable
from textpipe.stages import _golden, _replay, _rounding, export

NAMES = ("features", "score", "serving_default", "nbest")
DECODERS = {
    "greedy": {"kind": "greedy", "max_length": 8},
    "beam": {"kind": "beam", "beam_size": 3, "max_length": 8},
    "sample": {"kind": "sample", "num_samples": 2, "max_length": 8},
}
OTHERS = {"greedy": {"kind": "beam", "beam_size": 2}, "beam": {"beam_size": 5, "n_best": 3}, "sample": {"seed": 2}}


def load(paths, decoder, **changes):
    return Servable.load(paths, "translate", Plugin.check("decoding", {**DECODERS[decoder], **changes}))


@pytest.fixture(scope="module", params=DECODERS)
def case(request, generator):
    """A decoder, its training-side code and golden rows."""
    servable = load(generator, request.param)
    rows = [row for row in _golden.build_rows(24, generator, servable) if _golden.text_length(row) < 100]
    return request.param, servable, rows


def replayed(servable, exported, rows):
    """The faults that a replay finds when `exported` answers the rows of `servable`."""
    faults, doubts = replay_of(servable, exported, rows)
    return faults + _rounding.unexplained_faults(servable, rows, doubts)


def replay_of(servable, exported, rows):
    """(faults, doubts) of a replay."""
    texts = _golden.raw_tensors(servable, rows)
    texts["target"] = tf.constant([row["texts"][0].encode() for row in rows])
    described = {name: signatures.table(exported.definition(name)) for name in NAMES}
    found = {name: exported.definition(name).call(texts) for name in NAMES}
    faults, doubts = [], []
    for at, row in enumerate(rows):
        outputs = {name: {key: value[at].numpy() for key, value in part.items()} for name, part in found.items()}
        certain, doubtful = _replay.compare_row(at, row, outputs, described)
        faults, doubts = faults + certain, doubts + doubtful
    return faults, doubts


def test_a_correct_model_passes(case, generator):
    decoder, servable, rows = case
    assert not replayed(servable, load(generator, decoder), rows)


def another_vocabulary(servable):
    servable.features["source"] = NextPiece(servable.features["source"])


class NextPiece:
    """A feature whose vocabulary lacks one piece, so that all later ids are shifted by one."""

    def __init__(self, feature):
        self.feature, self.codec = feature, feature.codec

    def __call__(self, text):
        ids = self.feature(text)
        return tf.where(ids > 40, ids - 1, ids)


def no_normalization(servable):
    servable.clean = lambda field, text: text


def swapped_weights(servable):
    weight = max(servable.model.weights, key=lambda weight: weight.shape[0] if len(weight.shape) == 2 else 0)
    weight.assign(weight.numpy()[::-1])


@pytest.mark.parametrize("plant", [another_vocabulary, no_normalization, swapped_weights])
def test_an_injected_fault_is_detected(case, generator, plant):
    decoder, servable, rows = case
    exported = load(generator, decoder)
    plant(exported)
    assert replayed(servable, exported, rows)


def test_another_search_is_detected(case, generator):
    decoder, servable, rows = case
    assert replayed(servable, load(generator, decoder, **OTHERS[decoder]), rows)


def test_only_answers_within_rounding_pass(case, monkeypatch):
    decoder, servable, rows = case
    # This much rounding changes many rows, and sampled answers most easily.
    monkeypatch.setattr(_rounding, "ROUNDING", 3e-4 if decoder == "sample" else 3e-3)
    monkeypatch.setattr(_rounding, "NUM_PERTURBATIONS", 128)
    doubts = []
    for at, row in enumerate(rows):
        others = [
            one
            for one in _rounding.perturbed_answers(servable, row, seed=7)
            if [*_replay.answer_differences(row, "nbest", one)]
        ]
        texts = [one["texts"] for one in others]
        often = max(others, key=lambda one: texts.count(one["texts"]), default=None)
        if often and texts.count(often["texts"]) >= 8:
            doubts.append({"at": at, "faults": ["differs"], "answers": {"nbest": often}, "log_probs": []})
        if len(doubts) == 2:
            break
    assert doubts
    assert not _rounding.unexplained_faults(servable, rows, doubts)
    monkeypatch.setattr(_rounding, "ROUNDING", 1e-9)
    assert len(_rounding.unexplained_faults(servable, rows, doubts)) >= len(doubts)


def test_only_likelihoods_within_amplified_rounding_pass(case, generator, monkeypatch):
    decoder, servable, rows = case
    exported = load(generator, decoder)
    for number, weight in enumerate(exported.weights):
        noise = tf.random.stateless_uniform(tf.shape(weight), [9, number], -1.0, 1.0)
        weight.assign(weight * (1 + 1e-3 * noise))
    doubts = [doubt for doubt in replay_of(servable, exported, rows)[1] if doubt["log_probs"]]
    assert len(doubts) > len(rows) / 4
    texts = {at: row["texts"] for at, row in enumerate(rows)}
    doubts = [
        doubt
        for doubt in doubts
        if all(one["texts"] == texts[doubt["at"]][: len(one["texts"])] for one in doubt["answers"].values())
    ]  # those without another answer
    weights = [weight.numpy() for weight in servable.weights]
    # The scores of a search may differ by as much, where the likelihoods that another signature gives agree.
    rescored = [doubt | {"log_probs": []} for doubt in doubts if doubt["answers"]][: _rounding.MIN_DOUBTS]
    assert rescored
    for some in (doubts, rescored):
        assert len(_rounding.unexplained_faults(servable, rows, some)) >= len(some)
    monkeypatch.setattr(_rounding, "LAST_DIGIT", 3e-3)
    for some in (doubts, rescored):
        assert not _rounding.unexplained_faults(servable, rows, some)
    assert all((weight.numpy() == before).all() for weight, before in zip(servable.weights, weights, strict=True))


NAN, INFINITY = float("nan"), float("inf")
BEST = {"texts": ["a"], "scores": [-2.0], "single": True}
ALL = {"texts": ["a", "b"], "scores": [-2.0, -3.0]}


@pytest.mark.parametrize(
    ("expected", "log_prob", "answers", "passes"),
    [
        (-2.0, -2.001, [BEST, ALL], True),
        (-2.0, -2.5, [BEST, ALL], False),
        (-2.0, NAN, [BEST, ALL], False),
        (-2.0, -INFINITY, [BEST, ALL], False),
        (-INFINITY, -2.0, [BEST, ALL], False),
        (-INFINITY, NAN, [BEST, ALL], False),
        (-INFINITY, -INFINITY, [BEST, ALL], True),
        (-2.0, -2.001, [{**BEST, "scores": [NAN]}, ALL], False),
        (-2.0, -2.001, [BEST, {"texts": ["a", "b"], "scores": [-2.0, -INFINITY]}], False),
        (-2.0, -2.001, [BEST, {"texts": ["a"], "scores": [-2.0]}], False),
        (-2.0, -2.001, [BEST, {"texts": [], "scores": []}], False),
        (-2.0, -2.001, [BEST, {"texts": ["b", "a"], "scores": [-2.0, -3.0]}], False),
    ],
)
def test_amplified_rounding_explains_no_score_that_is_not_finite_and_no_missing_answer(
    monkeypatch, expected, log_prob, answers, passes
):
    row = {"texts": ["a", "b"], "scores": [-2.0, -3.0], "log_prob": expected}
    perturbed = [[{**row, "log_prob": value, "scores": [-2.0005, NAN]}] for value in (-2.0005, NAN, -INFINITY)]
    monkeypatch.setattr(_rounding, "NUM_WEIGHTS", len(perturbed))
    monkeypatch.setattr(_rounding, "answers_of_perturbed_weights", lambda servable, rows, seed: perturbed[seed])
    doubt = {"at": 0, "faults": ["differs"], "answers": dict(enumerate(answers)), "log_probs": [log_prob]}
    assert _rounding.amplified_faults(None, [row], [doubt]) == ([] if passes else ["differs"])


def test_pictures_in_golden_rows_are_read_as_they_were():
    row = {
        "raw": {"image": b"\xff", "text": "a"},
        "features": {"image": {"bytes": b"\x00\xff"}},
        "origin": "test row 1",
    }
    assert _golden.from_json(json.loads(json.dumps(_golden.to_json(row)))) == row


def test_a_failed_replay_names_a_cure_and_training_side_code_decides(generator, tmp_path):
    model = shutil.copytree(generator["export"] / "model", tmp_path / "model")
    golden = (model / loader.GOLDEN).read_text().splitlines()
    at = next(at for at, line in enumerate(golden) if "the dog" in line)
    golden[at] = golden[at].replace('"texts": ["', '"texts": ["x')
    (model / loader.GOLDEN).write_text("\n".join(golden) + "\n")
    with pytest.raises(ModelError, match="the trained model is kept: `textpipe export PIPELINE`"):
        export.replay(model)
