"""textpipe report"""

from dataclasses import replace
from pathlib import Path

import click

from textpipe.commands._pipeline import pipeline_options


@click.command()
@pipeline_options
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The page to write; default reports/NAME.html, with -s reports/NAME.KEY=VALUE.html.",
)
def command(pipeline: Path, overrides: tuple[str, ...], artifacts: Path, output: Path | None) -> None:
    """Write one page about a run: learning curves, scores, where it fails; prints its path.

    PIPELINE is a pipeline file that was evaluated, or the directory of an evaluate artifact. `textpipe run` writes the
    page by itself.
    """
    from textpipe.report import run
    from textpipe.report.results import Run

    found = Run.find(pipeline, overrides, artifacts)
    path = output or run.FOLDER / run.file_name(found.name, overrides)
    run.write(replace(found, name=run.title(found.name, overrides)), path)
    click.echo(str(path))
