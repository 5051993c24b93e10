"""textpipe plan"""

from pathlib import Path

import click

from textpipe.commands._pipeline import Steps, output_options, pipeline_options, print_json


@click.command()
@pipeline_options
@click.option("--until", metavar="STAGE", help="Plan only up to this stage.")
@output_options
def command(
    pipeline: Path, overrides: tuple[str, ...], artifacts: Path, until: str | None, as_json: bool, quiet: bool
) -> None:
    """Print what `run` would build, and which ingredient changed.

    Where rows would be read, the header of each file is: a column that is missing is an error here already.
    """
    from textpipe.pipeline import header_check
    from textpipe.pipeline import runner as pipelines

    Steps(quiet=quiet)
    loaded = pipelines.Pipeline.load(pipeline, overrides)
    steps = pipelines.plan(loaded, until=until, artifacts=artifacts)
    header_check.check_planned(loaded, steps)
    if as_json:
        listed = [
            {"stage": one.stage, "state": one.state, "reasons": one.reasons, "path": one.path and str(one.path)}
            for one in steps
        ]
        print_json({"pipeline": loaded.name, "file": loaded.place, "task": loaded.task, "steps": listed})
        return
    for step in steps:
        click.echo(f"{step.stage:<10} {step.state:<8} {step.path or '; '.join(step.reasons)}")
