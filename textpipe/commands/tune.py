"""textpipe tune"""

import dataclasses
import logging
import os
import sys
from pathlib import Path
from typing import Any

import click

from textpipe.commands._pipeline import (
    engine_option,
    engine_override,
    output_options,
    pipeline_options,
    print_json,
    print_stage,
    published_option,
)

NUM_SHOWN = 5  # trials in the table at the end
LATE = ("train", "evaluate")  # stages of which a trial's line says enough


@click.command()
@pipeline_options
@published_option
@click.option(
    "--reports", type=click.Path(path_type=Path), default=Path("reports"), show_default=True,
    help="Directory to write the HTML report to: NAME_study.html.",
)  # fmt: skip
@click.option(
    "--output", type=click.Path(path_type=Path), help="File of the best pipeline.  [default: PIPELINE_best.toml]"
)
@click.option("--name", help="Name of the study.  [default: that of the pipeline file]")
@click.option(
    "--storage", metavar="URL",
    help="Database of the study, to run it on several machines: any URL of Optuna, or journal:///PATH.  "
    "[default: an SQLite file in the store, studies/NAME.db]",
)  # fmt: skip
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True, help="Processes that run trials.")
@engine_option
@click.option("--new", is_flag=True, help="Delete the stored study and start a new one.")
@click.option("--no-test", is_flag=True, help="Do not run the best pipeline at the end: no test score, no model.")
@click.option("--show", is_flag=True, help="Run no trial: print the trials so far, and write the report.")
@click.option("--worker", is_flag=True, hidden=True)
@output_options
def command(
    pipeline: Path, overrides: tuple[str, ...], artifacts: Path, saved_models: Path, reports: Path, output: Path | None,
    name: str | None, storage: str | None, workers: int, engine: str | None, new: bool, no_test: bool, show: bool, worker: bool,
    as_json: bool, quiet: bool,
) -> None:  # fmt: skip
    """Search for the best settings of a pipeline.

    Varies the settings listed in [tune.settings] of PIPELINE and compares the trials on the validation split. An interrupted or
    killed study resumes with the same command. At the end, writes the best pipeline, runs all its stages once, scores it on the
    test split, and prints its path.
    """
    from textpipe.errors import ThresholdError
    from textpipe.tuning import results, search
    from textpipe.tuning.options import Options

    overrides = (*overrides, *engine_override(engine))
    options = Options(artifacts, saved_models, name, storage, workers, output, not no_test)
    if worker:
        work(search.prepare(pipeline, overrides, options))
        return
    if show:
        study = search.prepare(pipeline, overrides, options)
        study.open(create=False)
        finish(results.read(study, importance=True), reports, as_json=as_json, quiet=False)
        return
    board = Board(quiet=quiet)
    try:
        outcome = search.tune(pipeline, overrides, options, new=new, on_trial=board.trial, on_stage=board.stage)
    except KeyboardInterrupt:
        board.interrupted()
        raise
    except ThresholdError as error:
        if isinstance(error.result, results.Outcome):
            finish(error.result, reports, as_json=as_json, quiet=quiet)
        raise
    finish(outcome, reports, as_json=as_json, quiet=quiet)


def work(study: Any) -> None:
    """A process of --workers: runs trials while its parent lives."""
    from textpipe.tuning import search

    parent = os.getppid()
    study.open(create=False)
    search.work(study, lambda outcome, trial: None, print_stage, may_go_on=lambda: os.getppid() == parent)


def finish(outcome: Any, reports: Path, *, as_json: bool, quiet: bool) -> None:
    """Write the report, and print the best trials, the test scores and the paths."""
    from textpipe.report import study as report

    path = report.write(outcome, reports / report.file_name(outcome.name))
    if not quiet and not as_json:
        print_table(outcome)
        click.echo(f"{'report':<10} {'done':<7} {path}", err=True)
    if as_json:
        print_json(table(outcome, path))
    elif outcome.best_pipeline:
        click.echo(str(outcome.best_pipeline))


