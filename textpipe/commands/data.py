"""textpipe data"""

from pathlib import Path
from typing import Any

import click

from textpipe.commands._pipeline import artifacts_option, overrides_option
from textpipe.commands._tables import format_option, read_format


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


@command.command("report")
@click.argument("data", nargs=-1, required=True, metavar="DATASET | PIPELINE | [SPLIT=]FILE...")
@click.option(
    "--text", "texts", multiple=True, metavar="COLUMN", help="Column of the texts, by name or number; may be repeated."
)
@click.option("--label", metavar="COLUMN", help="Column of the labels, by name or number.")
@format_option
@click.option("--against", metavar="OTHER", help="A second data set: report how it differs from the first.")
@click.option("--json", "as_json", is_flag=True, help="Print all measurements as one JSON object.")
@click.option("--html", type=click.Path(path_type=Path, dir_okay=False), help="Also write an HTML page.")
@overrides_option
@artifacts_option
def data_report(
    data: tuple[str, ...], texts: tuple[str, ...], label: str | None, form: str | None, against: str | None, as_json: bool,
    html: Path | None, overrides: tuple[str, ...], artifacts: Path,
) -> None:  # fmt: skip
    """Report duplicates, leaks, contradicting labels, languages and personal data.

    DATA is a dataset of `textpipe data list`, a pipeline file (its rows after ingest), or files, each with an optional
    split: train=a.csv test=b.csv. Without --text and --label, columns with common names are read: text, message, body,
    sentence; label, category, class, intent.

      textpipe data report banking77 --html banking77.html

      textpipe data report mail.tsv --text body --label answered --against new.tsv
    """
    from textpipe.commands import _data_report
    from textpipe.quality import findings, measurement

    chosen = _data_report.Choice(texts, label, read_format(form), overrides, artifacts)
    corpus = chosen.load(data)
    other = chosen.load((against,)) if against is not None else None
    table = measurement.measure(corpus, against=other, on_progress=_data_report.progress())
    if html is not None:
        from textpipe.report import data_page

        data_page.write(table, html)
    if as_json:
        from textpipe.commands._pipeline import print_json

        print_json(table)
    else:
        findings.show(table)
