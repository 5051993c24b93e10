"""Where a mail begins in an mbox (RFC 4155, and what mail programs write)."""

import re
from collections.abc import Iterator
from itertools import chain

BOM = b"\xef\xbb\xbf"
PREFIXES = (b"From ", b">")
ZONE = rb"(?:[A-Za-z]{1,5}(?:[+-][0-9]{1,4})?|[+-][0-9]{4}|\([A-Za-z ]+\))"
CLOCK = rb"[0-9]{1,2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?"
DAY, MONTH = rb"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)", rb"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
# asctime's form, its time zone before or after the year or absent; RFC 5322's form; ISO 8601's.
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
# Without a date the sender must look like one.
DATELESS = re.compile(rb"From[ \t]+(?:[^\s@]+@[^\s@]+|<[^>\r\n]*>|-|MAILER-DAEMON)[ \t]*\r?\n?")
HEADER = re.compile(rb">?From |[!-9;-~]+[ \t]*:")
# Header fields that a mail's first line has, for separators that are none by their own form.
FIRST_HEADER = re.compile(
    rb"(?:Return-Path|Received|Delivered-To|Envelope-To|X-[A-Za-z-]+|Message-ID|Date|From|To|Subject|MIME-Version|Status"
    rb"|Content-Type|Reply-To|Sender|DKIM-Signature|ARC-[A-Za-z-]+|Authentication-Results|Path|Newsgroups)[ \t]*:",
    re.IGNORECASE,
)


def messages(file: Iterator[bytes]) -> Iterator[bytes]:
    """Raw messages of an mbox; a file that does not begin with a separator is one message.

    A separator is known by its own form and by the header that follows, with an empty line before it or without; so a
    sentence that begins with "From " stays in its mail. mboxrd's ">From " is unquoted once.
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
    box = is_mbox_start(line, following)
    if not box:
        yield b"".join([line, following, *lines])
        return
    held: list[bytes] = []
    awaiting: bytes | None = None  # a line that may be a separator, which the next one decides
    for line in chain([following] if following else [], lines):
        if awaiting is not None:
            if is_separator(awaiting, line, blank=not held or not held[-1].strip()):
                yield b"".join(held)
                held = []
            else:
                held.append(awaiting)
            awaiting = None
        if line.startswith(PREFIXES):
            if line.startswith(b"From "):
                awaiting = line
                continue
            line = re.sub(rb"^>(>*From )", rb"\1", line)
        held.append(line)
    if awaiting is not None:
        held.append(awaiting)
    yield b"".join(held)


def is_mbox_start(line: bytes, following: bytes) -> bool:
    """Whether a file's first line is an mbox's: here a separator may have any form if a header follows."""
    if not line.startswith(b"From "):
        return False
    return bool(SEPARATOR.fullmatch(line) or not following.strip() or HEADER.match(following))


def is_separator(line: bytes, following: bytes, blank: bool) -> bool:
    """Whether a line that begins with "From " ends one mail and begins the next; blank: an empty line is above it."""
    if SEPARATOR.fullmatch(line):
        return bool(HEADER.match(following))
    return blank and bool(DATELESS.fullmatch(line) and FIRST_HEADER.match(following))
