"""textpipe bulk"""

import sys
import time
from pathlib import Path
from typing import Any

import click

from textpipe.verbs._tables import columns_option, format_option, read_columns, read_format
from textpipe.verbs.predict import load, read_options, token_option

INTERVAL = 10.0  # seconds between two lines where there is no terminal


@click.command()
@click.argument("model")
@click.argument("source", metavar="IN", type=click.Path(path_type=Path))
@click.argument("output", metavar="OUT", type=click.Path(path_type=Path))
@columns_option
@format_option
@click.option("--signature", default="serving_default", show_default=True, help="Which signature to call.")
@click.option("--option", "options", multiple=True, metavar="NAME=VALUE", help="A setting of the decoder: beam_size=3.")
@token_option
@click.option("--force", is_flag=True, help="Replace OUT if it is there.")
def command(
    model: str, source: Path, output: Path, columns: str, form: str | None, signature: str, options: tuple[str, ...],
    token: str | None, force: bool,
) -> None:  # fmt: skip
    """Answer every row of a file: a JSON object a line in OUT, in the order of IN.

    MODEL is as for predict. IN is a table with a column for each field of the model (.tsv, .csv, .jsonl, .parquet,
    packed or not), or a file of one text a line. What is answered is kept: broken off, the same command goes on from
    there. A server is asked one version throughout.

      textpipe bulk saved_models/multi30k_en_de captions.tsv answers.jsonl --columns source=en
    """
    from textpipe import bulk
    from textpipe.client import Client

    chosen = read_columns(columns)
    settings = {"signature": signature, "options": read_options(options)}
    loaded = load(model, token)
    if isinstance(loaded, Client):
        loaded = loaded.of_one_version()
    rows = bulk.read(source, loaded.fields, chosen, read_format(form))
    question = {
        "model": loaded.url if isinstance(loaded, Client) else str(loaded.path),
        "columns": chosen,
        "format": form,
        **settings,
        **bulk.fingerprint(source),
    }
    with Progress() as progress:
        done = bulk.bulk(
            lambda batch: loaded.predict(batch, **settings),
            rows,
            output,
            question=question,
            force=force,
            told=progress.told,
        )
    click.echo(f"{done:,} rows answered", err=True)
    click.echo(str(output))


class Progress:
    """Rows done and rows a second: a bar on a terminal, a line now and then elsewhere."""

    def __enter__(self) -> "Progress":
        self.bar: Any = None
        self.began = self.spoken = time.monotonic()
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import Progress as Bar
            from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

            self.bar = Bar(
                SpinnerColumn(),
                TextColumn("{task.description}"),
                TimeElapsedColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self.task = self.bar.add_task("reading")
            self.bar.start()
        return self

    def __exit__(self, *_: Any) -> None:
        if self.bar is not None:
            self.bar.stop()

    def told(self, done: int, resumed: int) -> None:
        now = time.monotonic()
        rate = (done - resumed) / max(now - self.began, 1e-9)
        text = f"{done:,} rows answered, {rate:,.0f} a second"
        if done == resumed:
            if resumed:
                click.echo(f"{resumed:,} rows are answered already; going on", err=True)
        elif self.bar is not None:
            self.bar.update(self.task, description=text)
        elif now - self.spoken >= INTERVAL:
            self.spoken = now
            click.echo(text, err=True)
