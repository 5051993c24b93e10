"""A study from its pipeline file to the best pipeline: trials in this process or in several, then one run on the test split."""

import dataclasses
import gc
import json
import logging
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from textpipe.config.sections import load, override
from textpipe.data import shards
from textpipe.errors import ConfigError, DataError, ThresholdError
from textpipe.pipeline import bundled, runner
from textpipe.pipeline.runner import Pipeline
from textpipe.tuning import best_file, results, retention, storage, trial, workers
from textpipe.tuning.options import OnStage, OnTrial, Options
from textpipe.tuning.results import Outcome
from textpipe.tuning.study import TEST, Study

POLL_SECONDS = 1.0
MAX_FAILURES = 5  # a study in which every trial failed stops after so many

NAME = re.compile(r"[\w+=-][\w +=,.-]*")  # part of a file name and of a URL


log = logging.getLogger(__name__)


def prepare(file: str | Path, overrides: tuple[str, ...], options: Options) -> Study:
    """The study of a pipeline file, not opened yet. Raises ConfigError if its settings are invalid."""
    storage.library()
    path = bundled.find(file)
    tables = override(load(path), overrides)
    pipeline = Pipeline.from_tables(path, tables)
    if pipeline.tune is None:
        raise ConfigError(
            f"{path}: has no table [tune]; add one that names settings, for example\n"
            '[tune.settings]\n"train.optimizer.learning_rate" = { low = 1e-4, high = 1e-2, log = true }'
        )
    name = options.name or pipeline.name
    if not NAME.fullmatch(name):
        raise ConfigError(f"--name {name}: expected letters, digits, spaces and -_+=,. in the name of a study")
    for table in ("tune", "engine"):  # part of no result
        tables.pop(table, None)
    study = Study(pipeline, tables, options.artifacts, storage.Place(options.artifacts, name, options.storage))
    study.check()
    return study


def tune(
    file: str | Path,
    overrides: tuple[str, ...],
    options: Options,
    *,
    new: bool = False,
    on_trial: OnTrial = lambda outcome, trial: None,
    on_stage: OnStage = lambda stage, state, text: None,
) -> Outcome:
    """Begin or continue a study, write its best pipeline, and run that whole once.

    on_trial is called when a trial has ended; on_stage is the `on_event` of runner.run.
    Raises ConfigError if every trial fails or the stored study is of another pipeline, DataError without validation rows.
    After KeyboardInterrupt the same call continues. A ThresholdError of the last run carries the Outcome as `result`.
    """
    study = prepare(file, overrides, options)
    output = options.output or best_file.default_path(Path(study.pipeline.place))
    best_file.check(output)
    check_validation_rows(study, on_stage)
    study.open(new=new)
    while True:
        if options.workers > 1:
            workers.run(study, overrides, options, on_trial)
        else:
            work(study, on_trial, on_stage)
        if not wait_for_others(study):
            break
    check_failures(study, final=True)
    outcome = results.read(study)
    if len(outcome.ended) >= outcome.num_trials:
        retention.discard(study, finished=True)
    best = outcome.best
    assert best is not None
    best_file.write(output, outcome, study.space, best)
    saved_model, missed = None, None
    if options.test:
        try:
            saved_model = run_best(study, output, options, on_stage)
        except ThresholdError as error:
            missed = error
    outcome = dataclasses.replace(results.read(study, importance=True), best_pipeline=output, saved_model=saved_model)
    if missed:
        missed.result = outcome
        raise missed
    return outcome


def check_validation_rows(study: Study, on_stage: OnStage) -> None:
    """Raises DataError if the pipeline's rows have no validation split."""
    pipeline = dataclasses.replace(study.pipeline, name=study.run_name)
    result = runner.run(pipeline, until="ingest", artifacts=study.artifacts, on_event=on_stage)
    if not shards.count_rows(result.artifacts["ingest"].path, "valid"):
        raise DataError(
            f"{study.pipeline.place} [tune]: trials are compared on validation rows, but the split valid is empty; "
            "set [ingest] split = { valid = 0.1 }, or give it a file"
        )


def wait_for_others(study: Study) -> bool:
    """Wait for the last trials of other processes, which may be the best; whether one was lost and is to be run again."""
    if len(study.stored) < study.num_trials:
        return False
    if study.is_busy():
        log.info("waiting for the trials of other processes")
    while study.is_busy():
        time.sleep(POLL_SECONDS)
    with study.place.lock():
        study.recover()
    return any(trial.state.name == "WAITING" for trial in study.stored)


def work(study: Study, on_trial: OnTrial, on_stage: OnStage, *, may_go_on: Callable[[], bool] = lambda: True) -> None:
    """Run trials in this process until there are enough, the time is up, or `may_go_on` is false.

    Raises ConfigError if every trial fails.
    """
    began = time.monotonic()
    with study.place.owner() as owner:
        while may_go_on():
            check_failures(study)
            if study.tune.max_minutes and time.monotonic() - began >= 60 * study.tune.max_minutes:
                log.info("no trial starts after %g minutes", study.tune.max_minutes)
                return
            ticket = study.next(owner)
            if ticket is None:
                return
            trial.run(study, ticket, on_stage)
            with study.place.lock():
                retention.discard(study)
            gc.collect()  # the command line collects rarely, and a trial leaves a model behind
            outcome = results.read(study)
            on_trial(outcome, outcome.records[study.index(study.stored, ticket.number)])


def check_failures(study: Study, *, final: bool = False) -> None:
    """Raises ConfigError if all trials failed, at least MAX_FAILURES of them or in the end; then also if none is complete."""
    outcome = results.read(study)
    ended = outcome.ended
    failed = [trial for trial in ended if trial.state == "failed"]
    if failed and len(failed) == len(ended) and (final or len(failed) >= MAX_FAILURES):
        first = failed[0]
        settings = ", ".join(f"{key} = {results.format_value(value)}" for key, value in first.settings.items())
        raise ConfigError(
            f"{study.pipeline.place} [tune]: all {len(failed)} trials of study {outcome.name!r} failed. The first, with {settings}: "
            f"{first.error}\nCorrect the file and start again with --new"
        )
    if final and outcome.best is None:
        reason = "they were all pruned; use a milder pruner" if ended else "no trial has ended; give more max_minutes"
        raise ConfigError(f"{study.pipeline.place} [tune]: study {outcome.name!r} has no complete trial: {reason}")


def run_best(study: Study, file: Path, options: Options, on_stage: OnStage) -> Path | None:
    """Run the best pipeline whole and store its scores with the study; returns the published model.

    Raises ThresholdError after the scores are stored.
    """
    missed = None
    try:
        result = runner.run(
            dataclasses.replace(Pipeline.load(file), engine=study.pipeline.engine),
            artifacts=options.artifacts,
            saved_models=options.saved_models,
            on_event=on_stage,
        )
    except ThresholdError as error:
        if error.result is None:
            raise
        result, missed = error.result, error
    report = json.loads((result.artifacts["evaluate"].path / "metrics.json").read_text(encoding="utf-8"))
    scores: dict[str, Any] = {name: report[name] for name in ("split", "rows", "metrics", "intervals")}
    if study.optuna.user_attrs.get(TEST) != scores:
        study.optuna.set_user_attr(TEST, scores)
    if missed:
        raise missed
    return result.saved_model
