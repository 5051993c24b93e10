"""[tune]: which settings vary, what is refused, and the file of the best pipeline. No model is trained."""

import json
import re
import tomllib

import pytest
import tiny

from textpipe.config.sections import override
from textpipe.errors import ConfigError
from textpipe.pipeline import runner
from textpipe.pipeline.tune_settings import Parameter
from textpipe.tuning import best_file, definition
from textpipe.tuning.objective import Objective
from textpipe.tuning.results import Outcome, Trial
from textpipe.tuning.space import Space

RANGE = {"low": 0.01, "high": 1.0, "log": True}


def tables(settings, **tune):
    base = json.loads(json.dumps({**tiny.CLASSIFIER, "ingest": {"files": "rows.tsv"}}))
    return {**base, "tune": {"settings": settings, **tune}}


def pipeline(settings, **tune):
    return runner.Pipeline.from_tables("mail.toml", tables(settings, **tune))


def space(settings, **changes):
    loaded = pipeline(settings)
    base = {name: table for name, table in tables(settings).items() if name != "tune"}
    return Space("mail.toml", {**base, **changes}, loaded.tune.parameters)


def check(settings, **tune):
    loaded = pipeline(settings, **tune)
    definition.check_space(space(settings), Objective.of(loaded))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"low": 1, "high": 1}, "low below high"),
        ({"low": 0, "high": 1, "log": True}, "needs low above 0"),
        ({"low": 1, "high": 2, "stepp": 1}, "did you mean 'step'?"),
        ({"low": 1, "high": "2"}, "high: expected a number, found '2'"),
        ({"low": 1}, "high is missing"),
        ({"low": 1, "high": 2.5, "int": True}, "int = true needs whole numbers"),
        ({"low": 1, "high": 4, "log": True, "step": 1}, "cannot both be set"),
        ({"low": float("nan"), "high": 4}, "low: expected a number"),
        ([], "at least one value"),
        ([1, 1], "1 is listed twice"),
        (3, "expected a list of values or a range"),
        ({"choices": [1], "when": 3}, "when: expected a table"),
    ],
)
def test_a_faulty_setting_is_refused_with_its_key(value, message):
    with pytest.raises(ConfigError, match=re.escape(message)) as error:
        pipeline({"model.l2": value})
    assert str(error.value).startswith("mail.toml [tune]: settings model.l2: ")


def test_all_faulty_settings_are_reported_at_once_and_none_is_an_error():
    with pytest.raises(ConfigError, match="model.l2: .*\n.*train.epochs: ") as error:
        pipeline({"model.l2": [], "train.epochs": [2, 2]})
    assert str(error.value).count("\n") == 1
    with pytest.raises(ConfigError, match="names no setting"):
        pipeline({})
    with pytest.raises(ConfigError, match="cannot be varied"):
        pipeline({"tune.trials": [1, 2]})


def test_keys_may_be_quoted_or_nested():
    quoted = pipeline({"train.optimizer.learning_rate": RANGE}).tune.parameters
    nested = pipeline({"train": {"optimizer": {"learning_rate": RANGE}}}).tune.parameters
    assert quoted == nested == (Parameter("train.optimizer.learning_rate", low=0.01, high=1.0, log=True),)


