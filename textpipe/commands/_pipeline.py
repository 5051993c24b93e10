"""Shared by the commands that take a pipeline file: options, progress lines, and the command of a single stage."""

import json
import logging
import time
from pathlib import Path
from typing import Any

import click

overrides_option = click.option(
    "-s",
    "overrides",
    metavar="KEY=VALUE",
    multiple=True,
    help="Override a setting, e.g. train.epochs=3; KEY= removes it.",
)


engine_option = click.option(
    "--engine", metavar="NAME",
    help="Where shards run: inline, processes or ray, or a table such as '{ kind = \"ray\", workers = 8 }', instead of [engine].",
)  # fmt: skip


def engine_override(engine: str | None) -> tuple[str, ...]:
    """--engine as an override, which reports and artifacts do not name."""
    return () if engine is None else (f"engine={engine}",)


artifacts_option = click.option(
    "--artifacts", type=click.Path(path_type=Path), default=Path("data/artifacts"), show_default=True,
    help="Directory of cached stage results.",
)  # fmt: skip


def pipeline_options(command: Any) -> Any:
    """The PIPELINE argument, -s and --artifacts."""
    for decorate in reversed(
        [
            click.argument("pipeline", type=click.Path(path_type=Path)),
            overrides_option,
            artifacts_option,
        ]
    ):
        command = decorate(command)
    return command


def published_option(command: Any) -> Any:
    """--saved-models."""
    return click.option(
        "--saved-models", type=click.Path(path_type=Path), default=Path("saved_models"), show_default=True,
        help="Directory to publish exported models in.",
    )(command)  # fmt: skip


def output_options(command: Any) -> Any:
    """--json and --quiet."""
    for decorate in (
        click.option("-q", "--quiet", is_flag=True, help="Print only errors on stderr."),
        click.option("--json", "as_json", is_flag=True, help="Print the steps, metrics and paths as one JSON object."),
    ):
        command = decorate(command)
    return command


class StageLog:
    """Prints a progress line per stage on stderr unless quiet, and records the stages for --json."""

    def __init__(self, *, quiet: bool = False):
        self.quiet = quiet
        self.records: dict[str, dict[str, Any]] = {}
        self.started = time.monotonic()
        if quiet:
            logging.getLogger("textpipe").setLevel(logging.ERROR)

    def __call__(self, stage: str, state: str, text: str) -> None:
        """The `on_event` callback of pipeline.run."""
        if state == "run":
            self.started = time.monotonic()
        else:
            self.records[stage] = {"stage": stage, "state": state}
            if state == "done":
                self.records[stage]["seconds"] = round(time.monotonic() - self.started, 3)
        if not self.quiet:
            print_stage(stage, state, text)

    def table(self, result: Any, *, report: Path | None = None, error: str | None = None) -> dict[str, Any]:
        """The JSON object of a run: its stages and the paths of their results, and the metrics once evaluated."""
        steps = [
            {**self.records.get(stage, {"stage": stage, "state": "done"}), "path": str(artifact.path)}
            for stage, artifact in result.artifacts.items()
        ]
        loaded = result.pipeline
        table: dict[str, Any] = {"pipeline": loaded.name, "file": loaded.place, "task": loaded.task, "steps": steps}
        if "evaluate" in result.artifacts:
            evaluation = json.loads((result.artifacts["evaluate"].path / "metrics.json").read_text(encoding="utf-8"))
            table |= {name: evaluation[name] for name in ("split", "rows", "metrics", "intervals")}
        table["saved_model"] = str(result.saved_model) if result.saved_model else None
        table["report"] = str(report) if report else None
        return table if error is None else {**table, "error": error}


def print_json(table: dict[str, Any]) -> None:
    """Print one JSON object on stdout."""
    click.echo(json.dumps(table, ensure_ascii=False, indent=1))


def print_stage(stage: str, state: str, text: str) -> None:
    """Print a line on stderr when a stage starts or ends."""
    if state == "run":
        click.echo(f"{stage:<10} ...", err=True)
        return
    first, _, rest = text.partition("\n")
    click.echo(f"{stage:<10} {state:<7} {first}", err=True)
    if rest:
        click.echo("\n".join(f"    {line}" for line in rest.splitlines()), err=True)


def stage_command(stage: str, summary: str) -> click.Command:
    """The command `textpipe STAGE PIPELINE`."""

    @click.command(stage, help=f"{summary}\n\nRuns the stages it depends on first and prints the path of the result.")
    @pipeline_options
    @published_option
    @engine_option
    @click.option("--force", is_flag=True, help="Rebuild this stage even if nothing changed.")
    @output_options
    def command(
        pipeline: Path, overrides: tuple[str, ...], artifacts: Path, saved_models: Path, engine: str | None, force: bool,
        as_json: bool, quiet: bool,
    ) -> None:  # fmt: skip
        run_to(
            stage,
            pipeline,
            overrides,
            artifacts,
            saved_models,
            engine=engine,
            force=force,
            as_json=as_json,
            quiet=quiet,
        )

    return command


def run_to(
    stage: str, file: Path, overrides: tuple[str, ...], artifacts: Path, saved_models: Path, *, engine: str | None = None,
    force: bool, as_json: bool, quiet: bool,
) -> None:  # fmt: skip
    """Run a pipeline up to a stage; print the path of its result, or JSON."""
    from textpipe.errors import ThresholdError
    from textpipe.pipeline import runner as pipelines

    steps = StageLog(quiet=quiet)
    try:
        result = pipelines.run(
            pipelines.Pipeline.load(file, (*overrides, *engine_override(engine))), until=stage, start=stage if force else None,
            artifacts=artifacts, saved_models=saved_models, on_event=steps,
        )  # fmt: skip
    except ThresholdError as error:
        if as_json:
            print_json(steps.table(error.result, error=str(error)))
        raise
    if as_json:
        print_json(steps.table(result))
    else:
        click.echo(str(result.saved_model or result.artifacts[stage].path))
