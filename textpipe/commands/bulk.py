"""textpipe bulk"""

import contextlib
import functools
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import click

from textpipe.commands._pipeline import engine_option
from textpipe.commands._tables import column_of, columns_option, format_option, read_columns, read_format
from textpipe.commands.predict import read_options, token_option

INTERVAL = 10.0  # seconds between progress lines when stderr is not a terminal


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
    help="Columns of IN to copy in front of the answers; 'inputs' for all that the model reads.",
)
@click.option(
    "--output-format", type=click.Choice(["jsonl", "csv", "tsv"]), help="Format of OUT, if its name does not show it."
)
@click.option("--signature", default="serving_default", show_default=True, help="Signature to call.")
@click.option("--option", "options", multiple=True, metavar="NAME=VALUE", help="Decoder setting, e.g. beam_size=3.")
@click.option(
    "--model-version", metavar="N", help="Model version to use; also resumes an OUT.part that another version started."
)
@token_option
@engine_option
@click.option("--force", is_flag=True, help="Overwrite OUT.")
def command(
    model: str, source: Path, output: Path, columns: str, form: str | None, keep: str, output_format: str | None,
    signature: str, options: tuple[str, ...], model_version: str | None, token: str | None,
    engine: str | None, force: bool,
) -> None:  # fmt: skip
    """Answer every row of a file.

    Writes one record per row to OUT, in the order of IN. MODEL is as in predict. IN is a table with a column for each
    field of the model (.tsv, .csv, .jsonl, .parquet, also compressed) or a file with one text per line; - reads standard
    input, as lines of text unless --format is given. OUT is CSV or TSV if its name ends in .csv or .tsv (line breaks in a
    TSV are written as \\n), else one JSON object per line; - writes to standard output.

    If the command is interrupted, running it again resumes it with the same version of the model. If that version no
    longer exists, the error lists the available ones; choose one with --model-version.

      textpipe bulk saved_models/multi30k_en_de captions.tsv answers.csv --columns source=en --keep id,inputs
    """
    from textpipe import engines
    from textpipe.commands import _versions
    from textpipe.inference import bulk, cells, records

    columns_by_field, kept_columns = (
        read_columns(columns),
        [column_of(name) for name in filter(None, keep.split(","))],
    )
    file_format = output_format or records.format_of(output)
    settings = {"signature": signature, "options": read_options(options)}
    to_file = str(output) != "-"
    earlier_request = bulk.read_request(output) if to_file else None
    pinned = _versions.pin(model, token, model_version, earlier_request)

    folder = source.parent if str(source) != "-" else Path()
    predict = functools.partial(answer, pinned, settings, folder)
    lists = cells.reader_of(pinned.loaded).lists
    with (
        open_source(source, form, streamed=not to_file) as (path, identity),
        contextlib.closing(engines.open(engines.parse(engine))) as workers,
        Progress() as progress,
    ):
        map_chunks = functools.partial(map_over, workers)
        if path is None:
            (field,) = single_field(pinned.fields)
            rows: Iterator[tuple[dict[str, str], dict[str, str]]] = (
                (row, row if bulk.INPUTS in kept_columns or field in kept_columns else {})
                for row in bulk.read_lines(sys.stdin.buffer, field, "standard input")
            )
        else:
            rows = bulk.read_rows_and_kept(
                path, pinned.fields, columns_by_field, read_format(form), kept_columns, lists
            )
        if not to_file:
            done = bulk.answer_stream(
                predict, enumerate(rows, 1), sys.stdout.buffer, file_format=file_format, map_chunks=map_chunks,
                on_progress=progress.update,
            )  # fmt: skip
        else:
            request = {
                "model": pinned.base, "columns": columns_by_field, "format": form, **settings, **identity,
                **({"version": pinned.version} if pinned.version else {}),
                **({"keep": kept_columns} if kept_columns else {}), **({"output": file_format} if file_format != "jsonl" else {}),
            }  # fmt: skip
            done = bulk.answer_file(
                predict, enumerate(rows, 1), output, request=request, force=force, file_format=file_format,
                new_version=model_version is not None, map_chunks=map_chunks, on_progress=progress.update,
            )  # fmt: skip
    click.echo(f"{done:,} rows answered", err=True)
    if to_file:
        click.echo(str(output))


def answer(
    pinned: Any, settings: Mapping[str, Any], folder: Path, batch: list[tuple[int, Any]]
) -> list[dict[str, Any]]:
    """The answers to a chunk of numbered rows, by this process's copy of the model. folder: what paths in cells are relative to."""
    from textpipe.inference import bulk, cells

    reader, (first, _) = cells.reader_of(pinned.loaded, folder), batch[0]
    return bulk.answer_chunk(
        lambda rows: pinned.predict(reader.read(rows, first=first), **settings), [row for _, row in batch]
    )


def map_over(engine: Any, predict: Callable[[list[Any]], Any], chunks: Iterator[list[Any]]) -> Iterator[Any]:
    """`map` on the workers of an engine, each with a model of its own."""
    return engine.map(functools.partial(unchanged, predict), chunks)


def unchanged(function: Any) -> Any:
    """A function as the `make` of an engine: building it is to unpickle it."""
    return function


@contextlib.contextmanager
def open_source(source: Path, form: str | None, *, streamed: bool) -> Iterator[tuple[Path | None, Mapping[str, Any]]]:
    """The file to read, and its fingerprint. Standard input is copied to a temporary file; None if it can be streamed
    line by line.
    """
    from textpipe.cache import integrity
    from textpipe.inference import bulk

    if str(source) != "-":
        from textpipe.data import text_file

        text_file.check_exists(source)
        yield source, bulk.fingerprint(source)
    elif streamed and form is None:
        yield None, {}
    else:
        import tempfile

        with tempfile.TemporaryDirectory(prefix="textpipe-") as folder:
            copy = Path(folder) / "standard input"
            with bulk.explain_full_disk(copy), copy.open("wb") as file:
                shutil.copyfileobj(sys.stdin.buffer, file)
            yield copy, {"file": "-", "sha256": integrity.file_digest(copy)}


def single_field(fields: tuple[str, ...]) -> tuple[str]:
    """The only field of the model; raises DataError if it has several."""
    from textpipe.errors import DataError

    if len(fields) != 1:
        raise DataError(f"standard input: the model takes {', '.join(fields)}; give --format jsonl, csv or tsv")
    return (fields[0],)


class Progress:
    """Rows done and rows per second: a spinner on a terminal, a line every INTERVAL seconds elsewhere."""

    def __enter__(self) -> Self:
        self.bar: Any = None
        self.started = self.last_line = time.monotonic()
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

    def update(self, done: int, resumed: int) -> None:
        now = time.monotonic()
        rate = (done - resumed) / max(now - self.started, 1e-9)
        text = f"{done:,} rows answered, {rate:,.0f} a second"
        if done == resumed:
            if resumed:
                click.echo(f"{resumed:,} rows are already answered; resuming", err=True)
        elif self.bar is not None:
            self.bar.update(self.task, description=text)
        elif now - self.last_line >= INTERVAL:
            self.last_line = now
            click.echo(text, err=True)
