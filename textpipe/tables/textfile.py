"""Lines of text files, plain or compressed, in blocks of about one megabyte.

Compression is told by the first bytes, not by the name: gzip, bzip2, xz, and one member of a zip archive.
"""

import bz2
import gzip
import lzma
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from textpipe.errors import DataError, suggest

BLOCK = 1 << 20
LONGEST = 1 << 28  # a line of more bytes than this is not text, and would have to fit in memory
COMPRESSED = (".gz", ".bz2", ".xz", ".zip")
BOM = b"\xef\xbb\xbf"


def must_exist(path: Path) -> None:
    """Raise DataError naming near files when a path is missing."""
    if not path.exists():
        near = sorted(other.name for other in path.parent.iterdir()) if path.parent.is_dir() else []
        if not path.parent.is_dir():
            raise DataError(f"{path}: no such file; there is no folder {path.parent} (below {Path.cwd()})")
        raise DataError(f"{path}: no such file{suggest(path.name, near)}")


def bare_name(path: Path) -> str:
    """A file's name without the suffix of its compression: mail.tsv.gz -> mail.tsv."""
    return path.name.removesuffix(path.suffix) if path.suffix in COMPRESSED else path.name


def open_bytes(path: Path, member: str | None = None) -> IO[bytes]:
    """The bytes of a file, unpacked; `member` names one of a zip archive's, needed when it has several."""
    must_exist(path)
    if path.is_dir():
        raise DataError(f"{path}: is a folder where a file was expected")
    with path.open("rb") as file:
        magic = file.read(6)
    if magic.startswith(b"\x1f\x8b"):
        return gzip.open(path, "rb")
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
    """One member of a zip archive; the only one when `member` is None."""
    archive = zipfile.ZipFile(path)
    names = [info.filename for info in archive.infolist() if not info.is_dir()]
    if member is None and len(names) != 1:
        raise DataError(f"{path}: holds {len(names)} files ({', '.join(names[:5])}); say which with format.member")
    if member is not None and member not in names:
        raise DataError(f"{path}: no member {member!r}{suggest(member, names)}")
    return archive.open(member or names[0])


def blocks(path: Path, member: str | None = None) -> Iterator[str]:
    """Whole lines as text, a megabyte or one long line at a time, without the last line end of each block.

    Bytes that are not UTF-8 come out as lone surrogates. Raises DataError for a missing, empty, cut-off or UTF-16 file.
    """
    with open_bytes(path, member) as file:
        first = True
        held: list[bytes] = []
        size = 0
        while chunk := read_chunk(path, file):
            if first:
                refuse_utf16(path, chunk)
                first = False
                chunk = chunk.removeprefix(BOM)
            cut = chunk.rfind(b"\n")
            if cut >= 0:
                held.append(chunk[:cut])
                yield decode(b"".join(held))
                held, size = [], 0
                chunk = chunk[cut + 1 :]
            held.append(chunk)
            size += len(chunk)
            if size > LONGEST:
                raise DataError(f"{path}: a line of more than {LONGEST >> 20} MB; is this a text file?")
        if first:
            raise DataError(f"{path}: the file is empty")
        if size:
            yield decode(b"".join(held))


def read_chunk(path: Path, file: IO[bytes]) -> bytes:
    try:
        return file.read(BLOCK)
    except (EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: the compressed file is damaged or cut off ({error}); fetch it again") from None
    except OSError as error:
        if isinstance(file, bz2.BZ2File) and error.errno is None:
            raise DataError(f"{path}: the compressed file is damaged ({error}); fetch it again") from None
        raise


def refuse_utf16(path: Path, start: bytes) -> None:
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError(f"{path}: is UTF-16 where UTF-8 was expected; convert it: iconv -f UTF-16 -t UTF-8 {path.name}")


def decode(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode(errors="surrogateescape")


def lines(path: Path, member: str | None = None) -> Iterator[tuple[int, list[str]]]:
    """(number of the first line, lines without their ends): CRLF and LF both end a line; at most 10,000 lines each."""
    number = 1
    for text in blocks(path, member):
        found = text.split("\n")
        if "\r" in text:
            found = [line[:-1] if line.endswith("\r") else line for line in found]
        for start in range(0, len(found), 10_000):
            yield number + start, found[start : start + 10_000]
        number += len(found)


def columns_at(place: str, names: Sequence[str], wanted: Sequence[str | int], cure: str = "") -> list[int]:
    """Where the wanted columns stand; raises DataError with a suggestion when one is missing or ambiguous."""
    found = []
    for column in wanted:
        if isinstance(column, int):
            if not 0 <= column < len(names):
                raise DataError(f"{place}: no column number {column}; it has {len(names)}, counted from 0")
            found.append(column)
        elif column not in names:
            raise DataError(f"{place}: no column {column!r}{suggest(column, set(names))}{cure}")
        elif list(names).count(column) > 1:
            raise DataError(
                f"{place}: {list(names).count(column)} columns are called {column!r}; rename one or use its number"
            )
        else:
            found.append(list(names).index(column))
    return found


__all__ = ["blocks", "columns_at", "lines", "must_exist", "open_bytes"]
