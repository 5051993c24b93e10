"""textpipe run"""

from pathlib import Path
from typing import Any

import click

from textpipe.commands._pipeline import (
    StageLog,
    engine_option,
    engine_override,
    output_options,
    pipeline_options,
    print_json,
    published_option,
)


@click.command()
@pipeline_options
@published_option
@click.option(
    "--reports", type=click.Path(path_type=Path), default=Path("reports"), show_default=True,
    help="Directory to write the HTML report to: NAME.html, with -s NAME.KEY=VALUE.html.",
)  # fmt: skip
@engine_option
@click.option("--until", metavar="STAGE", help="Stop after this stage.")
@click.option("--from", "start", metavar="STAGE", help="Rebuild this stage and all later ones.")
@click.option("--force", is_flag=True, help="Rebuild every stage.")
@click.option(
    "--show",
    metavar="N",
    type=click.IntRange(0),
    default=0,
    help="Also print the test metrics and N sample answers.",
)
@output_options
def command(
    pipeline: Path, overrides: tuple[str, ...], artifacts: Path, saved_models: Path, reports: Path,
    engine: str | None, until: str | None, start: str | None, force: bool, show: int, as_json: bool, quiet: bool,
) -> None:  # fmt: skip
    """Run all stages of a pipeline and publish the model.

    Unchanged stages are taken from the cache. PIPELINE is a file, the name of one in pipelines/, or of a bundled one
    (`textpipe new --list`).
    """
    from textpipe.errors import ThresholdError
    from textpipe.pipeline import runner as pipelines

    if as_json and show:
        raise click.UsageError("--show cannot be combined with --json")
    loaded = pipelines.Pipeline.load(pipeline, (*overrides, *engine_override(engine)))
    steps = StageLog(quiet=quiet)
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
        # The report matters most now: it shows what the model gets wrong.
        path = write_report(error.result, overrides, reports, steps)
        if as_json:
            print_json(steps.table(error.result, report=path, error=str(error)))
        raise
    page = write_report(result, overrides, reports, steps) if "evaluate" in result.artifacts else None
    if as_json:
        print_json(steps.table(result, report=page))
        return
    if show and result.saved_model:
        print_answers(loaded, result, show)
    click.echo(str(result.saved_model or list(result.artifacts.values())[-1].path))


def write_report(result: Any, overrides: tuple[str, ...], folder: Path, steps: StageLog) -> Path:
    """Write the HTML report unless it is up to date; returns its path."""
    from textpipe.pipeline import runner
    from textpipe.report import run as report
    from textpipe.report.results import Run

    paths = {stage: result.artifacts[stage].path for stage in runner.stages_until(result.pipeline, "evaluate")}
    name = result.pipeline.name
    path = folder / report.file_name(name, overrides)
    if report.write(Run(report.title(name, overrides), paths), path, always=False) and not steps.quiet:
        click.echo(f"{'report':<10} {'done':<7} {path}", err=True)
    return path


def with_normalized(rows: list[dict[str, Any]], folder: Path, field: str) -> list[dict[str, Any]]:
    """Rows of the test split with the normalized cell of one field. folder: the result of normalize."""
    from textpipe.data import shards

    cells: dict[int, Any] = {}
    for batch in shards.read(folder, "test", ("row", field)):
        cells |= zip(batch["row"].to_pylist(), batch[field].to_pylist(), strict=True)
        if all(row["row"] in cells for row in rows):
            break
    return [{**row, field: cells[row["row"]]} for row in rows]


def print_answers(loaded: Any, result: Any, count: int) -> None:
    """Print the test metrics, then answers of the exported model to test rows."""
    from textpipe import api
    from textpipe.config import plugins
    from textpipe.data import shards
    from textpipe.pipeline import runner

    click.echo(f"== {loaded.name}: {loaded.task}")
    click.echo(runner.stage_module("evaluate").summary(result.artifacts["evaluate"].path))
    task = plugins.find("tasks", loaded.task)
    fields = task.FIELDS
    sources = [field.name for field in fields if field.side == "source"]
    target = next(field.name for field in fields if field.side == "target")
    rows: list[dict[str, Any]] = []
    for batch in shards.read(result.artifacts["ingest"].path, "test"):
        step = max(1, batch.num_rows // count)
        rows += [batch.slice(at, 1).to_pylist()[0] for at in range(0, batch.num_rows, step)][:count]
        break
    if hasattr(plugins.find("answers", task.ANSWER), "references"):  # shown as they are compared: normalized
        rows = with_normalized(rows, result.artifacts["normalize"].path, target)
    answers = api.predict(result.saved_model, [{name: row[name] for name in sources} for row in rows])
    for row, answer in zip(rows, answers, strict=True):
        for source in sources:
            shown = " / ".join(line for line in str(row[source]).splitlines() if line.strip())
            click.echo(f"  {source}: {shown}")
        click.echo(f"    answer: {answer['answer']}    score {answer['score']:.3f}    ({target}: {row[target]})")
