"""textpipe predict"""

import json
import re
import sys
from collections.abc import Container, Mapping, Sized
from pathlib import Path
from typing import Any

import click

from textpipe.errors import ConfigError, DataError, suggest

OBJECT = re.compile(r"\s*\{")
KEYED_OBJECT = re.compile(r"""\s*\{\s*["']""")  # {name}, please ... is a text
JSON_TYPES = {float: "a number", int: "a number", bool: "true or false", dict: "an object", list: "a list"}

token_option = click.option(
    "--token", envvar="TEXTPIPE_TOKEN", help="Bearer token of a server; safer in TEXTPIPE_TOKEN."
)


@click.command()
@click.argument("model")
@click.argument("text", default="-")
@click.option("--json", "as_json", is_flag=True, help="Print all outputs of the signature, one JSON object per line.")
@click.option("--signature", default="serving_default", show_default=True, help="Signature to call.")
@click.option("--option", "options", multiple=True, metavar="NAME=VALUE", help="Decoder setting, e.g. beam_size=3.")
@click.option("--plain", is_flag=True, help="Take every line literally, even if it looks like JSON.")
@token_option
@click.option("--batch", type=click.IntRange(1), default=1024, show_default=True, help="Lines per batch.")
def command(
    model: str,
    text: str,
    as_json: bool,
    signature: str,
    options: tuple[str, ...],
    plain: bool,
    token: str | None,
    batch: int,
) -> None:
    """Answer TEXT, or each line of standard input (-).

    Prints the answer, a TAB and its score. MODEL is saved_models/NAME, one of its versions, or a server's
    http://HOST:PORT/v1/models/NAME.

    For a model of several fields, TEXT is a JSON object with these fields. A picture is given as the path of a PNG or JPEG file,
    a table as CSV text or the path of a .csv or .tsv file, a story as a list of sentences. A line that is a JSON string, or a JSON
    object with the fields of the model, is decoded first, so a mail with line breaks fits on one line; --plain takes every line
    literally.
    """
    from textpipe.inference import cells

    settings = {"signature": signature, "options": read_options(options)}
    loaded = load(model, token)
    reader = cells.reader_of(loaded)
    if text != "-":
        # The fields of a row cannot be written otherwise; of a single field, what looks like JSON may be the text.
        row = parse_line(text, 1) if len(loaded.dtypes) > 1 and not plain else text
        print_predictions(loaded.predict(reader.read([row]), **settings), as_json)
        return
    from textpipe.data import encodings

    lines: list[Any] = []
    damaged = 0
    for number, line in enumerate(sys.stdin.buffer, 1):
        if number == 1:
            encodings.detect("standard input", line[:1024], encodings.UTF8)
        damaged += not valid_utf8(line)
        lines.append(read_line(line, number, loaded.dtypes, plain=plain, lists=reader.lists))
        if len(lines) == batch:
            rows = reader.read(lines, first=number + 1 - len(lines))
            print_predictions(loaded.predict(rows, **settings), as_json)
            lines = []
    if lines:
        rows = reader.read(lines, first=number + 1 - len(lines))
        print_predictions(loaded.predict(rows, **settings), as_json)
    if damaged:
        click.echo(
            f"standard input: lines with bytes that are not UTF-8, each replaced by U+FFFD: {damaged:,}", err=True
        )


def valid_utf8(line: bytes) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def load(model: str, token: str | None) -> Any:
    """A client of a server, or the model itself."""
    if model.startswith(("http://", "https://")):
        from textpipe.inference.client import Client

        return Client(model, token=token)
    from textpipe.runtime import malloc, onednn, threads
    from textpipe.savedmodel.loader import Model

    threads.limit_intra_op()
    onednn.disable_by_default()
    malloc.limit_arenas()
    return Model.load(Path(model), runtime="session")


def read_options(assignments: tuple[str, ...]) -> dict[str, str]:
    """("beam_size=3",) -> {"beam_size": "3"}; raises ConfigError for anything but NAME=VALUE."""
    options = {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not equals or not name.strip():
            raise ConfigError(f"--option {assignment}: expected name=value, for example --option beam_size=3")
        options[name.strip()] = value
    return options


def read_line(
    line: bytes, number: int, fields: Mapping[str, str], *, plain: bool = False, lists: Container[str | int] = ()
) -> str | dict[str, Any]:
    """A text, or the fields of a JSON object; invalid UTF-8 is replaced, as in ingest.

    Raises DataError naming line and key for an object that lacks a field, for a value that is not a text, and for a line
    that starts like an object but is not valid JSON. fields: {field: dtype}; plain: take the line literally; lists: the
    fields that may be a list.
    """
    text = line.decode("utf-8", errors="replace").removeprefix("\ufeff" if number == 1 else "").rstrip("\r\n")
    value = text if plain else parse_line(text, number)
    if isinstance(value, dict):
        return {
            name: text_value(value, name, number, lists) if dtype == "string" else value.get(name)
            for name, dtype in fields.items()
        }
    if len(fields) != 1:
        raise DataError(f"line {number}: the model takes {', '.join(fields)}; give a JSON object with these")
    return value


def parse_line(text: str, number: int) -> str | dict[str, Any]:
    """The value of a JSON string or object, else the line itself."""
    if not text.startswith('"') and not OBJECT.match(text):
        return text
    try:
        # Numbers are refused below, whatever their length.
        value = json.loads(text, parse_int=float, parse_float=float)
    except (ValueError, RecursionError) as error:
        if not KEYED_OBJECT.match(text):
            return text
        raise DataError(
            f"line {number}: starts like a JSON object but is not valid JSON ({error}); fix it, or give --plain"
        ) from None
    return value if isinstance(value, str | dict) else text


def parse_text(text: str, fields: Sized) -> str | dict[str, Any]:
    """The row of a command's TEXT: an object, or the text itself, with its quotes, for a model of one field."""
    return parse_line(text, 1) if OBJECT.match(text) or len(fields) > 1 else text


def text_value(row: dict[str, Any], name: str, number: int, lists: Container[str | int] = ()) -> Any:
    """The text of a field, or a list if the field is one of `lists`; raises DataError if it is missing or of another type."""
    if name not in row:
        raise DataError(f"line {number}: no key {name!r}{suggest(name, row)}; give --plain to take the line literally")
    value = row[name]
    if not isinstance(value, str) and not (isinstance(value, list) and name in lists):
        type_name = JSON_TYPES.get(type(value), "a list") if value is not None else "null"
        raise DataError(f"line {number}: {name!r} must be a text, found {type_name}; quote the value or drop the line")
    return value


def print_predictions(rows: list[dict[str, Any]], as_json: bool) -> None:
    """Print one line per row; line breaks within an answer are written as \\n."""
    for row in rows:
        if as_json or "answer" not in row:
            click.echo(json.dumps(row, ensure_ascii=False))
        else:
            answer = row["answer"].replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")
            click.echo(f"{answer}\t{row['score']:.6g}")
