"""Read lines of text files, plain or compressed, in blocks of about one megabyte.

Compression is detected by the first bytes, not by the name: gzip, bzip2, xz, or one member of a zip archive. The encoding
is declared by Repairs or detected by encodings.py.
"""

import bz2
import gzip
import itertools
import lzma
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, AnyStr, cast

from textpipe.data import encodings
from textpipe.data.rows import BATCH_ROWS, Repairs
from textpipe.errors import ColumnError, DataError, suggest
from textpipe.runtime import small_file

BLOCK = 1 << 20
MAX_LINE_BYTES = 1 << 28  # a longer line is not text, and would have to fit in memory
COMPRESSED = (".gz", ".bz2", ".xz", ".zip")


def check_exists(path: Path) -> None:
    """Raise DataError, suggesting similar names, if a path does not exist, and if it is a device or a pipe: files are read twice."""
    if not path.exists():
        siblings = sorted(sibling.name for sibling in path.parent.iterdir()) if path.parent.is_dir() else []
        if not path.parent.is_dir():
            raise DataError(f"{path}: no such file; there is no folder {path.parent} (below {Path.cwd()})")
        raise DataError(f"{path}: no such file{suggest(path.name, siblings)}")
    if special := small_file.special_file(path):
        raise DataError(
            f"{path}: expected a file, found {special}; copy it to a file (`textpipe bulk` also reads standard input: -)"
        )


def strip_compression(path: Path) -> str:
    """Return a file's name without its compression suffix: mail.tsv.gz -> mail.tsv."""
    return path.name.removesuffix(path.suffix) if path.suffix in COMPRESSED else path.name


def open_bytes(path: Path, member: str | None = None) -> IO[bytes]:
    """Open a file, decompressing it if necessary; `member` is required for a zip archive with several files."""
    check_exists(path)
    if path.is_dir():
        raise DataError(f"{path}: is a folder, but a file was expected")
    with path.open("rb") as file:
        magic = file.read(6)
    if magic.startswith(b"\x1f\x8b"):
        return cast(IO[bytes], gzip.open(path, "rb"))
    if magic.startswith(b"BZh"):
        return bz2.open(path, "rb")
    if magic.startswith(b"\xfd7zXZ\0"):
        return lzma.open(path, "rb")
    if magic.startswith(b"PK\x03\x04"):
        return open_member(path, member)
    if member is not None:
        raise DataError(f"{path}: not a zip archive, so it has no member {member!r}; leave `member` out")
    return path.open("rb")


def open_member(path: Path, member: str | None) -> IO[bytes]:
    """Open a member of a zip archive; the only one if `member` is None."""
    try:
        archive = zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        raise DataError(f"{path}: the compressed file is damaged or truncated ({error}); download it again") from None
    names = [info.filename for info in archive.infolist() if not info.is_dir()]
    if member is None and len(names) != 1:
        raise DataError(f"{path}: contains {len(names)} files ({', '.join(names[:5])}); choose one with format.member")
    if member is not None and member not in names:
        raise DataError(f"{path}: no member {member!r}{suggest(member, names)}")
    try:
        return archive.open(member or names[0])
    except (RuntimeError, NotImplementedError, zipfile.BadZipFile) as error:  # encrypted, or unsupported compression
        raise DataError(f"{path}: {member or names[0]} cannot be unpacked ({error}); unpack it yourself") from None


def blocks(path: Path, member: str | None = None, repairs: Repairs | None = None) -> Iterator[str]:
    """Yield blocks of complete lines, a megabyte or one long line at a time, without the last line end of each block.

    Bytes that are invalid in the file's encoding become lone surrogates. Raises DataError for a missing, empty or
    truncated file.
    """
    repairs = repairs or Repairs()
    with open_bytes(path, member) as file:
        start = read_chunk(path, file)
        if not start:
            raise DataError(f"{path}: the file is empty")
        encoding = encodings.detect(path, start, repairs.encoding)
        chunks: Iterator[bytes] = itertools.chain([start], iter(lambda: read_chunk(path, file), b""))
        if encoding.name == encodings.UTF8:
            chunks = with_line_feeds(chunks, b"\r", b"\n")
        if encoding.name != encodings.UTF8:
            repairs.record_encoding(path, encoding)
            yield from decoded_blocks(path, encoding.name, chunks, warn=repairs.encoding is not None)
            return
        guess = repairs.encoding is None and repairs.on_invalid == "replace" and not start.startswith(encodings.BOM)
        utf8 = encodings.Utf8LineDecoder(path, guess=guess)
        for block in whole_lines(path, utf8.chunks(chunks), b"\n"):
            text = utf8.text(block)
            if utf8.encoding.guessed:
                repairs.record_encoding(path, utf8.encoding)
            yield text.removeprefix(encodings.MARK) if start else text
            start = b""


