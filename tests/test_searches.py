"""Searches and pruners by themselves, on functions whose best point is known. No model is trained."""

import math
import statistics

import pytest

optuna = pytest.importorskip("optuna")

from textpipe.config import plugins
from textpipe.pipeline.tune_settings import Parameter
from textpipe.tuning.space import Space

SPACE = Space(
    "x.toml",
    {},
    [Parameter("x", low=1e-4, high=1e2, log=True), Parameter("y", low=-1.0, high=1.0), Parameter("z", ("a", "b", [1]))],
)


def loss(assignment):
    return (math.log10(assignment["x"]) - 1) ** 2 + (assignment["y"] - 0.5) ** 2 + (assignment["z"] != [1])


def search(kind, count, *, seed=1, **options):
    """The assignments of the first trials of a search."""
    module = plugins.find("searches", kind)
    config = module.Config(kind=kind, **options)
    study = optuna.create_study()
    found = []
    for index in range(count):
        study.sampler = module.sampler(config, SPACE, seed=seed, index=index)
        trial = study.ask()
        found.append(SPACE.suggest(trial))
        study.tell(trial, loss(found[-1]))
    return found


def test_random_trials_fill_ranges_on_their_scale_and_depend_on_the_seed():
    found = search("random", 200)
    logs = [math.log10(one["x"]) for one in found]
    assert statistics.mean(logs) == pytest.approx(-1, abs=0.4) and min(logs) < -3.5 and max(logs) > 1.5
    assert all(50 < sum(one["z"] == choice for one in found) < 85 for choice in ("a", "b", [1]))
    assert search("random", 3) == found[:3] != search("random", 3, seed=2)


def test_tpe_is_random_for_its_first_trials_and_then_finds_the_minimum_sooner():
    found = search("tpe", 8, startup_trials=6)
    drawn = search("random", 8)
    assert found[:6] == drawn[:6] and found[6] != drawn[6]
    ends = {kind: [min(map(loss, search(kind, 50, seed=seed))) for seed in range(1, 6)] for kind in ("tpe", "random")}
    assert statistics.median(ends["tpe"]) < statistics.median(ends["random"]) / 2


def test_tpe_with_more_candidates_follows_its_model_more_closely():
    few, many = (
        statistics.mean(
            statistics.mean(map(loss, search("tpe", 40, seed=seed, candidates=count)[20:])) for seed in range(1, 5)
        )
        for count in (1, 48)
    )
    assert many < few


def test_a_grid_tries_each_combination_once_in_an_order_of_the_seed():
    count = plugins.find("searches", "grid").num_trials(plugins.find("searches", "grid").Config(points=3), SPACE)
    assert count == 3 * 3 * 3
    found = search("grid", count, points=3)
    assert len({repr(one) for one in found}) == count
    other = search("grid", count, points=3, seed=2)
    assert found != other and sorted(map(repr, found)) == sorted(map(repr, other))
    assert {one["y"] for one in search("grid", 45, points=5)} == {-1.0, -0.5, 0.0, 0.5, 1.0}


def survivors(kind, curves, **options):
    """How many validations each trial has before the pruner ends it; curves: the losses of each, one trial after another."""
    module = plugins.find("pruners", kind)
    study = optuna.create_study(pruner=module.pruner(module.Config(kind=kind, **options)))
    lengths = []
    for curve in curves:
        trial = study.ask()
        for step, value in enumerate(curve, start=1):
            trial.report(value, step)
            if trial.should_prune():
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                break
        else:
            study.tell(trial, curve[-1])
        lengths.append(step)
    return lengths


GOOD, BAD, LATE = [3, 2, 1, 1], [9, 9, 9, 9], [9, 1, 1, 1]


def test_the_median_rule_ends_trials_that_are_worse_than_half_of_the_others():
    assert survivors("none", [GOOD, GOOD, BAD]) == [4, 4, 4]
    assert survivors("median", [GOOD, GOOD, BAD, GOOD], startup_trials=2) == [4, 4, 1, 4]
    assert survivors("median", [GOOD, GOOD, BAD], startup_trials=3) == [4, 4, 4]
    # With a warm-up, one that starts badly may recover.
    assert survivors("median", [GOOD, GOOD, LATE, BAD], startup_trials=2, warmup=1) == [4, 4, 4, 2]


def test_halving_lets_a_share_pass_each_rung():
    curves = [[float(at)] * 8 for at in (4, 3, 2, 1)] + [[9.0] * 8] * 4
    halved = survivors("halving", curves, factor=2, first=1)
    assert halved[4:] == [1, 1, 1, 1]  # worse than half of those before at the first rung
    assert min(survivors("halving", curves, factor=2, first=2)) == 2
    # The second best of five is in the better half, but not the best quarter.
    five = [[float(at)] * 8 for at in (1, 2, 3, 4, 1.5)]
    assert survivors("halving", five, factor=2)[-1] > survivors("halving", five, factor=4)[-1] == 1
