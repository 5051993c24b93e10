"""textpipe plan"""

from pathlib import Path

import click

from textpipe.commands._pipeline import StageLog, output_options, pipeline_options, print_json


@click.command()
@pipeline_options
@click.option("--until", metavar="STAGE", help="Plan only up to this stage.")
@output_options
def command(
    pipeline: Path, overrides: tuple[str, ...], artifacts: Path, until: str | None, as_json: bool, quiet: bool
) -> None:
    """Show which stages `run` would build, and why.

    Reads the header of each data file that would be read, so a missing column is already an error here.
    """
    from textpipe.pipeline import header_check
    from textpipe.pipeline import runner as pipelines

    StageLog(quiet=quiet)
    loaded = pipelines.Pipeline.load(pipeline, overrides)
    steps = pipelines.plan(loaded, until=until, artifacts=artifacts)
    header_check.check_planned(loaded, steps)
    if as_json:
        table = [
            {"stage": step.stage, "state": step.state, "reasons": step.reasons, "path": step.path and str(step.path)}
            for step in steps
        ]
        print_json({"pipeline": loaded.name, "file": loaded.place, "task": loaded.task, "steps": table})
        return
    for step in steps:
        click.echo(f"{step.stage:<10} {step.state:<8} {step.path or '; '.join(step.reasons)}")
