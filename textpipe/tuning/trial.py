"""One trial: the pipeline of an assignment, run up to the stage that measures the metric."""

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from textpipe.cache import mirror
from textpipe.errors import ResourceError, TextpipeError
from textpipe.pipeline import runner
from textpipe.training import observation
from textpipe.tuning.study import ERROR, INTERRUPTED, SETTINGS, Study

PATHS, BUILT, SECONDS, SAME_AS = "paths", "built", "seconds", "same_as"  # attributes of a trial
MAX_MESSAGE = 1000  # characters of an error that is stored


class Pruned(Exception):
    """The pruner ended the trial."""


def run(study: Study, trial: Any, on_stage: Callable[[str, str, str], None]) -> None:
    """Run a new trial and tell the study its value, that it was pruned, or why it failed.

    on_stage: the `on_event` of runner.run. Raises ResourceError, which is not the trial's fault, and KeyboardInterrupt,
    after the trial was queued again.
    """
    from optuna.trial import TrialState

    began = time.monotonic()
    try:
        with study.place.heartbeats(trial):
            assignment = study.space.suggest(trial)
            trial.set_user_attr(SETTINGS, assignment)
            twin = find_twin(study, trial, assignment)
            state, value = repeat(study, trial, twin) if twin else build(study, trial, assignment, on_stage)
        trial.set_user_attr(SECONDS, round(time.monotonic() - began, 2))
        study.optuna.tell(trial, value, state=state)
    except (KeyboardInterrupt, ResourceError):
        stored = next(stored_trial for stored_trial in study.stored if stored_trial.number == trial.number)
        if stored.state.name == "RUNNING":
            with study.place.lock():
                study.mark_lost(stored, INTERRUPTED)
        raise
    except Exception as error:
        trial.set_user_attr(SECONDS, round(time.monotonic() - began, 2))
        trial.set_user_attr(ERROR, describe(error, study.pipeline.place))
        study.optuna.tell(trial, state=TrialState.FAIL)


def describe(error: Exception, place: str) -> str:
    """An error as the message of a trial."""
    message = str(error).strip() or type(error).__name__
    if not isinstance(error, TextpipeError):
        message = f"{type(error).__name__}: {message}"
    return message.replace(f"{place} ", "")[:MAX_MESSAGE]


def find_twin(study: Study, trial: Any, assignment: dict[str, Any]) -> Any | None:
    """An earlier finished trial with the same settings, whose result this one would repeat."""
    for other in study.stored:
        done = other.state.name in ("COMPLETE", "PRUNED") and other.number != trial.number
        if done and other.user_attrs.get(SETTINGS) == json.loads(json.dumps(assignment)):
            return other
    return None


def repeat(study: Study, trial: Any, twin: Any) -> tuple[Any, float | None]:
    """The outcome of an equal trial."""
    trial.set_user_attr(SAME_AS, study.index(study.stored, twin.number) + 1)
    trial.set_user_attr(PATHS, twin.user_attrs.get(PATHS, {}))
    for step, value in twin.intermediate_values.items():
        trial.report(value, step)
    return twin.state, twin.value if twin.state.name == "COMPLETE" else None


def build(
    study: Study, trial: Any, assignment: dict[str, Any], on_stage: Callable[[str, str, str], None]
) -> tuple[Any, float | None]:
    """Run the stages that are not in the store yet; returns the trial's state and its value."""
    from optuna.trial import TrialState

    pipeline = study.space.pipeline(assignment, study.objective.extra)
    built: list[str] = []
    paths: dict[str, str] = {}
    folders: list[Path] = []  # of checkpoints

    def on_event(stage: str, state: str, text: str) -> None:
        first = text.partition("\n")[0]
        if state == "cached":
            paths[stage] = first
        elif state == "done":  # "12.3 s  PATH"
            built.append(stage)
            paths[stage] = first.partition("  ")[2]
        if state in ("cached", "done"):  # now, so that no other process discards what this trial reads
            trial.set_user_attr(PATHS, dict(paths))
        on_stage(stage, state, text)

    def after_validation(history: list[dict[str, Any]], resume: Path) -> None:
        folders[:] = [resume]
        if study.objective.stage != "train":
            return
        report(study, trial, history)
        if trial.should_prune():
            shutil.rmtree(resume, ignore_errors=True)
            raise Pruned

    named = runner.Pipeline(
        study.run_name, pipeline.place, pipeline.task, pipeline.sections, engine=study.pipeline.engine
    )
    try:
        with observation.observing(after_validation):
            runner.run(named, until=study.objective.stage, artifacts=study.artifacts, on_event=on_event)
    except Pruned:
        return TrialState.PRUNED, None
    except KeyboardInterrupt:
        raise
    except Exception:
        for resume in folders:
            discard_checkpoint(study.artifacts, resume)
        raise
    finally:
        trial.set_user_attr(BUILT, built)
    if study.objective.stage == "train":
        text = (Path(paths["train"]) / "history.jsonl").read_text(encoding="utf-8")
        report(study, trial, [json.loads(line) for line in text.splitlines()])
    return TrialState.COMPLETE, study.objective.read(Path(paths[study.objective.stage]))


def report(study: Study, trial: Any, history: list[dict[str, Any]]) -> None:
    """Report the metric of each validation that was not reported; of a resumed run, those before the kill too."""
    values = [line[study.objective.metric] for line in history if study.objective.metric in line]
    known = next(
        stored_trial for stored_trial in study.stored if stored_trial.number == trial.number
    ).intermediate_values
    for step, value in enumerate(values, start=1):
        if step not in known:
            trial.report(value, step)


def discard_checkpoint(artifacts: Path, resume: Path) -> None:
    """Delete the checkpoint of a failed trial, unless another process builds the same result."""
    work = resume.parent
    store = mirror.open_store(artifacts)
    with store.lock(work.with_name(work.name.removesuffix(".work"))):
        shutil.rmtree(work, ignore_errors=True)
