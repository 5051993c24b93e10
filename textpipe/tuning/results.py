"""The state of a study as plain values: for the command line, the report and Python."""

import html
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textpipe.tuning.study import ERROR, SETTINGS, TEST, Study
from textpipe.tuning.trial import SAME_AS, SECONDS

if TYPE_CHECKING:
    import pandas as pd

STATES = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed", "RUNNING": "running", "WAITING": "waiting"}
NUM_SHOWN = 10  # trials in a notebook


@dataclass(frozen=True)
class Trial:
    """One trial. number: from 1; state: complete, pruned, failed, running or waiting; value: of the metric, for a pruned
    trial at its last validation; validations: the metric at each; same_as: an earlier trial with the same settings.
    """

    number: int
    state: str
    value: float | None
    settings: dict[str, Any]
    validations: list[float]
    seconds: float | None
    error: str | None
    same_as: int | None


@dataclass(frozen=True)
class Outcome:
    """A study: `best` is its best complete trial, `trials` a DataFrame of all.

    direction: "min" or "max"; num_trials: how many there are to be in all; keys: the settings that vary; log_keys: those on a
    logarithmic scale; importance: the share of the metric's variance that each setting explains (fANOVA, Hutter et al.
    2014), of the settings that every complete trial has; test: {"split", "metrics", "intervals"} of the best pipeline once it
    was run; best_pipeline: its file; report: the page.
    """

    name: str
    pipeline: str
    metric: str
    direction: str
    sampler: str
    pruner: str
    seed: int
    num_trials: int
    keys: tuple[str, ...]
    log_keys: tuple[str, ...]
    records: tuple[Trial, ...]
    importance: dict[str, float] = field(default_factory=dict)
    test: dict[str, Any] | None = None
    best_pipeline: Path | None = None
    saved_model: Path | None = None
    report: Path | None = None

    @property
    def best(self) -> Trial | None:
        """The complete trial with the best value, the first of equal ones; None if there is none."""
        complete = [trial for trial in self.records if trial.state == "complete" and trial.value is not None]
        return min(complete, key=lambda trial: (self.loss(trial.value), trial.number), default=None)

    @property
    def trials(self) -> "pd.DataFrame":
        """One row per trial: number, state, value, a column for each setting, seconds, validations, error."""
        import pandas as pd

        rows = [
            {
                "number": trial.number, "state": trial.state, self.metric: trial.value,
                **{key: trial.settings.get(key) for key in self.keys},
                "seconds": trial.seconds, "validations": len(trial.validations), "error": trial.error,
            }
            for trial in self.records
        ]  # fmt: skip
        columns = ["number", "state", self.metric, *self.keys, "seconds", "validations", "error"]
        return pd.DataFrame(rows, columns=columns)

    @property
    def counts(self) -> dict[str, int]:
        """{state: number of trials}"""
        return {state: sum(trial.state == state for trial in self.records) for state in STATES.values()}

    @property
    def ended(self) -> list[Trial]:
        """The trials that are complete, pruned or failed."""
        return [trial for trial in self.records if trial.state in ("complete", "pruned", "failed")]

    def loss(self, value: float | None) -> float:
        """The value with its sign such that lower is better; infinite for None."""
        if value is None:
            return float("inf")
        return value if self.direction == "min" else -value

    def best_so_far(self) -> list[float | None]:
        """The best complete value up to each trial that has ended."""
        curve: list[float | None] = []
        best: float | None = None
        for trial in self.ended:
            if trial.state == "complete" and (best is None or self.loss(trial.value) < self.loss(best)):
                best = trial.value
            curve.append(best)
        return curve

    def ranked(self) -> list[Trial]:
        """The complete trials, best first."""
        complete = [trial for trial in self.records if trial.state == "complete"]
        return sorted(complete, key=lambda trial: (self.loss(trial.value), trial.number))

    def _repr_html_(self) -> str:
        """The best trials as a table, for notebooks."""
        head = "".join(f"<th>{html.escape(name)}</th>" for name in ("trial", self.metric, *self.keys))
        body = "".join(
            f"<tr><th>{trial.number}</th><td>{trial.value:.4g}</td>"
            + "".join(f"<td>{html.escape(format_value(trial.settings.get(key)))}</td>" for key in self.keys)
            + "</tr>"
            for trial in self.ranked()[:NUM_SHOWN]
        )
        counts = ", ".join(f"{count} {state}" for state, count in self.counts.items() if count)
        caption = f"{html.escape(self.name)}: {counts or 'no trials'}"
        return f"<table><caption>{caption}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

    def __repr__(self) -> str:
        best = self.best
        summary = "no complete trial" if best is None else f"best {self.metric} {best.value:.4g}, trial {best.number}"
        return f"Outcome({self.name}: {len(self.ended)} of {self.num_trials} trials, {summary})"


def format_value(value: Any) -> str:
    """A setting in a table: numbers with four digits, lists and tables as JSON, a dash if the trial does not have it."""
    import json

    if value is None:
        return "–"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def read(study: Study, *, importance: bool = False) -> Outcome:
    """The state of an open study; importance takes a second or two."""
    import json

    stored = study.stored
    records = [
        Trial(
            number=at,
            state=STATES[trial.state.name],
            value=trial.value,
            settings=trial.user_attrs.get(SETTINGS) or study.space.assignment(trial.params),
            validations=[value for _, value in sorted(trial.intermediate_values.items())],
            seconds=trial.user_attrs.get(SECONDS),
            error=trial.user_attrs.get(ERROR),
            same_as=trial.user_attrs.get(SAME_AS),
        )
        for at, trial in enumerate(stored, start=1)
    ]
    test: Mapping[str, Any] | None = study.optuna.user_attrs.get(TEST)
    parameters = study.space.parameters
    return Outcome(
        name=study.place.name, pipeline=study.pipeline.place, metric=study.objective.metric,
        direction=study.objective.direction, sampler=study.tune.sampler.kind, pruner=study.tune.pruner.kind,
        seed=study.tune.seed, num_trials=study.num_trials, keys=tuple(parameter.key for parameter in parameters),
        log_keys=tuple(parameter.key for parameter in parameters if parameter.log), records=tuple(records),
        importance=importances(study) if importance else {}, test=json.loads(json.dumps(test)) if test else None,
    )  # fmt: skip


def importances(study: Study) -> dict[str, float]:
    """{setting: share of the variance}, largest first; empty with fewer than four complete trials, or equal values."""
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    values = [trial.value for trial in study.stored if trial.state.name == "COMPLETE"]
    if len(values) < 4 or len(set(values)) < 2:
        return {}
    try:
        shares = get_param_importances(study.optuna, evaluator=FanovaImportanceEvaluator(seed=study.tune.seed))
    except (ValueError, RuntimeError, ZeroDivisionError):
        return {}
    return {name: float(share) for name, share in shares.items()}
