"""textpipe run"""

from pathlib import Path
from typing import Any

import click

from textpipe.commands._pipeline import Steps, output_options, pipeline_options, print_json, published_option


@click.command()
@pipeline_options
@published_option
@click.option(
    "--reports", type=click.Path(path_type=Path), default=Path("reports"), show_default=True,
    help="Where the page about the run is written: NAME.html, with -s NAME.KEY=VALUE.html.",
)  # fmt: skip
@click.option("--until", metavar="STAGE", help="Stop after this stage.")
@click.option("--from", "start", metavar="STAGE", help="Build this stage and those after it again.")
@click.option("--force", is_flag=True, help="Build every stage again.")
@click.option(
    "--show",
    metavar="N",
    type=click.IntRange(0),
    default=0,
    help="Also print test metrics and N answers of the SavedModel.",
)
@output_options
def command(
    pipeline: Path, overrides: tuple[str, ...], artifacts: Path, saved_models: Path, reports: Path,
    until: str | None, start: str | None, force: bool, show: int, as_json: bool, quiet: bool,
) -> None:  # fmt: skip
    """Run a pipeline file to an exported model; what did not change is taken from the store.

    PIPELINE is a file, or the name of a bundled pipeline (`textpipe new --list`).
    """
    from textpipe.errors import ThresholdError
    from textpipe.pipeline import runner as pipelines

    if as_json and show:
        raise click.UsageError("--show prints answers for people; leave it out with --json")
    loaded = pipelines.Pipeline.load(pipeline, overrides)
    steps = Steps(quiet=quiet)
    try:
        result = pipelines.run(
            loaded,
            until=until,
            start=start,
            force=force,
            artifacts=artifacts,
            saved_models=saved_models,
            on_event=steps,
        )
    except ThresholdError as error:
        # Now above all somebody wants to see what the model gets wrong.
        missed = write_report(error.result, overrides, reports, steps)
        if as_json:
            print_json(steps.table(error.result, report=missed, error=str(error)))
        raise
    page = write_report(result, overrides, reports, steps) if "evaluate" in result.artifacts else None
    if as_json:
        print_json(steps.table(result, report=page))
        return
    if show and result.saved_model:
        print_answers(loaded, result, show)
    click.echo(str(result.saved_model or list(result.artifacts.values())[-1].path))


def write_report(result: Any, overrides: tuple[str, ...], folder: Path, steps: Steps) -> Path:
    """The page about a run, unless the one there is of this very run; its path."""
    from textpipe.pipeline import runner
    from textpipe.report import run as report
    from textpipe.report.results import Run

    kept = {stage: result.artifacts[stage].path for stage in runner.needed("evaluate")}
    name = result.pipeline.name
    path = folder / report.file_name(name, overrides)
    if report.write(Run(report.title(name, overrides), kept), path, always=False) and not steps.quiet:
        click.echo(f"{'report':<10} {'done':<7} {path}", err=True)
    return path


def print_answers(loaded: Any, result: Any, count: int) -> None:
    """Test metrics, then answers of the exported model to held-out rows."""
    from textpipe import api
    from textpipe.config import plugins
    from textpipe.data import shards
    from textpipe.pipeline import runner

    click.echo(f"== {loaded.name}: {loaded.task}")
    click.echo(runner.module("evaluate").summary(result.artifacts["evaluate"].path))
    fields = plugins.find("tasks", loaded.task).FIELDS
    sources = [field.name for field in fields if field.side == "source"]
    target = next(field.name for field in fields if field.side == "target")
    rows: list[dict[str, Any]] = []
    for batch in shards.read(result.artifacts["ingest"].path, "test"):
        step = max(1, batch.num_rows // count)
        rows += [batch.slice(at, 1).to_pylist()[0] for at in range(0, batch.num_rows, step)][:count]
        break
    answers = api.predict(result.saved_model, [{name: row[name] for name in sources} for row in rows])
    for row, answer in zip(rows, answers, strict=True):
        for source in sources:
            shown = " / ".join(line for line in str(row[source]).splitlines() if line.strip())
            click.echo(f"  {source}: {shown}")
        click.echo(f"    answer: {answer['answer']}    score {answer['score']:.3f}    ({target}: {row[target]})")
