"""Download the files of a dataset: verify checksums before moving files into place, resume interrupted transfers."""

import hashlib
import http.client
import logging
import os
import shutil
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from textpipe.errors import DataError, NetworkError

MIRROR = "TEXTPIPE_DATA"
ATTEMPTS = 3
BLOCK = 1 << 18
TIMEOUT = 60  # seconds without a byte

Progress = Callable[[str, int, int], None]  # (path, bytes so far, bytes in all)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class File:
    """One file of a dataset; path is relative to the mirror, the download folder or, if bundled, the data folder."""

    path: str
    sha256: str = ""
    bytes: int = 0
    url: str = ""
    member: str = ""
    also: tuple[str, ...] = ()


def checksum_error(path: Path, file: File) -> str:
    """Return a message if a file's checksum differs from the card's, else ""."""
    if not file.sha256:
        return ""
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return "" if digest in (file.sha256, *file.also) else f"SHA-256 {digest} where the card has {file.sha256}"


def fetch(file: File, target: Path, progress: Progress | None) -> None:
    """Download a file; it is moved to `target` only after its checksum was verified."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    resumed = part.exists() and part.stat().st_size > 0
    while True:
        download(file, part, progress)
        result = extract(part, file) if file.member else part
        error = checksum_error(result, file)
        if not error:
            break
        part.unlink()
        result.unlink(missing_ok=True)
        # The partial file of an earlier run may belong to an older version: download once more from the start.
        if not resumed:
            raise NetworkError(
                f"{file.url}: {error}; the download was removed. The file may have changed at its source"
            )
        resumed = False
    os.replace(result, target)
    part.unlink(missing_ok=True)


def download(file: File, part: Path, progress: Progress | None) -> None:
    """Download to `part`, resuming an earlier interrupted transfer."""
    for attempt in range(1, ATTEMPTS + 1):
        received = part.stat().st_size if part.exists() else 0
        request = urllib.request.Request(file.url, headers={"User-Agent": "textpipe"})
        if received:
            request.add_header("Range", f"bytes={received}-")
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
                if received and not str(response.headers.get("Content-Range", "")).startswith(f"bytes {received}-"):
                    received = 0  # the server sends the whole file
                length = response.headers.get("Content-Length")
                total = received + int(length) if length else 0
                with part.open("ab" if received else "wb") as sink:
                    while block := response.read(BLOCK):
                        sink.write(block)
                        received += len(block)
                        if progress:
                            progress(file.path, received, total or file.bytes)
            if not total or received == total:
                return
            problem = f"connection lost after {received:,} of {total:,} bytes"
        except urllib.error.HTTPError as error:
            if error.code == 416 and received:  # already complete, or the file became shorter
                if not file.member and not checksum_error(part, file):
                    return
                part.unlink()
                continue
            if error.code < 500:
                raise NetworkError(
                    f"{file.url}: the server responded with {error.code} {error.reason}; look for the file at its source"
                ) from None
            problem = f"the server responded with {error.code} {error.reason}"
        except http.client.IncompleteRead:
            problem = f"connection lost after {part.stat().st_size if part.exists() else 0:,} bytes"
        except urllib.error.URLError as error:
            problem = f"cannot be reached ({error.reason})"
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, OSError) and error.filename is not None:
                raise
            problem = f"connection lost ({error})"
        log.warning("%s: %s; attempt %d of %d", file.url, problem, attempt, ATTEMPTS)
    raise NetworkError(f"{file.url}: {problem}; run again to resume, or set {MIRROR} to a folder that has {file.path}")


def extract(archive: Path, file: File) -> Path:
    """Extract the member of a downloaded zip archive into the same folder; return its path."""
    result = archive.with_name(archive.name + ".member")
    try:
        with zipfile.ZipFile(archive) as opened, opened.open(file.member) as source, result.open("wb") as sink:
            shutil.copyfileobj(source, sink)
    except (zipfile.BadZipFile, KeyError) as error:
        archive.unlink()
        raise DataError(
            f"{file.url}: not a zip archive with a member {file.member!r} ({error}); it was removed"
        ) from None
    return result
