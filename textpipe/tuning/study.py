"""A study: its trials in a storage, continued by every call, also after a kill.

A trial that was lost with its process is marked so and tried again, and takes its place: numbers of trials count those
that were not lost. What a search proposes depends on this number and on finished trials, so that a killed study goes on
as if it had not been.
"""

import functools
import json
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from textpipe.config import plugins
from textpipe.errors import ConfigError
from textpipe.pipeline.runner import Pipeline
from textpipe.pipeline.tune_settings import DEFAULT_TRIALS
from textpipe.tuning import definition
from textpipe.tuning.objective import Objective
from textpipe.tuning.space import Space
from textpipe.tuning.storage import OWNER, Place, library

LOST = "lost"  # of a trial: its process ended, or it was interrupted
RETRIES = "retries"  # of a trial: how often it was lost before
MAX_RETRIES = 3
INTERRUPTED = "interrupted"  # why a trial was lost, when it was by Ctrl-C
SETTINGS, ERROR, STARTED = "settings", "error", "started"  # of a trial
DEFINITION, TEST = "definition", "test"  # of a study

log = logging.getLogger(__name__)


class Study:
    """The trials of one pipeline with [tune]. `optuna` is Optuna's study."""

    def __init__(self, pipeline: Pipeline, tables: Mapping[str, Any], artifacts: Path, place: Place):
        assert pipeline.tune is not None
        self.pipeline, self.tune, self.artifacts, self.place = pipeline, pipeline.tune, artifacts, place
        self.objective = Objective.of(pipeline)
        self.space = Space(pipeline.place, tables, pipeline.tune.parameters)
        self.search = plugins.find("searches", self.tune.sampler.kind)

    def check(self) -> None:
        """Raises ConfigError for a space that cannot be searched."""
        definition.check_space(self.space, self.objective)
        train: Any = self.pipeline.sections["train"]
        for reason in definition.incomparable(self.space, self.objective, train.objective.COUNTS):
            log.warning("%s [tune]: %s", self.pipeline.place, reason)
        count = self.num_combinations
        if count is not None and self.tune.trials is not None and count > self.tune.trials:
            raise ConfigError(
                f"{self.pipeline.place} [tune] trials: the grid has {count:,} combinations, more than trials = "
                f'{self.tune.trials}; set trials = {count}, give fewer values, or use sampler = "random"'
            )

    @property
    def run_name(self) -> str:
        """The name under which trials run, so that `plan` compares the user's own runs with one another."""
        return f"{self.place.name}.study"

    @functools.cached_property
    def shares_training(self) -> bool:
        """Whether trials to come may use the trained model of a finished one; see definition.shares_training."""
        return definition.shares_training(self.space, self.objective, grid=self.num_combinations is not None)

    @property
    def num_combinations(self) -> int | None:
        """How many different trials the search has, if it says so."""
        count = getattr(self.search, "num_trials", None)
        return None if count is None else count(self.tune.sampler, self.space)

    @property
    def num_trials(self) -> int:
        """The number of trials to run in all."""
        count = self.num_combinations
        requested = self.tune.trials or count or DEFAULT_TRIALS
        return requested if count is None else min(requested, count)

    def open(self, *, new: bool = False, create: bool = True) -> None:
        """Connect to the stored study, or begin it.

        new: delete a stored study first. Raises ConfigError if the stored study has another definition, or without
        `create` if there is none.
        """
        optuna, name = library(), self.place.name
        if not create and not self.place.shared and not (self.place.folder / f"{name}.db").is_file():
            raise ConfigError(f"{self.missing} `textpipe tune {self.pipeline.place}` starts one")
        with self.place.lock():
            storage = self.storage = self.place.connect()
            known = {study.study_name for study in optuna.get_all_study_summaries(storage)}
            if new and name in known:
                self.optuna = optuna.load_study(study_name=name, storage=storage)
                if self.is_busy():
                    raise ConfigError(
                        f"--new: another process is working on study {name!r}; stop it first, or give another --name"
                    )
                optuna.delete_study(study_name=name, storage=storage)
                known.discard(name)
            if name not in known and not create:
                raise ConfigError(f"{self.missing} `textpipe tune {self.pipeline.place}` starts one")
            current = definition.define(self.pipeline, self.objective)
            self.optuna = optuna.create_study(
                study_name=name, storage=storage, direction=self.objective.optuna_direction, load_if_exists=True,
                sampler=self.new_sampler(), pruner=self.new_pruner(),
            )  # fmt: skip
            if name not in known:
                self.optuna.set_user_attr(DEFINITION, json.dumps(current))
            else:
                self.compare(json.loads(self.optuna.user_attrs.get(DEFINITION, "{}")), current)

    @property
    def missing(self) -> str:
        return f"{self.place.public_url}: has no study {self.place.name!r};"

    def compare(self, stored: dict[str, Any], current: dict[str, Any]) -> None:
        """Raises ConfigError if the study's values would not be comparable; warns of changed code."""
        # What JSON makes of the current definition, to compare like with like.
        current = json.loads(json.dumps(current))
        different = definition.changes(stored, current, ("pipeline", "files", "tune"))
        if different:
            shown = "; ".join(different[:5]) + (f" and {len(different) - 5} more" if len(different) > 5 else "")
            raise ConfigError(
                f"{self.pipeline.place}: changed since study {self.place.name!r} began: {shown}. Start it again with --new, "
                "or keep it and give this one another --name"
            )
        code = definition.changes(stored, current, ("code", "versions"))
        if code:
            log.warning(
                "study %r: code changed since it began (%s); its values may not be comparable, --new begins it again",
                self.place.name,
                ", ".join(code[:3]) + (f" and {len(code) - 3} more" if len(code) > 3 else ""),
            )

    def new_pruner(self) -> Any:
        """The pruner of [tune]."""
        return plugins.find("pruners", self.tune.pruner.kind).pruner(self.tune.pruner)

    def new_sampler(self) -> Any:
        """An Optuna sampler that takes the search's own for each trial, by the trial's number."""
        from optuna.samplers import BaseSampler

        study = self

        class Search(BaseSampler):
            def before_trial(self, optuna_study, trial):
                index = study.index(optuna_study.get_trials(deepcopy=False), trial.number)
                self.sampler = study.search.sampler(study.tune.sampler, study.space, seed=study.tune.seed, index=index)
                self.sampler.before_trial(optuna_study, trial)

            def infer_relative_search_space(self, optuna_study, trial):
                return self.sampler.infer_relative_search_space(optuna_study, trial)

            def sample_relative(self, optuna_study, trial, search_space):
                return self.sampler.sample_relative(optuna_study, trial, search_space)

            def sample_independent(self, optuna_study, trial, param_name, param_distribution):
                return self.sampler.sample_independent(optuna_study, trial, param_name, param_distribution)

        return Search()

    @staticmethod
    def index(trials: list[Any], number: int) -> int:
        """The number of a trial among those that were not lost, from 0."""
        return sum(1 for trial in trials if trial.number < number and LOST not in trial.user_attrs)

    @property
    def stored(self) -> list[Any]:
        """The trials that were not lost, as Optuna stores them, by number."""
        return [trial for trial in self.optuna.get_trials(deepcopy=False) if LOST not in trial.user_attrs]

    def next(self, owner: str) -> Any | None:
        """A new trial for this process, or None when there are as many as `num_trials`. Lost trials are tried again first."""
        with self.place.lock():
            self.recover()
            trials = self.stored
            waiting = any(trial.state.name == "WAITING" for trial in trials)
            if len(trials) >= self.num_trials and not waiting:
                return None
            trial = self.optuna.ask()
            trial.set_user_attr(OWNER, owner)
            trial.set_user_attr(STARTED, time.time())
            return trial

    def is_busy(self) -> bool:
        """Whether a process is working on a trial."""
        running = [trial for trial in self.stored if trial.state.name == "RUNNING"]
        return any(not self.place.is_lost(trial.user_attrs) for trial in running)

    def recover(self) -> None:
        """Mark running trials whose process has ended as lost, and queue them again."""
        for trial in self.stored:
            if trial.state.name == "RUNNING" and self.place.is_lost(trial.user_attrs):
                log.info(
                    "trial %d was lost with its process; it is tried again", self.index(self.stored, trial.number) + 1
                )
                self.mark_lost(trial, "its process ended")

    def mark_lost(self, trial: Any, reason: str) -> None:
        """Mark a running trial as lost and queue it again; after MAX_RETRIES it counts as failed."""
        from optuna.trial import TrialState

        retries = int(trial.user_attrs.get(RETRIES, 0))
        if retries >= MAX_RETRIES and reason != INTERRUPTED:
            self.set_attribute(trial, ERROR, f"{reason}, {retries + 1} times; out of memory?")
            self.optuna.tell(trial.number, state=TrialState.FAIL)
            return
        self.set_attribute(trial, LOST, reason)
        # Of an incomplete proposal, all is drawn again: the same, as the number is.
        params = trial.params if SETTINGS in trial.user_attrs else {}
        self.optuna.tell(trial.number, state=TrialState.FAIL)
        counted = retries + (reason != INTERRUPTED)
        self.optuna.enqueue_trial(params, user_attrs={RETRIES: counted})

    def set_attribute(self, trial: Any, name: str, value: Any) -> None:
        """Set an attribute of a trial, whether running or stored."""
        self.storage.set_trial_user_attr(trial._trial_id, name, value)
