"""Download the files of a data set: checked before they get their names, gone on with where a transfer broke off."""

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
    """One file of a data set; path is relative to the mirror, the download folder or, bundled, to the data folder."""

    path: str
    sha256: str = ""
    bytes: int = 0
    url: str = ""
    member: str = ""
    also: tuple[str, ...] = ()


def checksum_error(path: Path, file: File) -> str:
    """What is wrong with a file's checksum, or nothing."""
    if not file.sha256:
        return ""
    with path.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    return "" if found in (file.sha256, *file.also) else f"SHA-256 {found} where the card has {file.sha256}"


def fetch(file: File, target: Path, progress: Progress | None) -> None:
    """Download a file; it gets its name only after its checksum was found right."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    resumed = part.exists() and part.stat().st_size > 0
    while True:
        download(file, part, progress)
        made = extract(part, file) if file.member else part
        fault = checksum_error(made, file)
        if not fault:
            break
        part.unlink()
        made.unlink(missing_ok=True)
        # What an earlier run left may belong to an older version of the file: once more from the start.
        if not resumed:
            raise NetworkError(f"{file.url}: {fault}; what came was removed. The file may have changed at its home")
        resumed = False
    os.replace(made, target)
    part.unlink(missing_ok=True)


def download(file: File, part: Path, progress: Progress | None) -> None:
    """Bring `part` to full length, going on where an earlier transfer broke off."""
    for attempt in range(1, ATTEMPTS + 1):
        have = part.stat().st_size if part.exists() else 0
        request = urllib.request.Request(file.url, headers={"User-Agent": "textpipe"})
        if have:
            request.add_header("Range", f"bytes={have}-")
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
                if have and not str(answer.headers.get("Content-Range", "")).startswith(f"bytes {have}-"):
                    have = 0  # the server sends the whole file again
                length = answer.headers.get("Content-Length")
                total = have + int(length) if length else 0
                with part.open("ab" if have else "wb") as sink:
                    while block := answer.read(BLOCK):
                        sink.write(block)
                        have += len(block)
                        if progress:
                            progress(file.path, have, total or file.bytes)
            if not total or have == total:
                return
            finding = f"broke off after {have:,} of {total:,} bytes"
        except urllib.error.HTTPError as error:
            if error.code == 416 and have:  # nothing is left to send, or the file became shorter
                if not file.member and not checksum_error(part, file):
                    return
                part.unlink()
                continue
            if error.code < 500:
                raise NetworkError(
                    f"{file.url}: the server answers {error.code} {error.reason}; look for the file at its home"
                ) from None
            finding = f"the server answers {error.code} {error.reason}"
        except http.client.IncompleteRead:
            finding = f"broke off after {part.stat().st_size if part.exists() else 0:,} bytes"
        except urllib.error.URLError as error:
            finding = f"cannot be reached ({error.reason})"
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, OSError) and error.filename is not None:
                raise
            finding = f"broke off ({error})"
        log.warning("%s: %s; attempt %d of %d", file.url, finding, attempt, ATTEMPTS)
    raise NetworkError(
        f"{file.url}: {finding}; run again to go on where it stopped, or set {MIRROR} to a folder that has {file.path}"
    )


def extract(archive: Path, file: File) -> Path:
    """The member of a downloaded zip archive, beside it."""
    made = archive.with_name(archive.name + ".member")
    try:
        with zipfile.ZipFile(archive) as opened, opened.open(file.member) as source, made.open("wb") as sink:
            shutil.copyfileobj(source, sink)
    except (zipfile.BadZipFile, KeyError) as error:
        archive.unlink()
        raise DataError(
            f"{file.url}: not a zip archive with a member {file.member!r} ({error}); it was removed"
        ) from None
    return made
