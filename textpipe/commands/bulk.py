"""textpipe bulk"""

import contextlib
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import click

from textpipe.commands._tables import columns_option, format_option, read_columns, read_format
from textpipe.commands.predict import read_options, token_option

INTERVAL = 10.0  # seconds between two lines where there is no terminal


@click.command()
@click.argument("model")
@click.argument("source", metavar="IN", type=click.Path(path_type=Path, allow_dash=True))
@click.argument("output", metavar="OUT", type=click.Path(path_type=Path, allow_dash=True))
@columns_option
@format_option
@click.option(
    "--keep",
    metavar="COLUMN,...",
    default="",
    help="Columns of IN to repeat before the answers; inputs: all the model reads.",
)
@click.option("--output-format", type=click.Choice(["jsonl", "csv", "tsv"]), help="When OUT's name does not tell.")
@click.option("--signature", default="serving_default", show_default=True, help="Which signature to call.")
@click.option("--option", "options", multiple=True, metavar="NAME=VALUE", help="A setting of the decoder: beam_size=3.")
@click.option(
    "--model-version", metavar="N", help="The version to ask; goes on with it where OUT.part was begun with another."
)
@token_option
@click.option("--force", is_flag=True, help="Replace OUT if it is there.")
def command(
    model: str, source: Path, output: Path, columns: str, form: str | None, keep: str, output_format: str | None,
    signature: str, options: tuple[str, ...], model_version: str | None, token: str | None, force: bool,
) -> None:  # fmt: skip
    """Answer every row of a file: a record each in OUT, in the order of IN.

    MODEL is as for predict. IN is a table with a column for each field of the model (.tsv, .csv, .jsonl, .parquet,
    packed or not), or a file of one text a line; - is standard input, lines of text unless --format says otherwise. OUT
    is a table where its name ends in .csv or .tsv (a line break in a TSV is written as \\n), else a JSON object a line;
    - is standard output.

    What is answered is kept: broken off, the same command goes on from there, with the version of the model that it began
    with. Where that is gone, it says which versions there are, and --model-version N goes on with one.

      textpipe bulk saved_models/multi30k_en_de captions.tsv answers.csv --columns source=en --keep id,inputs
    """
    from textpipe.commands import _versions
    from textpipe.inference import bulk, records

    chosen, kept = (
        read_columns(columns),
        [int(name) if name.isdigit() else name for name in filter(None, keep.split(","))],
    )
    kind = output_format or records.kind_of(output)
    settings = {"signature": signature, "options": read_options(options)}
    to_file = str(output) != "-"
    before = bulk.begun(output) if to_file else None
    asked = _versions.pinned(model, token, model_version, before)

    def predict(batch: list[Any]) -> list[dict[str, Any]]:
        return bulk.answered(lambda rows: asked.predict(rows, **settings), batch)

    with opened(source, form, streamed=not to_file) as (place, identity), Progress() as progress:
        if place is None:
            (field,) = one_field(asked.fields)
            rows: Iterator[tuple[dict[str, str], dict[str, str]]] = (
                (row, row if bulk.INPUTS in kept or field in kept else {})
                for row in bulk.lines(sys.stdin.buffer, field, "standard input")
            )
        else:
            rows = bulk.read_kept(place, asked.fields, chosen, read_format(form), kept)
        if not to_file:
            done = bulk.stream(predict, rows, sys.stdout.buffer, kind=kind, told=progress.told)
        else:
            question = {
                "model": asked.base, "columns": chosen, "format": form, **settings, **identity,
                **({"version": asked.version} if asked.version else {}),
                **({"keep": kept} if kept else {}), **({"output": kind} if kind != "jsonl" else {}),
            }  # fmt: skip
            done = bulk.bulk(
                predict, rows, output, question=question, force=force, kind=kind,
                new_version=model_version is not None, told=progress.told,
            )  # fmt: skip
    click.echo(f"{done:,} rows answered", err=True)
    if to_file:
        click.echo(str(output))


@contextlib.contextmanager
def opened(source: Path, form: str | None, *, streamed: bool) -> Iterator[tuple[Path | None, Mapping[str, Any]]]:
    """The file to read, and what tells it from another. Standard input is copied to a file first; None where its lines can
    be answered as they come.
    """
    from textpipe.cache import integrity
    from textpipe.inference import bulk

    if str(source) != "-":
        from textpipe.data import text_file

        text_file.must_exist(source)
        yield source, bulk.fingerprint(source)
    elif streamed and form is None:
        yield None, {}
    else:
        with tempfile.TemporaryDirectory(prefix="textpipe-") as folder:
            copy = Path(folder) / "standard input"
            with bulk.kept_when_full(copy), copy.open("wb") as file:
                shutil.copyfileobj(sys.stdin.buffer, file)
            yield copy, {"file": "-", "sha256": integrity.file_digest(copy)}


def one_field(fields: tuple[str, ...]) -> tuple[str]:
    """The field that lines of text are of; raises DataError when the model takes several."""
    from textpipe.errors import DataError

    if len(fields) != 1:
        raise DataError(f"standard input: the model takes {', '.join(fields)}; give --format jsonl, csv or tsv")
    return (fields[0],)


class Progress:
    """Rows done and rows a second: a bar on a terminal, a line now and then elsewhere."""

    def __enter__(self) -> Self:
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

    def __exit__(self, *_: object) -> None:
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