def decoded_blocks(path: Path, name: str, chunks: Iterable[bytes], *, warn: bool) -> Iterator[str]:
    """Yield blocks of a file in an encoding other than UTF-8; warn: log a warning if its text looks like UTF-8."""
    decoder = encodings.incremental_decoder(name)

    def texts() -> Iterator[str]:
        check = warn and not name.startswith("utf")
        for chunk in chunks:
            if check and not chunk.isascii():
                check = False
                encodings.warn_if_utf8(path, name, chunk)
            yield decoder.decode(chunk)
        yield decoder.decode(b"", final=True)

    first = True
    for text in whole_lines(path, with_line_feeds(texts(), "\r", "\n"), "\n"):
        yield text.removeprefix(encodings.MARK) if first else text
        first = False


def with_line_feeds(chunks: Iterable[AnyStr], carriage_return: AnyStr, line_feed: AnyStr) -> Iterator[AnyStr]:
    """Chunks whose lines end in LF, if they end in CR alone, as in files saved "for Macintosh"; others are unchanged."""
    old = None
    for chunk in chunks:
        if old is None and chunk:
            old = carriage_return in chunk and line_feed not in chunk
        yield (
            chunk.replace(carriage_return + line_feed, line_feed).replace(carriage_return, line_feed) if old else chunk
        )


def whole_lines(path: Path, chunks: Iterable[AnyStr], end: AnyStr) -> Iterator[AnyStr]:
    """Split chunks at line ends instead; each yielded block lacks its final line end."""
    pending: list[AnyStr] = []
    size = 0
    for chunk in chunks:
        last_break = chunk.rfind(end)
        if last_break >= 0:
            pending.append(chunk[:last_break])
            yield end[:0].join(pending)
            pending, size = [], 0
            chunk = chunk[last_break + 1 :]
        pending.append(chunk)
        size += len(chunk)
        if size > MAX_LINE_BYTES:
            raise DataError(f"{path}: a line of more than {MAX_LINE_BYTES >> 20} MB; is this a text file?")
    if size:
        yield end[:0].join(pending)


def read_chunk(path: Path, file: IO[bytes]) -> bytes:
    try:
        return file.read(BLOCK)
    except (EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: the compressed file is damaged or truncated ({error}); download it again") from None
    except OSError as error:
        if isinstance(file, bz2.BZ2File) and error.errno is None:
            raise DataError(f"{path}: the compressed file is damaged ({error}); download it again") from None
        raise


def decode(data: bytes) -> str:
    """Decode UTF-8; invalid bytes become lone surrogates."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode(errors="surrogateescape")


def lines(path: Path, member: str | None = None, repairs: Repairs | None = None) -> Iterator[tuple[int, list[str]]]:
    """Yield (number of the first line, at most 10,000 lines without their ends); CRLF and LF both end a line, and CR in a file without LF."""
    number = 1
    for text in blocks(path, member, repairs):
        block = text.split("\n")
        if "\r" in text:
            block = [line.removesuffix("\r") for line in block]
        for start in range(0, len(block), BATCH_ROWS):
            yield number + start, block[start : start + BATCH_ROWS]
        number += len(block)


def column_indices(source: str, names: Sequence[str], columns: Sequence[str | int], cure: str = "") -> list[int]:
    """Return the indices of columns given by name or number. Raises DataError if one is missing or ambiguous."""
    indices = []
    for column in columns:
        if isinstance(column, int):
            if not 0 <= column < len(names):
                raise DataError(f"{source}: no column number {column}; it has {len(names)}, counted from 0")
            indices.append(column)
        elif column not in names:
            message = f"{source}: no column {column!r}{suggest(column, set(names))}{cure}"
            raise ColumnError(message, source, column, names)
        elif list(names).count(column) > 1:
            message = (
                f"{source}: {list(names).count(column)} columns are called {column!r}; rename one or use its number"
            )
            raise ColumnError(message, source, column, names)
        else:
            indices.append(list(names).index(column))
    return indices
