"""What the verbs over a pipeline file share: their options, the lines they tell, and the verb of one stage."""

import json
import logging
import time
from pathlib import Path
from typing import Any

import click

overrides_option = click.option(
    "-s", "overrides", metavar="KEY=VALUE", multiple=True, help="Override, e.g. train.epochs=3; KEY= leaves it out."
)


def pipeline_options(command: Any) -> Any:
    """The pipeline file and what every verb over it takes."""
    for decorate in reversed(
        [
            click.argument("pipeline", type=click.Path(path_type=Path)),
            overrides_option,
            click.option(
                "--artifacts", type=click.Path(path_type=Path), default=Path("data/artifacts"), show_default=True,
                help="Where results of stages are kept.",
            ),
        ]
    ):  # fmt: skip
        command = decorate(command)
    return command


def published_option(command: Any) -> Any:
    """Where exported versions go."""
    return click.option(
        "--saved-models", type=click.Path(path_type=Path), default=Path("saved_models"), show_default=True,
        help="Where exported versions are published.",
    )(command)  # fmt: skip


def output_options(command: Any) -> Any:
    """--json and --quiet."""
    for decorate in (
        click.option("-q", "--quiet", is_flag=True, help="Write nothing but errors to stderr."),
        click.option("--json", "as_json", is_flag=True, help="Print one JSON object: the steps, metrics and paths."),
    ):
        command = decorate(command)
    return command


class Steps:
    """What a run tells of its stages: lines on stderr unless quiet, and a record of them for --json."""

    def __init__(self, *, quiet: bool = False):
        self.quiet = quiet
        self.found: dict[str, dict[str, Any]] = {}
        self.began = time.monotonic()
        if quiet:
            logging.getLogger("textpipe").setLevel(logging.ERROR)

    def __call__(self, stage: str, state: str, text: str) -> None:
        """pipeline.run's `told`."""
        if state == "run":
            self.began = time.monotonic()
        else:
            self.found[stage] = {"stage": stage, "state": state}
            if state == "done":
                self.found[stage]["seconds"] = round(time.monotonic() - self.began, 3)
        if not self.quiet:
            tell(stage, state, text)

    def table(self, result: Any, *, report: Path | None = None, error: str | None = None) -> dict[str, Any]:
        """What --json prints of a run: its steps with the paths of their results, the metrics once there are some."""
        steps = [
            {**self.found.get(stage, {"stage": stage, "state": "done"}), "path": str(artifact.path)}
            for stage, artifact in result.artifacts.items()
        ]
        loaded = result.pipeline
        table: dict[str, Any] = {"pipeline": loaded.name, "file": loaded.place, "task": loaded.task, "steps": steps}
        if "evaluate" in result.artifacts:
            scored = json.loads((result.artifacts["evaluate"].path / "metrics.json").read_text(encoding="utf-8"))
            table |= {name: scored[name] for name in ("split", "rows", "metrics", "intervals")}
        table["saved_model"] = str(result.saved_model) if result.saved_model else None
        table["report"] = str(report) if report else None
        return table if error is None else {**table, "error": error}


def print_json(table: dict[str, Any]) -> None:
    """One JSON object on stdout."""
    click.echo(json.dumps(table, ensure_ascii=False, indent=1))


def tell(stage: str, state: str, text: str) -> None:
    """One line on stderr as a stage begins or ends."""
    if state == "run":
        click.echo(f"{stage:<10} ...", err=True)
        return
    first, _, rest = text.partition("\n")
    click.echo(f"{stage:<10} {state:<7} {first}", err=True)
    if rest:
        click.echo("\n".join(f"    {line}" for line in rest.splitlines()), err=True)


def stage_command(stage: str, words: str) -> click.Command:
    """`textpipe STAGE PIPELINE`: the stages it needs, then the stage; prints the result's path."""

    @click.command(stage, help=f"{words} Runs the stages it needs first; prints the path of the result.")
    @pipeline_options
    @published_option
    @click.option("--force", is_flag=True, help="Build this stage again even when nothing changed.")
    @output_options
    def verb(
        pipeline: Path, overrides: tuple[str, ...], artifacts: Path, saved_models: Path, force: bool, as_json: bool,
        quiet: bool,
    ) -> None:  # fmt: skip
        run_to(stage, pipeline, overrides, artifacts, saved_models, force=force, as_json=as_json, quiet=quiet)

    return verb


def run_to(
    stage: str, file: Path, overrides: tuple[str, ...], artifacts: Path, saved_models: Path, *, force: bool,
    as_json: bool, quiet: bool,
) -> None:  # fmt: skip
    """Run the stages that one needs, then the stage, and print what was asked for."""
    from textpipe.errors import ThresholdError
    from textpipe.pipeline import runner as pipelines

    steps = Steps(quiet=quiet)
    try:
        result = pipelines.run(
            pipelines.Pipeline.load(file, overrides), until=stage, start=stage if force else None,
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
