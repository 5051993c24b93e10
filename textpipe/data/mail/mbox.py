"""Split an mbox into messages (RFC 4155 and the variants that mail programs write)."""

import re
from collections.abc import Iterator
from itertools import chain

BOM = b"\xef\xbb\xbf"
PREFIXES = (b"From ", b">")
ZONE = rb"(?:[A-Za-z]{1,5}(?:[+-][0-9]{1,4})?|[+-][0-9]{4}|\([A-Za-z ]+\))"
CLOCK = rb"[0-9]{1,2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?"
DAY, MONTH = rb"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)", rb"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
# The formats of asctime (with an optional time zone before or after the year), RFC 5322 and ISO 8601.
DATE = (
    rb"(?:" + DAY + rb",?[ \t]+" + MONTH + rb"[ \t]+[0-9]{1,2},?[ \t]+" + CLOCK
    + rb"(?:[ \t]+" + ZONE + rb")*[ \t]+[0-9]{2,4}"
    + rb"|(?:" + DAY + rb",?[ \t]+)?[0-9]{1,2}[ \t-]+" + MONTH + rb"[ \t-]+[0-9]{2,4}[ \t]+" + CLOCK
    + rb"|[0-9]{4}-[0-9]{2}-[0-9]{2}[ \tT]" + CLOCK + rb"Z?)"
)  # fmt: skip
SEPARATOR = re.compile(
    rb"From[ \t]+(?:[^\s]+(?:[ \t]+[^\s]+){0,3}?[ \t]+)??"
    + DATE
    + rb"(?:[ \t]*"
    + ZONE
    + rb")*(?:[ \t]+remote from [^\r\n]*)?[ \t]*\r?\n?",
    re.IGNORECASE,
)
# Without a date, the sender must look like an address.
DATELESS = re.compile(rb"From[ \t]+(?:[^\s@]+@[^\s@]+|<[^>\r\n]*>|-|MAILER-DAEMON)[ \t]*\r?\n?")
HEADER = re.compile(rb">?From |[!-9;-~]+[ \t]*:")
# Headers that a mail may start with; required after separators without a date.
FIRST_HEADER = re.compile(
    rb"(?:Return-Path|Received|Delivered-To|Envelope-To|X-[A-Za-z-]+|Message-ID|Date|From|To|Subject|MIME-Version|Status"
    rb"|Content-Type|Reply-To|Sender|DKIM-Signature|ARC-[A-Za-z-]+|Authentication-Results|Path|Newsgroups)[ \t]*:",
    re.IGNORECASE,
)


def messages(file: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the raw messages of an mbox; a file that does not start with a separator is one message.

    A separator is recognized by its form and the header after it, not by an empty line before it, so a sentence that
    starts with "From " does not split a mail. mboxrd's ">From " is unquoted once.
    """
    lines = iter(file)
    line = next(lines, None)
    if line is not None:
        line = line.removeprefix(BOM)
    while line is not None and not line.strip():
        line = next(lines, None)
    if line is None:
        return
    following = next(lines, b"")
    if not is_mbox_start(line, following):
        yield b"".join([line, following, *lines])
        return
    message: list[bytes] = []
    candidate: bytes | None = None  # a possible separator; the next line decides
    for line in chain([following] if following else [], lines):
        if candidate is not None:
            if is_separator(candidate, line, blank=not message or not message[-1].strip()):
                yield b"".join(message)
                message = []
            else:
                message.append(candidate)
            candidate = None
        if line.startswith(PREFIXES):
            if line.startswith(b"From "):
                candidate = line
                continue
            line = re.sub(rb"^>(>*From )", rb"\1", line)
        message.append(line)
    if candidate is not None:
        message.append(candidate)
    yield b"".join(message)


def is_mbox_start(line: bytes, following: bytes) -> bool:
    """Whether a file's first line starts an mbox; this separator may have any form if a header follows."""
    if not line.startswith(b"From "):
        return False
    return bool(SEPARATOR.fullmatch(line) or not following.strip() or HEADER.match(following))


def is_separator(line: bytes, following: bytes, blank: bool) -> bool:
    """Whether a line that starts with "From " separates two mails; blank: whether the line before it is empty."""
    if SEPARATOR.fullmatch(line):
        return bool(HEADER.match(following))
    return blank and bool(DATELESS.fullmatch(line) and FIRST_HEADER.match(following))