def table(outcome: Any, report: Path) -> dict[str, Any]:
    """A study as one JSON object."""
    best = outcome.best
    return {
        "study": outcome.name, "pipeline": outcome.pipeline, "metric": outcome.metric, "direction": outcome.direction,
        "sampler": outcome.sampler, "pruner": outcome.pruner, "seed": outcome.seed, "wanted": outcome.num_trials,
        "best": best and dataclasses.asdict(best), "importance": outcome.importance, "test": outcome.test,
        "trials": [dataclasses.asdict(trial) for trial in outcome.records],
        "best_pipeline": outcome.best_pipeline and str(outcome.best_pipeline),
        "saved_model": outcome.saved_model and str(outcome.saved_model), "report": str(report),
    }  # fmt: skip


def print_table(outcome: Any) -> None:
    """The best trials and the test scores on stderr."""
    from rich.console import Console
    from rich.table import Table

    from textpipe.tuning.results import format_value

    counts = ", ".join(f"{count} {state}" for state, count in outcome.counts.items() if count) or "no trials"
    shown = Table(title=f"{outcome.name}: {counts}", title_justify="left")
    for name in ("trial", outcome.metric, *outcome.keys):
        shown.add_column(name, overflow="fold")
    for trial in outcome.ranked()[:NUM_SHOWN]:
        cells = [format_value(trial.settings.get(key)) for key in outcome.keys]
        shown.add_row(str(trial.number), f"{trial.value:.4g}", *cells)
    console = Console(stderr=True, highlight=False, markup=False)
    console.print(shown)
    if outcome.test:
        scores = ", ".join(
            f"{name} {value:.4g}" for name, value in outcome.test["metrics"].items() if value is not None
        )
        console.print(f"best pipeline on {outcome.test['rows']} {outcome.test['split']} rows: {scores}")


class Board:
    """Prints a line on stderr when a trial ends, and for stages that few trials run."""

    def __init__(self, *, quiet: bool):
        self.quiet, self.ended, self.num_trials = quiet, 0, 0
        if quiet:
            logging.getLogger("textpipe").setLevel(logging.ERROR)
        elif not logging.getLogger("textpipe").isEnabledFor(logging.DEBUG):
            # A trial has its own line; the loop's lines and figures would hide it. Progress stays.
            for name in ("textpipe.training.loop", "textpipe.training.optimizers", "textpipe.stages"):
                logging.getLogger(name).setLevel(logging.WARNING)

    def stage(self, stage: str, state: str, text: str) -> None:
        """The `on_event` of runner.run."""
        if not self.quiet and stage not in LATE and state != "cached":
            print_stage(stage, state, text.partition("\n")[0])

    def trial(self, outcome: Any, trial: Any) -> None:
        """A trial has ended."""
        from textpipe.tuning.results import format_value

        self.ended, self.num_trials = len(outcome.ended), outcome.num_trials
        if self.quiet:
            return
        best = outcome.best
        is_best = best is not None and best.number == trial.number
        value = "" if trial.value is None else f"{outcome.metric} {trial.value:<7.4g}"
        settings = ", ".join(f"{key} {format_value(value)}" for key, value in trial.settings.items())
        note = f"same as trial {trial.same_as}; " if trial.same_as else ""
        note += f"{trial.error}; " if trial.error else ""
        record = (
            "" if best is None else f"best {best.value:.4g}" + (" (this)" if is_best else f" (trial {best.number})")
        )
        seconds = "" if trial.seconds is None else f"{trial.seconds:.1f} s"
        line = f"trial {trial.number:>3} of {outcome.num_trials}  {trial.state:<8}  {value}  {record}  {seconds}  {note}{settings}"
        click.echo(click.style(line, bold=True) if is_best and sys.stderr.isatty() else line, err=True)

    def interrupted(self) -> None:
        """After Ctrl-C."""
        if not self.quiet:
            done = f"{self.ended} of {self.num_trials} trials have ended; " if self.num_trials else ""
            click.echo(f"\n{done}the same command continues the study, --show prints it", err=True)
