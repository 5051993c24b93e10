"""Mailboxes: mbox files, Maildirs and folders of raw mails, read mail by mail, any of them again by its place.

Memory is bounded by MAX_MAIL whatever the mailbox: of a longer mail only the start is read.
"""

import tempfile
from collections.abc import Iterator, Sequence
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import IO, NamedTuple, Self

from textpipe.data import text_file
from textpipe.data.mail import mbox
from textpipe.errors import DataError

MAX_MAIL = 8 << 20  # bytes of one mail that are read; text comes before attachments
MAX_LINE = 1 << 16  # bytes read at once of a line without end
MAILDIR_FOLDERS = ("cur", "new")  # tmp has mails that are still being delivered
COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"PK\x03\x04")


class Place(NamedTuple):
    """Where a mail is: the index of its file, and the bytes from start up to stop of the uncompressed file.

    number: of the mail, counted from 1 over all files.
    """

    file: int
    start: int
    stop: int
    number: int


class Mailbox:
    """The mails of files and folders, as one mailbox; a context manager, since compressed files are unpacked meanwhile.

    paths: mbox files, mails, Maildirs or folders, in order. pattern: glob pattern of the files of a folder that is no Maildir.
    """

    def __init__(self, paths: Sequence[Path], pattern: str = "*"):
        self.name = " and ".join(map(str, paths[:3])) + (f" and {len(paths) - 3} more" if len(paths) > 3 else "")
        self.files: list[Path] = []
        for path in paths:
            text_file.check_exists(path)
            self.files += mail_files(path, pattern) if path.is_dir() else [path]
        if not self.files:
            raise DataError(
                f"{self.name}: no mails; expected an mbox file, a Maildir (cur, new) or a folder of .eml files"
            )
        self._unpacked: dict[int, IO[bytes]] = {}
        self._open: tuple[int, IO[bytes]] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for file in [*self._unpacked.values(), *([self._open[1]] if self._open else [])]:
            file.close()
        self._unpacked, self._open = {}, None

    def mails(self) -> Iterator[tuple[Place, bytes, bool]]:
        """Yield (place, raw bytes, whether it was cut) of every mail, file by file."""
        number = 0
        for index in range(len(self.files)):
            lines = MailLines(self.file(index))
            for raw in mbox.messages(lines):
                number += 1
                yield Place(index, lines.mail_start, lines.stop, number), raw, lines.cut
                lines.next_mail()

    def read(self, place: Place) -> bytes:
        """Return the raw bytes of one mail, as `mails` gave them."""
        file = self.file(place.file)
        file.seek(place.start)
        lines = MailLines(BytesIO(file.read(min(place.stop - place.start, MAX_MAIL + 2 * MAX_LINE))))
        return next(mbox.messages(lines), b"")

    def file(self, index: int) -> IO[bytes]:
        """Return a file at its start, unpacked into a temporary file if it is compressed; one other is open at a time."""
        if index in self._unpacked:
            file = self._unpacked[index]
        elif self._open is not None and self._open[0] == index:
            file = self._open[1]
        else:
            path = self.files[index]
            with path.open("rb") as start:
                compressed = start.read(6).startswith(COMPRESSED)
            if compressed:
                file = self._unpacked[index] = unpack(path)
            else:
                if self._open is not None:
                    self._open[1].close()
                file = path.open("rb")
                self._open = (index, file)
        file.seek(0)
        return file


class MailLines:
    """The lines of a file for mbox.messages, and the place of the mail they belong to.

    Of what is longer than MAX_MAIL only lines that may separate two mails are given, each with its neighbours.
    """

    def __init__(self, file: IO[bytes]):
        self.file = file
        self.mail_start = self.place = 0  # bytes: where this mail and the next line start
        self.previous = self.before_previous = 0  # where the last two given lines start
        self.cut = self.ended = False
        self._line_start, self._after_from = True, False
        self._queue: list[tuple[int, bytes]] = []

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        # The line after "From " tells whether it separates two mails.
        if not self._queue and not self._after_from and self.place - self.mail_start > MAX_MAIL:
            self._skip()
        if not self._queue:
            self._queue += self._split_line(*self._read())
        start, line = self._queue.pop(0)
        if not line:
            self.ended = True
            raise StopIteration
        self.before_previous, self.previous = self.previous, start
        self._after_from = line.startswith(b"From ")
        return line

    def _read(self) -> tuple[int, bytes, bool]:
        """Read a line, or MAX_LINE bytes of a longer one: (its place, the bytes, whether a line starts with them)."""
        start, line, line_start = self.place, self.file.readline(MAX_LINE), self._line_start
        if len(line) == MAX_LINE:
            line += self.file.readline(2)  # a line end alone would look like an empty line
        self.place += len(line)
        self._line_start = line.endswith(b"\n")
        return start, line, line_start

    def _split_line(self, start: int, line: bytes, line_start: bool) -> list[tuple[int, bytes]]:
        """Cut the middle of a long line so that no piece looks like the start of a separator or of a quoted one."""
        if line_start or not line.startswith((b"From ", b">")):
            return [(start, line)]
        num_quote_marks = len(line) - len(line.lstrip(b">"))
        bounds = [
            0,
            *([num_quote_marks] if num_quote_marks else []),
            *([num_quote_marks + 1] if line[num_quote_marks:].startswith(b"From ") else []),
            len(line),
        ]
        return [
            (start + start_offset, line[start_offset:end])
            for start_offset, end in pairwise(bounds)
            if start_offset < end
        ]

    def _skip(self) -> None:
        """Read up to a line that may separate two mails, and queue it behind the line before it."""
        before: list[tuple[int, bytes]] = []
        while True:
            at, line, line_start = self._read()
            if not line or (line_start and line.startswith(b"From ")):
                break
            self.cut, before = True, self._split_line(at, line, line_start)
        self._queue += [*before, *([(at, line)] if line else [])]

    @property
    def stop(self) -> int:
        """Where the mail just given ends: before its separator, the last line but one, or at the end."""
        return self.place if self.ended else self.before_previous

    def next_mail(self) -> None:
        """Begin the next mail where the last one stopped."""
        self.mail_start, self.cut = self.stop, False


def mail_files(folder: Path, pattern: str) -> list[Path]:
    """Return the files of a folder that hold mails, sorted: of a Maildir (and Maildirs in it) those in cur and new."""
    files = sorted(path for path in folder.rglob(pattern) if path.is_file())
    of_maildir = [path for path in files if path.parent.name in MAILDIR_FOLDERS and is_maildir(path.parent.parent)]
    if of_maildir:
        return of_maildir
    return [path for path in files if not path.name.startswith(".")]


def is_maildir(folder: Path) -> bool:
    """Whether a folder has the two folders of a Maildir that hold mails, or one of them and tmp."""
    return sum((folder / name).is_dir() for name in (*MAILDIR_FOLDERS, "tmp")) >= 2


def unpack(path: Path) -> IO[bytes]:
    """Return a temporary file with a compressed file's content, for reading at any place. Raises DataError."""
    target = tempfile.TemporaryFile(prefix="textpipe-mailbox-")  # noqa: SIM115  Mailbox closes it
    try:
        with text_file.open_bytes(path) as source:
            while chunk := text_file.read_chunk(path, source):
                target.write(chunk)
    except BaseException:
        target.close()
        raise
    return target
