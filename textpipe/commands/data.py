"""textpipe data"""

from typing import Any

import click


@click.group()
def command() -> None:
    """Datasets: their cards, downloads and checksums. TEXTPIPE_DATA names a local mirror used instead of the network."""


@command.command("list")
def data_list() -> None:
    """The datasets there are cards for."""
    from textpipe.data import catalog

    cards = [catalog.card(name) for name in catalog.names()]
    columns = [[card.name, card.title, card.licence] for card in cards]
    widths = [max(map(len, column)) for column in zip(*columns, strict=True)]
    for row in columns:
        click.echo("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())


@command.command("get")
@click.argument("name")
def data_get(name: str) -> None:
    """Download a dataset, verify it, print its folder."""
    from textpipe.data import catalog

    catalog.get(name, progress=show_download())
    click.echo(str(catalog.folder_of(catalog.card(name))))


def show_download() -> Any:
    """Tells of a download on stderr at every tenth of a file."""
    told: dict[str, int] = {}

    def progress(path: Any, done: int, total: int) -> None:
        tenth = 10 * done // total if total else 0
        if told.get(str(path)) != tenth:
            told[str(path)] = tenth
            click.echo(f"{path}: {done / 1e6:.1f} of {total / 1e6:.1f} MB", err=True)

    return progress


@command.command("check")
@click.argument("name")
def data_check(name: str) -> None:
    """Compare a dataset's files with the sums in its card."""
    from textpipe.data import catalog

    states = catalog.check(name)
    for path, state in states:
        click.echo(f"{state:<10} {path}")
    if any(state != "ok" for _, state in states):
        raise click.exceptions.Exit(2)
