"""textpipe data"""

from typing import Any

import click


@click.group()
def command() -> None:
    """List, download and verify datasets.

    TEXTPIPE_DATA names a local mirror to use instead of the network.
    """


@command.command("list")
def data_list() -> None:
    """List the known datasets."""
    from textpipe.data import catalog

    cards = [catalog.load_card(name) for name in catalog.dataset_names()]
    columns = [[card.name, card.title, card.licence] for card in cards]
    widths = [max(map(len, column)) for column in zip(*columns, strict=True)]
    for row in columns:
        click.echo("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())


@command.command("get")
@click.argument("name")
def data_get(name: str) -> None:
    """Download and verify a dataset; print its folder."""
    from textpipe.data import catalog

    catalog.get(name, progress=download_progress())
    click.echo(str(catalog.common_folder(catalog.load_card(name))))


def download_progress() -> Any:
    """A callback that prints a line on stderr for every tenth of a file."""
    shown: dict[str, int] = {}

    def progress(path: Any, done: int, total: int) -> None:
        tenth = 10 * done // total if total else 0
        if shown.get(str(path)) != tenth:
            shown[str(path)] = tenth
            click.echo(f"{path}: {done / 1e6:.1f} of {total / 1e6:.1f} MB", err=True)

    return progress


@command.command("check")
@click.argument("name")
def data_check(name: str) -> None:
    """Compare a dataset's files with their checksums."""
    from textpipe.data import catalog

    states = catalog.check(name)
    for path, state in states:
        click.echo(f"{state:<10} {path}")
    if any(state != "ok" for _, state in states):
        raise click.exceptions.Exit(2)
