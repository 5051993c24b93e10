"""textpipe plan"""

from pathlib import Path

import click

from textpipe.verbs._pipeline import pipeline_options


@click.command()
@pipeline_options
@click.option("--until", metavar="STAGE", help="Plan only up to this stage.")
def command(pipeline: Path, overrides: tuple[str, ...], artifacts: Path, until: str | None) -> None:
    """Print what `run` would build, and which ingredient changed."""
    from textpipe import pipeline as pipelines

    for step in pipelines.plan(pipelines.Pipeline.load(pipeline, overrides), until=until, artifacts=artifacts):
        click.echo(f"{step.stage:<10} {step.state:<8} {step.path or '; '.join(step.reasons)}")
