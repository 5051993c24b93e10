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
    help="Page to write.  [default: reports/NAME.html, with -s reports/NAME.KEY=VALUE.html]",
)
def command(pipeline: Path, overrides: tuple[str, ...], artifacts: Path, output: Path | None) -> None:
    """Write the HTML report of a run and print its path.

    The report shows learning curves, scores and typical errors. PIPELINE is an evaluated pipeline file, or the directory
    of an evaluate artifact. `textpipe run` writes this page automatically.
    """
    from textpipe.report import run
    from textpipe.report.results import Run

    results = Run.find(pipeline, overrides, artifacts)
    path = output or run.FOLDER / run.file_name(results.name, overrides)
    run.write(replace(results, name=run.title(results.name, overrides)), path)
    click.echo(str(path))
