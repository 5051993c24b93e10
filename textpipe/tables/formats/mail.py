"""Mail: an mbox file, one raw message (.eml), or a folder of raw messages.

Columns: body (the text/plain part in its own charset, else the text/html part; line ends are "\\n"), subject, from, to,
date, message_id, file (name of the message's file), folder (name of the folder it lies in: spam/0001.eml -> "spam").
"""

import email
import email.header
import email.message
import email.policy
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from textpipe.config import Section
from textpipe.errors import DataError
from textpipe.tables import textfile
from textpipe.tables.rows import Repairs, Rows

SUFFIXES = (".mbox", ".eml")
COLUMNS = ("body", "subject", "from", "to", "date", "message_id", "file", "folder")
HEADERS = {"subject": "Subject", "from": "From", "to": "To", "date": "Date", "message_id": "Message-ID"}
BATCH = 500  # mails are longer than lines


class Config(Section):
    """format = "mail"; pattern chooses the files of a folder, folders below it included."""

    kind: Literal["mail"] = "mail"
    pattern: str = "*"  # which files of a folder are read, folders below it included


def read(source: Path, config: Config, repairs: Repairs, wanted: Sequence[str | int]) -> Iterator[Rows]:
    """The wanted columns of each mail; a row is a mail."""
    at = textfile.columns_at(str(source), COLUMNS, wanted)
    textfile.must_exist(source)
    rows = Rows(str(source), [], [], [[] for _ in wanted], "mail")
    count = 0
    for path, raw in mails(source, config.pattern):
        cells = columns_of(path, raw)
        for column, number in zip(rows.columns, at, strict=True):
            column.append(cells[COLUMNS[number]])
        rows.positions.append(count)
        count += 1
        rows.lines.append(count)
        if len(rows) == BATCH:
            yield rows
            rows = Rows(str(source), [], [], [[] for _ in wanted], "mail")
    if not count:
        raise DataError(f"{source}: no mails")
    yield rows


def mails(source: Path, pattern: str) -> Iterator[tuple[Path, bytes]]:
    """(file, raw bytes) of each mail, files of a folder in the order of their names."""
    paths = sorted(path for path in source.rglob(pattern) if path.is_file()) if source.is_dir() else [source]
    for path in paths:
        with textfile.open_bytes(path) as file:
            yield from ((path, raw) for raw in messages(file))


def messages(file: Iterator[bytes]) -> Iterator[bytes]:
    """Raw messages of an mbox, cut at "From " lines (RFC 4155); a file without such a line is one message."""
    held: list[bytes] = []
    box, blank = False, True
    for line in file:
        if blank and line.startswith(b"From ") and (box or not held):
            if held:
                yield b"".join(held)
            held, box = [], True
        else:
            # mboxrd quotes a body's own "From " lines as ">From ", and what was so quoted once more.
            held.append(re.sub(rb"^>(>*From )", rb"\1", line) if box and line.startswith(b">") else line)
        blank = not line.strip()
    if held:
        yield b"".join(held)


def columns_of(path: Path, raw: bytes) -> dict[str, str]:
    """The columns of one raw message."""
    message = email.message_from_bytes(raw, policy=email.policy.compat32)
    cells = {name: header_text(message, header) for name, header in HEADERS.items()}
    return {**cells, "body": body_text(message), "file": path.name, "folder": path.parent.name}


def header_text(message: email.message.Message, name: str) -> str:
    """A header as one line, encoded words (RFC 2047) decoded."""
    value = next((value for key, value in message.raw_items() if key.lower() == name.lower()), "")
    parts = []
    # Unfolded first: the decoder would take a folded line's leading blank away.
    value = re.sub(r"\r?\n", "", value)
    if not value.isascii():  # bytes of no declared charset, which the parser carries as lone surrogates
        value = charset_text(value.encode(errors="surrogateescape"), None)
    try:
        for part, charset in email.header.decode_header(value):
            parts.append(charset_text(part, charset) if isinstance(part, bytes) else part)
    except (email.errors.HeaderParseError, ValueError):
        parts = [value]
    return " ".join("".join(parts).split())


def body_text(message: email.message.Message) -> str:
    """The first text/plain part that is no attachment, else the first text/html part, else nothing."""
    found: dict[str, str] = {}
    for part in message.walk():
        kind = part.get_content_type()
        if kind not in ("text/plain", "text/html") or kind in found or part.get_content_disposition() == "attachment":
            continue
        payload = part.get_payload(decode=True)
        if isinstance(payload, bytes):
            found[kind] = charset_text(payload, part.get_content_charset()).replace("\r\n", "\n").strip("\n")
    return found.get("text/plain") or found.get("text/html") or ""


def charset_text(data: bytes, charset: str | None) -> str:
    """Bytes in a declared charset; undeclared and unknown ones are UTF-8 if they can be, else Windows-1252.

    Bytes that the charset does not have become lone surrogates, which are counted and mended like any others.
    """
    for name in (charset, "utf-8"):
        try:
            return data.decode(name or "ascii")
        except (LookupError, UnicodeDecodeError, ValueError):
            continue
    known = charset is not None and charset.lower() not in ("us-ascii", "ascii", "unknown-8bit", "default", "x-unknown")
    if known:
        try:
            return data.decode(charset, errors="surrogateescape")
        except (LookupError, UnicodeDecodeError, ValueError):
            pass
    return data.decode("cp1252", errors="surrogateescape")
