"""textpipe lab"""

from pathlib import Path
from typing import Any

import click

from textpipe.commands._pipeline import artifacts_option

runs_option = click.option(
    "--runs", type=click.Path(path_type=Path), default=Path("data/lab/runs"), show_default=True,
    help="Directory of finished single runs, from which an interrupted experiment resumes.",
)  # fmt: skip
output_option = click.option(
    "-o", "--output", type=click.Path(path_type=Path), default=Path("data/lab"), show_default=True,
    help="Directory for NAME.json, NAME.csv and NAME.svg.",
)  # fmt: skip


@click.group()
def command() -> None:
    """Run experiments on training.

    Each gives a table, a figure and a conclusion.
    """


@command.command("list")
def lab_list() -> None:
    """List the experiments: name, data and question."""
    from textpipe.config import plugins
    from textpipe.laboratory import _results

    names = plugins.names("laboratory")
    width = max(map(len, names))
    for name in names:
        module = plugins.find("laboratory", name)
        click.echo(f"{name:<{width}}  {', '.join(module.DATA):<12}  {_results.question(module)}")


@command.command("run")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@runs_option
@artifacts_option
@output_option
def lab_run(names: tuple[str, ...], runs: Path, artifacts: Path, output: Path) -> None:
    """Run experiments, or `all` of them; run again to continue after an interruption.

    Prints the conclusion of each. If the dataset of an experiment is missing, the error names the command that downloads it.

      textpipe lab run optimizers
    """
    from textpipe.config import plugins
    from textpipe.laboratory import _results

    chosen = plugins.names("laboratory") if names == ("all",) else list(names)
    for name in chosen:
        plugins.find("laboratory", name)  # all names are checked before the first run
    for name in chosen:
        result = _results.run(name, runs=runs, output=output, artifacts=artifacts, on_run=print_run)
        click.echo(f"{name}: {result['sentence']}")
        click.echo(f"{output / name}.json, .csv and .svg", err=True)


def print_run(name: str, settings: dict[str, Any], seconds: float) -> None:
    """Print a line on stderr after a single run."""
    shown = ", ".join(f"{key}={value}" for key, value in settings.items())
    click.echo(f"{name}  {seconds:6.1f} s  {shown}", err=True)


@command.command("report")
@click.argument("folder", type=click.Path(path_type=Path), default=Path("data/lab"))
@click.option("--pictures", default=None, help="Path of the pictures in the page's links [default: FOLDER]")
def lab_report(folder: Path, pictures: str | None) -> None:
    """Print a Markdown page of the results in FOLDER."""
    from textpipe.laboratory import _results

    click.echo(_results.page(folder, pictures or str(folder)))
