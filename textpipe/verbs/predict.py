"""textpipe predict"""

import json
import sys
from pathlib import Path
from typing import Any

import click

from textpipe.errors import ConfigError

token_option = click.option(
    "--token", envvar="TEXTPIPE_TOKEN", help="The bearer token of a server; better in TEXTPIPE_TOKEN than here."
)


@click.command()
@click.argument("model")
@click.argument("text", default="-")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line with all the signature gives.")
@click.option("--signature", default="serving_default", show_default=True, help="Which signature to call.")
@click.option("--option", "options", multiple=True, metavar="NAME=VALUE", help="A setting of the decoder: beam_size=3.")
@token_option
@click.option("--batch", type=click.IntRange(1), default=1024, show_default=True, help="Lines read at once.")
def command(
    model: str, text: str, as_json: bool, signature: str, options: tuple[str, ...], token: str | None, batch: int
) -> None:
    """Answer TEXT, or each line of standard input (-): the answer, a TAB, its score.

    MODEL is saved_models/NAME, one of its versions, or a server's http://HOST:PORT/v1/models/NAME. A line that is a JSON
    string or object is read as such, so that a mail with line breaks fits on one line.
    """
    chosen = {"signature": signature, "options": read_options(options)}
    loaded = load(model, token)
    if text != "-":
        print_predictions(loaded.predict([text], **chosen), as_json)
        return
    lines: list[Any] = []
    for number, line in enumerate(sys.stdin.buffer, 1):
        lines.append(read_line(line, number, loaded.fields))
        if len(lines) == batch:
            print_predictions(loaded.predict(lines, **chosen), as_json)
            lines = []
    if lines:
        print_predictions(loaded.predict(lines, **chosen), as_json)


def load(model: str, token: str | None) -> Any:
    """What answers: a server's client, or the model itself."""
    if model.startswith(("http://", "https://")):
        from textpipe.client import Client

        return Client(model, token=token)
    from textpipe import cores, kernels
    from textpipe.savedmodel import Model

    cores.side_by_side()
    kernels.for_answering()
    return Model.load(Path(model))


def read_options(assignments: tuple[str, ...]) -> dict[str, str]:
    """("beam_size=3",) -> {"beam_size": "3"}; raises ConfigError for what is no assignment."""
    options = {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not equals or not name.strip():
            raise ConfigError(f"--option {assignment}: expected name=value, for example --option beam_size=3")
        options[name.strip()] = value
    return options


def read_line(line: bytes, number: int, fields: tuple[str, ...]) -> str | dict[str, str]:
    """A text, or a JSON string or object of the model's fields; bad UTF-8 is replaced as ingest does."""
    text = line.decode("utf-8", errors="replace").removeprefix("\ufeff" if number == 1 else "").rstrip("\r\n")
    if text[:1] in ('"', "{"):
        try:
            value = json.loads(text)
        except ValueError:
            return text
        if isinstance(value, str):
            return value
        if isinstance(value, dict) and set(fields) <= set(value):
            return {name: str(value[name]) for name in fields}
    return text


def print_predictions(rows: list[dict[str, Any]], as_json: bool) -> None:
    """One output line per row; line breaks within an answer are written as \\n."""
    for row in rows:
        if as_json or "answer" not in row:
            click.echo(json.dumps(row, ensure_ascii=False))
        else:
            answer = row["answer"].replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")
            click.echo(f"{answer}\t{row['score']:.6g}")