def test_the_table_changes_no_cache_key(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tiny.classifier_rows(tmp_path / "rows.tsv", 20)
    plain, tuned = (
        runner.Pipeline.from_tables("mail.toml", one)
        for one in ({k: v for k, v in tables({}).items() if k != "tune"}, tables({"model.l2": [1, 2]}))
    )
    for stage in runner.ORDER:
        assert runner.stage_fingerprint(plain, stage, {}) == runner.stage_fingerprint(tuned, stage, {})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"train.epoch": [1, 2]}, "[train] epoch: unknown key; did you mean 'epochs'?"),
        ({"modell.l2": [1, 2]}, "modell: unknown key; did you mean 'model'?"),
        ({"train.epochs": {"low": 1, "high": 2.5}}, "for whole numbers add int = true"),
        ({"train.epochs": [0, 3]}, "greater than or equal to 1"),
        ({"seed.deep": [1]}, "'seed' is a value, not a table"),
        ({"evaluate.rare": [1, 2]}, "has no effect on valid_loss"),
        ({"model.l2": {"choices": [1, 2], "when": {"model.knd": "x"}}}, "model.knd is neither in the file nor varied"),
        (
            {"train.epochs": [1, 2], "model.l2": {"choices": [1, 2], "when": {"train.epochs": 3}}},
            "train.epochs is never 3",
        ),
    ],
)
def test_a_setting_that_cannot_vary_is_refused_before_any_trial(settings, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        check(settings)


def test_a_value_is_refused_only_if_it_fails_with_all_values_of_the_others():
    # lbfgs takes no l1, so each value of one setting is valid with some value of the other.
    settings = {"model.l1": [0.0, 0.1], "train.optimizer": ["lbfgs", "adam"]}
    loaded = tables(settings)
    del loaded["train"]["epochs"]
    parsed = runner.Pipeline.from_tables("mail.toml", loaded)
    loaded.pop("tune")
    definition.check_space(Space("mail.toml", loaded, parsed.tune.parameters), Objective.of(parsed))


@pytest.mark.parametrize(
    ("tune", "message"),
    [
        ({"metric": "valid_acuracy"}, "did you mean 'valid_accuracy'?"),
        ({"metric": "accuracy", "pruner": "median"}, "measured after training"),
    ],
)
def test_a_metric_that_no_trial_measures_is_refused(tune, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        Objective.of(pipeline({"model.l2": [1, 2]}, **tune))


@pytest.mark.parametrize(
    ("settings", "metric", "counts", "reason"),
    [
        ({"model.loss": ["logistic", "squared_hinge"]}, "valid_loss", "rows", "another quantity for each model.loss"),
        ({"model.loss": ["logistic", "squared_hinge"]}, "valid_accuracy", "rows", None),
        ({"tokenize.codec.vocab_size": [300, 400]}, "valid_loss", "tokens", "per token, and tokenize.codec.vocab_size"),
        ({"tokenize.codec.vocab_size": [300, 400]}, "bleu", "tokens", None),
        ({"tokenize.codec.vocab_size": [300, 400]}, "valid_loss", "rows", None),
    ],
)
def test_a_metric_that_is_not_comparable_between_trials_is_named(settings, metric, counts, reason):
    reasons = list(definition.incomparable(space(settings), Objective(metric, "min", "train"), counts))
    assert [reason in one for one in reasons] == ([True] if reason else [])


def test_the_metric_and_its_direction():
    default = Objective.of(pipeline({"model.l2": [1, 2]}))
    assert (default.metric, default.direction, default.stage) == ("valid_loss", "min", "train")
    scored = Objective.of(pipeline({"model.l2": [1, 2]}, metric="log_loss"))
    assert (scored.direction, scored.stage, scored.extra["evaluate.split"]) == ("min", "evaluate", "valid")
    assert Objective.of(pipeline({"model.l2": [1, 2]}, metric="valid_accuracy")).optuna_direction == "maximize"


CONDITIONAL = {
    "model.dropout": {"choices": [0.1, 0.5], "when": {"model.kind": "feed_forward"}},
    "model.l2": {"low": 1, "high": 4, "step": 1.5, "when": {"model.kind": ["logistic_regression"]}},
    "model.kind": ["logistic_regression", "feed_forward"],
}


def test_a_grid_has_the_combinations_that_the_conditions_allow():
    grid = space(CONDITIONAL).grid(5)
    found = [space(CONDITIONAL).assignment(point) for point in grid]
    assert found == [
        {"model.kind": "logistic_regression", "model.l2": 1.0},
        {"model.kind": "logistic_regression", "model.l2": 2.5},
        {"model.kind": "logistic_regression", "model.l2": 4.0},
        {"model.kind": "feed_forward", "model.dropout": 0.1},
        {"model.kind": "feed_forward", "model.dropout": 0.5},
    ]
    for assignment in found:
        space(CONDITIONAL).pipeline(assignment)


def test_a_logarithmic_range_of_a_grid_has_equal_ratios_and_both_ends():
    points = [point["model.l2"] for point in space({"model.l2": {"low": 0.01, "high": 100, "log": True}}).grid(5)]
    assert points == pytest.approx([0.01, 0.1, 1, 10, 100]) and (points[0], points[-1]) == (0.01, 100)
    whole = space({"train.epochs": {"low": 1, "high": 4, "int": True}}).grid(10)
    assert [point["train.epochs"] for point in whole] == [1, 2, 3, 4]


def test_a_grid_that_cannot_be_listed_is_refused():
    many = {f"model.units{at}": list(range(20)) for at in range(9)}
    with pytest.raises(ConfigError, match="more than 100,000 combinations"):
        space(many).grid(2)


def test_conditions_that_depend_on_one_another_are_refused():
    circle = {
        "model.l2": {"choices": [1], "when": {"model.l1": 1}},
        "model.l1": {"choices": [1], "when": {"model.l2": 1}},
    }
    with pytest.raises(ConfigError, match="depend on one another"):
        space(circle)


def test_another_kind_of_a_plug_in_drops_the_keys_of_the_old_one():
    both = space({"model.kind": ["feed_forward"], "train.optimizer.momentum": [0.9]}, model={"kind": "pooled", "pooling": "max"},
                 train={"optimizer": "sgd"})  # fmt: skip
    changed = both.apply({"model.kind": "feed_forward", "train.optimizer.momentum": 0.9})
    assert changed["model"] == {"kind": "feed_forward"}
    assert changed["train"] == {"optimizer": {"kind": "sgd", "momentum": 0.9}}


def outcome(records):
    return Outcome("mail", "mail.toml", "valid_loss", "min", "tpe", "none", 1, 3, ("model.l2",), (), tuple(records))


def trial(number, value, settings, state="complete"):
    return Trial(number, state, value, settings, [], 1.0, None, None)


def test_the_best_file_is_the_pipeline_with_the_best_values_and_names_its_study(tmp_path):
    nasty = 'a "quote" \\ \x7f \n 🙂 #'
    base = {**tables({}), "ingest": {"files": "rows.tsv", "columns": {"text": nasty, "a b": 1}}}
    base.pop("tune")
    one = Space("mail.toml", base, [])
    best = trial(2, 0.25, {"model.l2": 1e-05, "train.epochs": 7})
    shown = outcome([trial(1, 0.5, {"model.l2": 1.0}), best])
    path = tmp_path / "mail_best.toml"
    best_file.write(path, shown, one, best)
    text = path.read_text(encoding="utf-8")
    assert tomllib.loads(text) == override(base, ("model.l2=1e-05", "train.epochs=7"))
    assert (
        'study "mail" of mail.toml' in text and "valid_loss 0.25; sampler tpe, pruner none, seed 1; 2 complete." in text
    )
    assert [line for line in text.splitlines() if line.endswith("# tuned")] == [
        "l2 = 1e-05  # tuned",
        "epochs = 7  # tuned",
    ]
    before = path.read_bytes()
    best_file.write(path, shown, one, best)  # its own file is replaced, by the same bytes
    assert path.read_bytes() == before
    path.write_text("task = 1\n")
    with pytest.raises(ConfigError, match="not written by `textpipe tune`"):
        best_file.check(path)


def test_the_best_trial_is_the_first_of_equal_complete_ones_and_the_curve_only_improves():
    shown = outcome(
        [
            trial(1, 0.5, {}),
            trial(2, 0.1, {}, "pruned"),
            trial(3, 0.3, {}),
            trial(4, None, {}, "failed"),
            trial(5, 0.3, {}),
        ]
    )
    assert shown.best.number == 3
    assert shown.best_so_far() == [0.5, 0.5, 0.3, 0.3, 0.3]
    assert [one.number for one in shown.ranked()] == [3, 5, 1]
    assert list(shown.trials["valid_loss"][:3]) == [0.5, 0.1, 0.3] and "0.3" in shown._repr_html_()
