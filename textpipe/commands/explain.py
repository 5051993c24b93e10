"""textpipe explain"""

import json
import sys
from collections.abc import Container
from pathlib import Path
from typing import Any

import click

from textpipe.commands._pipeline import overrides_option, print_json
from textpipe.commands.predict import parse_text, text_value, token_option


@click.command()
@click.argument("model")
@click.argument("text", default="-")
@click.option("--label", help="Class to explain; by default the answer.")
@click.option("--classes", is_flag=True, help="List the strongest features of each class of a linear model instead.")
@click.option("--top", type=click.IntRange(1), default=20, show_default=True, help="Words or features to show.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option(
    "--html", "page", type=click.Path(path_type=Path), help="Also write a page: the text with coloured words."
)
@click.option("--picture", type=click.Path(path_type=Path), help="Also draw the strongest words: .png or .svg.")
@click.option("--plain", is_flag=True, help="Take the text literally, even if it looks like JSON.")
@token_option
@overrides_option
@click.option(
    "--artifacts", type=click.Path(path_type=Path), default=Path("data/artifacts"), show_default=True,
    help="Directory of cached stage results: of a pipeline's model, and of the training texts that name features.",
)  # fmt: skip
def command(
    model: str, text: str, label: str | None, classes: bool, top: int, as_json: bool, page: Path | None, picture: Path | None,
    plain: bool, token: str | None, overrides: tuple[str, ...], artifacts: Path,
) -> None:  # fmt: skip
    """Show each word's contribution to the answer.

    TEXT is one row; - reads all of standard input as one. MODEL is saved_models/NAME, one of its versions, a server's URL, or
    a pipeline that has been run. A row of several fields is a JSON object. For a linear model the contributions are exact: each
    n-gram's weight times value is assigned to its words, and all contributions add up to the logit. For any other model a
    contribution is the fall of the answer's log-odds or log-probability when the word is left out.
    """
    from textpipe.commands._versions import is_url
    from textpipe.errors import ConfigError
    from textpipe.explanation import picture as pictures

    if picture:
        pictures.check(picture)
    if classes and (text != "-" or page):
        what = f"--html {page}" if page else f"TEXT {text[:40]!r}"
        raise ConfigError(f"--classes: lists features of the whole model; leave {what} out")
    from textpipe.explanation.locate import locate
    from textpipe.runtime import onednn

    onednn.disable_by_default()  # as for predict
    token = token if is_url(model) else None  # TEXTPIPE_TOKEN may be set for other commands
    subject = locate(model, overrides=overrides, artifacts=artifacts, token=token)
    if classes:
        print_classes(subject, label, top, artifacts, as_json=as_json, picture=picture)
        return
    from textpipe.explanation.explain import explain
    from textpipe.inference import cells

    lists = cells.reader_of(subject).lists
    explanation = explain(subject, read_row(text, subject.dtypes, plain=plain, lists=lists), label=label)
    if page:
        from textpipe.explanation import page as pages

        pages.write(explanation, page, top)
        click.echo(f"{page}: written", err=True)
    if picture:
        pictures.draw(explanation, picture, top)
        click.echo(f"{picture}: written", err=True)
    if as_json:
        print_json(explanation.table(top))
        return
    from rich.console import Console

    from textpipe.explanation import terminal

    if sys.stdout.isatty():
        terminal.print_rich(explanation, Console(highlight=False), top)
    else:
        click.echo(terminal.plain(explanation, top))


def read_row(text: str, dtypes: dict[str, str], *, plain: bool, lists: Container[str | int] = ()) -> Any:
    """A text, or the cells of a JSON object by field, which may be lists for the fields in `lists`; "-" reads all of standard input.

    Raises DataError for an empty standard input.
    """
    from textpipe.errors import DataError

    if text == "-":
        text = sys.stdin.buffer.read().decode("utf-8", errors="replace")
        if not text.strip():
            raise DataError(
                "standard input: expected a text to explain, found none; give TEXT, or write one to standard input"
            )
        text = text.removesuffix("\n") if text.count("\n") == 1 else text
    value = text if plain else parse_text(text, dtypes)
    if isinstance(value, dict):
        known = {name: text_value(value, name, 1, lists) for name, dtype in dtypes.items() if dtype == "string"}
        return {**value, **known}
    return value


def print_classes(
    subject: Any, label: str | None, top: int, artifacts: Path, *, as_json: bool, picture: Path | None
) -> None:
    """The strongest features of each class."""
    from textpipe.explanation import classes, terminal
    from textpipe.explanation import picture as pictures

    table = classes.strongest(subject, top=top, label=label, artifacts=artifacts)
    if picture:
        pictures.draw_classes(table, picture)
        click.echo(f"{picture}: written", err=True)
    if as_json:
        click.echo(json.dumps(table, ensure_ascii=False, indent=1))
        return
    click.echo("\n".join(terminal.class_lines(table)))
    if table["unnamed"]:
        click.echo(
            f"{table['unnamed']:,} n-grams have no name: their strings are not in the {table['named_by']}; the training texts are "
            f"found in --artifacts ({artifacts}) while the run that made the model is kept there",
            err=True,
        )
