"""Mail: an mbox file, a raw message (.eml), or a folder of raw messages.

Columns: body (the mail's plain text, else its HTML, without attachments, attached mails and list footers; line ends are
"\\n"), subject, from, to, date, message_id, headers (all headers, decoded, a line "Name: value" each; the step mail_headers keeps
some), file (name of the message's file), folder (name of the file's folder: spam/0001.eml -> "spam").
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from textpipe.config.sections import Section
from textpipe.data import text_file
from textpipe.data.mail import headers, mbox, structure
from textpipe.data.rows import Repairs, Rows
from textpipe.errors import DataError

SUFFIXES = (".mbox", ".eml")
COLUMNS = ("body", "subject", "from", "to", "date", "message_id", "file", "folder", "headers")
HEADERS = {"subject": "Subject", "from": "From", "to": "To", "date": "Date", "message_id": "Message-ID"}
BATCH_MAILS = 500  # fewer than BATCH_ROWS because mails are longer than lines


class Config(Section):
    """format = "mail"."""

    kind: Literal["mail"] = "mail"
    pattern: str = "*"  # glob pattern of the files to read in a folder, including subfolders


def read(source: Path, config: Config, repairs: Repairs, columns: Sequence[str | int]) -> Iterator[Rows]:
    """Yield the requested columns of each mail, one row per mail."""
    names = [COLUMNS[index] for index in text_file.column_indices(str(source), COLUMNS, columns)]
    text_file.check_exists(source)
    rows = Rows(str(source), [], [], [[] for _ in columns], "mail")
    count = 0
    for path, raw in read_messages(source, config.pattern):
        cells = message_columns(path, raw, names, repairs)
        for column, name in zip(rows.columns, names, strict=True):
            column.append(cells[name])
        rows.positions.append(count)
        count += 1
        rows.lines.append(count)
        if len(rows) == BATCH_MAILS:
            yield rows
            rows = Rows(str(source), [], [], [[] for _ in columns], "mail")
    if not count:
        raise DataError(f"{source}: no mails")
    yield rows


def read_messages(source: Path, pattern: str) -> Iterator[tuple[Path, bytes]]:
    """Yield (file, raw bytes) of each mail; files of a folder are sorted by name."""
    paths = sorted(path for path in source.rglob(pattern) if path.is_file()) if source.is_dir() else [source]
    for path in paths:
        with text_file.open_bytes(path) as file:
            yield from ((path, raw) for raw in mbox.messages(file))


def message_columns(path: Path, raw: bytes, names: Sequence[str], repairs: Repairs) -> dict[str, str]:
    """Return the named columns of one raw message, counting repairs."""
    message = headers.parse(raw, repairs.counts)
    cells = {name: headers.header_text(message, HEADERS[name]) for name in names if name in HEADERS}
    if "body" in names:
        cells["body"] = structure.body(message, repairs.counts)
    if "headers" in names:
        cells["headers"] = headers.header_block(message)
    return {**cells, "file": path.name, "folder": path.parent.name}
