"""Studies over a tiny classifier: continued after a kill, pruned, kept within the disk, and tested once."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import tiny
from click.testing import CliRunner

pytest.importorskip("optuna")

import textpipe
from textpipe.cli import main
from textpipe.errors import ConfigError, DataError, ResourceError, ThresholdError
from textpipe.pipeline import runner
from textpipe.report import study as report
from textpipe.training import loop, observation
from textpipe.tuning import results, retention, search, storage
from textpipe.tuning.trial import BUILT, PATHS

ROOT = Path(__file__).parents[1]
L2 = {"model.l2": {"low": 0.01, "high": 10.0, "log": True}}
TABLES = {**tiny.CLASSIFIER, "train": {"epochs": 1}}


def pipeline_text(settings, *, ingest=None, train=None, require=None, **tune):
    tables = {**TABLES, "ingest": {"files": "rows.tsv", "split": {"valid": 0.2, "test": 0.2}, **(ingest or {})}}
    tables["train"] = {**tables["train"], **(train or {})}
    tables |= {"evaluate": {"resamples": 0, **({"require": require} if require else {})}}
    varied = {json.dumps(key): value for key, value in settings.items()}
    return f"{tiny.toml(tables)}[tune]\n{tiny.toml({'trials': 2, **tune})}[tune.settings]\n{tiny.toml(varied)}"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A store that has the results of the stages before train."""
    folder = tmp_path_factory.mktemp("prepared")
    tiny.classifier_rows(folder / "rows.tsv", 120)
    (folder / "mail.toml").write_text(pipeline_text(L2), encoding="utf-8")
    with contextlib.chdir(folder):
        runner.run(runner.Pipeline.load("mail.toml"), until="vectorize")
    return folder / "data"


@pytest.fixture
def project(tmp_path, monkeypatch, prepared):
    """A function that writes mail.toml with a table [tune]; the working directory is the project."""
    monkeypatch.chdir(tmp_path)
    tiny.classifier_rows(tmp_path / "rows.tsv", 120)
    shutil.copytree(prepared, "data")

    def write(settings=L2, **tables):
        Path("mail.toml").write_text(pipeline_text(settings, **tables), encoding="utf-8")
        return "mail.toml"

    return write


def states(outcome):
    return [trial.state for trial in outcome.records]


def results_of(stage):
    return sorted(path.parent.name for path in Path("data/artifacts", stage).glob("*/manifest.json"))


def values(outcome):
    return [(trial.number, trial.state, trial.value, trial.settings) for trial in outcome.records]


def test_a_study_ends_with_its_best_pipeline_scored_once_on_the_test_split(project):
    built = []
    file = project(metric="accuracy", seed=2)
    splits = []

    def after_trial(outcome, trial):
        splits.extend(json.loads(Path("data/artifacts/evaluate", name, "metrics.json").read_text())["split"] for name in results_of("evaluate"))  # fmt: skip
        built.append(trial.number)

    outcome = textpipe.tune(file, on_trial=after_trial)
    assert built == [1, 2] and set(splits) == {"valid"}  # no test score before the last trial
    assert outcome.test["split"] == "test" and outcome.best.value == max(trial.value for trial in outcome.records)
    assert outcome.saved_model == Path("saved_models/mail_best/1")
    # `textpipe run` of the written file finds everything in the store.
    steps = textpipe.plan(outcome.best_pipeline)
    assert {step.state for step in steps} == {"cached"}
    assert textpipe.load(outcome.best_pipeline).sections["train"].model.l2 == outcome.best.settings["model.l2"]
    assert outcome.best_pipeline.read_bytes() == textpipe.tune(file).best_pipeline.read_bytes()


KILL = """
import os, signal, sys
from textpipe.training import loop
from textpipe.tuning import search
update, count = loop.Loop.update, 0
def update_or_die(*arguments):
    global count
    count += 1
    if count == int(sys.argv[1]):
        os.kill(os.getpid(), signal.SIGKILL)
    return update(*arguments)
loop.Loop.update = update_or_die
search.tune("mail.toml", (), search.Options(test=False))
"""


def test_a_study_killed_in_the_middle_of_a_trial_goes_on_as_if_it_had_not_been(project, monkeypatch):
    file = project(
        {**L2, "train.batch_rows": [16, 32]}, train={"epochs": 2, "checkpoint_steps": 1}, trials=4,
        sampler={"kind": "tpe", "startup_trials": 2},
    )  # fmt: skip
    update, updates, ends = loop.Loop.update, [], []

    def counted(*arguments):
        updates.append(1)
        return update(*arguments)

    monkeypatch.setattr(loop.Loop, "update", counted)
    whole = textpipe.tune(
        file, name="whole", test=False, output="whole.toml", on_trial=lambda *_: ends.append(len(updates))
    )
    moment = ends[2] - 1  # the last update but one of the third trial
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    # The stages of `whole` must not answer for the killed one.
    os.rename("data", "data_of_whole")
    killed = subprocess.run([sys.executable, "-c", KILL, str(moment)], env=environment, capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    study = search.prepare(file, (), search.Options())
    study.open(create=False)
    assert states(results.read(study)) == ["complete", "complete", "running"]
    again = textpipe.tune(file, test=False)
    assert values(again) == values(whole)
    stored = [trial.user_attrs for trial in study.optuna.get_trials() if "lost" in trial.user_attrs]
    assert [one["lost"] for one in stored] == ["its process ended"]


def test_ctrl_c_queues_the_trial_again_and_the_command_says_how_to_go_on(project, monkeypatch):
    file, update = project(train={"epochs": 2}), loop.Loop.update
    counts = iter(range(1, 1000))

    def interrupted(*arguments):
        if next(counts) == 5:
            signal.raise_signal(signal.SIGINT)
        return update(*arguments)

    monkeypatch.setattr(loop.Loop, "update", interrupted)
    done = CliRunner().invoke(main, ["tune", file, "--no-test"])
    assert done.exit_code == 130 and "the same command continues the study" in done.output
    monkeypatch.setattr(loop.Loop, "update", update)
    outcome = textpipe.tune(file, test=False)
    assert states(outcome) == ["complete"] * 2


def test_failed_trials_are_recorded_and_do_not_stop_the_study(project, monkeypatch):
    file, update = project({"model.l2": [0.1, 1.0, 2.0]}, sampler="grid", trials=3), loop.Loop.update

    def fails(self, *arguments):
        if self.model.l2 == 1.0:
            raise ValueError("no such <luck>")
        return update(self, *arguments)

    monkeypatch.setattr(loop.Loop, "update", fails)
    outcome = textpipe.tune(file, test=False)
    assert sorted(states(outcome)) == ["complete", "complete", "failed"]
    (failed,) = [trial for trial in outcome.records if trial.state == "failed"]
    assert failed.error == "ValueError: no such <luck>" and failed.settings == {"model.l2": 1.0}
    assert outcome.trials["error"].dropna().tolist() == [failed.error]
    assert "no such &lt;luck&gt;" in report.document(outcome)


def test_a_study_in_which_every_trial_fails_stops_with_the_first_error(project, monkeypatch):
    file = project(trials=20)
    monkeypatch.setattr(loop.Loop, "update", lambda *arguments: 1 / 0)
    with pytest.raises(
        ConfigError, match=r"all 5 trials of study 'mail' failed. The first, with model.l2 = .*ZeroDivisionError"
    ) as error:
        textpipe.tune(file)
    assert "--new" in str(error.value) and not Path("mail_best.toml").exists()


@pytest.mark.prove
def test_only_the_best_trials_keep_their_models_and_other_runs_keep_theirs(project):
    file = project(keep=1, trials=3, sampler="random")
    textpipe.run(file, until="train")
    (own,) = results_of("train")
    outcome = textpipe.tune(file, test=False)
    assert len(outcome.ranked()) == 3
    kept = set(results_of("train")) - {own}
    assert len(kept) == 1 and own in results_of("train")
    plan = {step.stage: step for step in textpipe.plan(outcome.best_pipeline)}
    assert plan["train"].path.name in kept


def test_results_that_a_running_trial_reads_are_not_discarded(project):
    study = search.prepare(project(keep=1, trials=9), (), search.Options())
    study.open()
    shared, own, other = ("0" * 31 + digit for digit in "123")
    for name in (shared, own, other):
        (study.artifacts / "train" / name).mkdir(parents=True)
    for value, name in ((0.5, shared), (0.1, own), (0.9, other)):
        ended = study.next("worker")
        for attribute, content in ((BUILT, ["train"]), (PATHS, {"train": str(study.artifacts / "train" / name)})):
            ended.set_user_attr(attribute, content)
        study.optuna.tell(ended, value)
    study.next("worker").set_user_attr(PATHS, {"train": str(study.artifacts / "train" / shared)})
    gone = retention.discard(study)
    assert {path.name for path in gone} == {other}
    assert (study.artifacts / "train" / shared).is_dir() and (study.artifacts / "train" / own).is_dir()


@pytest.mark.parametrize("sampler", ["grid", "random"])
def test_a_model_is_trained_once_for_all_trials_that_differ_after_training(project, sampler):
    events = []
    settings = {"model.l2": [0.1, 1.0], "evaluate.limit": [4, 8, 12]}
    outcome = search.tune(
        project(settings, metric="accuracy", sampler=sampler, trials=6, keep=1, seed=1), (), search.Options(test=False),
        on_stage=lambda stage, state, text: events.append((stage, state)),
    )  # fmt: skip
    assert {trial.settings["model.l2"] for trial in outcome.records} == {0.1, 1.0}
    assert events.count(("train", "done")) == 2
    assert len(results_of("train")) == 1, "the models of all but the best trials are deleted in the end"


def test_a_trial_with_the_settings_of_an_earlier_one_repeats_its_value(project):
    events = []
    outcome = search.tune(
        project({"model.l2": [0.1, 1.0]}, sampler="random", trials=4), (), search.Options(test=False),
        on_stage=lambda stage, state, text: events.append((stage, state)),
    )  # fmt: skip
    assert len({trial.value for trial in outcome.records}) == 2
    assert [trial.same_as is None for trial in outcome.records].count(True) == 2 == events.count(("train", "done"))


def test_a_pruner_ends_trials_and_leaves_no_checkpoint_of_them(project):
    file = project(
        {"train.optimizer.learning_rate": [1e-1, 1e-7, 1e-6]}, train={"epochs": 4, "optimizer": {"kind": "adam"}},
        sampler="grid", trials=3, seed=3, pruner={"kind": "median", "startup_trials": 1},
    )  # fmt: skip
    outcome = textpipe.tune(file, test=False)
    assert outcome.records[0].settings == {"train.optimizer.learning_rate": 0.1}
    assert states(outcome) == ["complete", "pruned", "pruned"]
    assert [len(trial.validations) for trial in outcome.records] == [4, 1, 1]
    assert outcome.records[1].value == outcome.records[1].validations[-1]
    assert not list(Path("data/artifacts/train").glob("*.work"))
    page = report.document(outcome)
    assert "pruned, at its last validation" in page


def test_an_observer_sees_every_validation_and_a_run_that_it_ended_resumes_bit_for_bit(project):
    project(train={"epochs": 3, "optimizer": {"kind": "adam", "learning_rate": 0.01}})

    def train(folder):
        result = runner.run(runner.Pipeline.load("mail.toml"), until="train", artifacts=Path(folder))
        path = result.artifacts["train"].path
        return {
            file.name: file.read_bytes() for file in path.iterdir() if file.is_file() and file.name != "manifest.json"
        }

    lengths = []

    def end_at_second(history, resume):
        lengths.append(len(history))
        if len(history) == 2:
            raise ArithmeticError

    whole = train("whole")
    with pytest.raises(ArithmeticError), observation.observing(end_at_second):
        train("ended")
    assert lengths == [1, 2]
    with observation.observing(lambda history, resume: lengths.append(len(history))):
        assert train("ended") == whole
    assert lengths == [1, 2, 2, 3]  # the second epoch again, from the checkpoint of the first


def test_a_changed_pipeline_is_refused_by_name_and_new_begins_again(project):
    textpipe.tune(project(trials=1), test=False)
    file = project(train={"epochs": 2}, trials=1)
    with pytest.raises(
        ConfigError,
        match=re.escape("changed since study 'mail' began: train.epochs: 1 -> 2. Start it again with --new"),
    ):
        textpipe.tune(file, test=False)
    assert len(textpipe.tune(file, name="other", test=False).records) == 1
    assert len(textpipe.tune(file, new=True, test=False).records) == 1
    Path("rows.tsv").write_text(Path("rows.tsv").read_text() + "one row more\tno\n")
    with pytest.raises(ConfigError, match=re.escape("began: rows.tsv. Start")):
        textpipe.tune(file, test=False)


def test_more_trials_continue_a_study(project):
    first = textpipe.tune(project(trials=1), test=False)
    second = textpipe.tune(project(trials=2), test=False)
    assert values(second)[:1] == values(first) and len(second.records) == 2


def test_another_seed_tries_other_settings(project):
    first, second = (textpipe.tune(project(trials=1, seed=seed), name=f"seed{seed}", test=False) for seed in (1, 2))
    assert first.best.settings != second.best.settings


def test_no_trial_starts_after_the_time_is_up(project):
    with pytest.raises(ConfigError, match="no trial has ended; give more max_minutes"):
        textpipe.tune(project(max_minutes=1e-9), test=False)
    assert len(textpipe.tune(project(max_minutes=60), test=False).records) == 2


@pytest.mark.prove
def test_two_workers_share_a_grid_and_build_nothing_twice(project):
    file = project({"model.l2": [0.1, 0.5, 1.0]}, sampler="grid", trials=3, keep=3)
    done = CliRunner().invoke(main, ["tune", file, "--workers", "2", "--no-test", "--json", "-q"])
    table = json.loads(done.output)
    assert sorted(trial["settings"]["model.l2"] for trial in table["trials"]) == [0.1, 0.5, 1.0]
    assert {trial["state"] for trial in table["trials"]} == {"complete"}
    assert len(results_of("train")) == 3 and len(results_of("vectorize")) == 1
    assert not list(Path("data/artifacts/studies").glob("*.worker"))


def test_a_storage_url_holds_the_study_and_a_wrong_one_is_refused_without_its_password(project, tmp_path):
    file = project({"model.l2": [0.5]}, sampler="grid", trials=1)
    url = f"journal://{tmp_path}/journal.log"
    assert len(textpipe.tune(file, storage=url, test=False).records) == 1
    assert not Path("data/artifacts/studies/mail.db").exists()
    with pytest.raises(ConfigError, match="cannot be opened") as error:
        textpipe.tune(file, storage="nosuch://me:secret@host/db", test=False)
    assert "secret" not in str(error.value) and "nosuch://me@host/db" in str(error.value)


def test_trials_of_a_lost_process_are_told_from_those_of_a_living_one(tmp_path):
    place = storage.Place(tmp_path, "mail", None)
    with place.owner() as name:
        probe = f"from pathlib import Path; from textpipe.tuning import storage; print(storage.Place(Path({str(tmp_path)!r}), 'mail', None).is_lost({{'owner': {name!r}}}))"
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
        assert (
            subprocess.run([sys.executable, "-c", probe], env=environment, capture_output=True, text=True).stdout
            == "False\n"
        )
    assert place.is_lost({"owner": name}) and place.is_lost({})
    shared = storage.Place(tmp_path, "mail", "mysql://host/db")  # a file of another machine is not here
    assert shared.is_lost({"owner": "x", "beat": 0}) and not shared.is_lost({"owner": "x", "beat": 4e9})


def test_rows_without_a_validation_split_are_refused(project, tmp_path):
    lines = (tmp_path / "rows.tsv").read_text().splitlines()
    (tmp_path / "test.tsv").write_text("\n".join(lines[:20]) + "\n")
    file = project(ingest={"files": {"train": "rows.tsv", "test": "test.tsv"}, "split": {"valid": 0}})
    with pytest.raises(DataError, match="the split valid is empty"):
        textpipe.tune(file)


def test_a_pipeline_without_the_table_or_optuna_is_refused_with_the_cure(project, monkeypatch):
    file = project()
    text = Path(file).read_text()
    Path("plain.toml").write_text(text[: text.index("[tune]")])
    with pytest.raises(ConfigError, match=r"has no table \[tune\]"):
        textpipe.tune("plain.toml")
    with pytest.raises(ConfigError, match=r"the grid has 5 combinations, more than trials = 2"):
        textpipe.tune(project(sampler="grid"))
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ResourceError, match=re.escape("pip install 'textpipe[tune]'")):
        textpipe.tune(file)


def test_the_command_prints_the_best_file_and_shows_the_study_without_a_trial(project):
    file = project(require={"log_loss": 0}, trials=2)
    runs = CliRunner()
    missing = runs.invoke(main, ["tune", file, "--show"])
    assert missing.exit_code == 2 and "has no study 'mail'" in missing.output
    done = runs.invoke(main, ["tune", file, "--no-test"])
    assert done.exit_code == 0 and done.stdout == "mail_best.toml\n", done.output
    assert "trial   2 of 2  complete  valid_loss" in done.stderr
    shown = runs.invoke(main, ["tune", file, "--show"])
    assert shown.exit_code == 0 and "mail: 2 complete" in shown.stderr and "trial   " not in shown.stderr
    page = Path("reports/mail_study.html").read_text(encoding="utf-8")
    assert "<script" not in page and "src=" not in page and page.count("<tr>") > 5
    # A missed threshold of the best pipeline ends with its code, after the report and the file were written.
    missed = runs.invoke(main, ["tune", file])
    assert missed.exit_code == ThresholdError.exit_code and "log_loss at most 0" in missed.output
    assert search.prepare(file, (), search.Options()).place.name == "mail"


@pytest.mark.prove
def test_importance_finds_the_setting_that_matters(project):
    file = project(
        {"train.optimizer.learning_rate": [1e-5, 1e-1], "train.curve_steps": [10, 20]}, sampler="grid", trials=4,
        train={"optimizer": {"kind": "adam"}},
    )  # fmt: skip
    outcome = textpipe.tune(file, test=False)
    assert next(iter(outcome.importance)) == "train.optimizer.learning_rate"
    assert outcome.importance["train.optimizer.learning_rate"] > 0.9
    assert sum(outcome.importance.values()) == pytest.approx(1)
