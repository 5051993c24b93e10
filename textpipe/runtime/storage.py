"""Files on shared storage, by URL (s3://, gs://, hdfs://, ...): fetched into the download folder, read from there.

fsspec (extra `storage`) speaks the protocols, each with a package of its own, s3fs for s3:// for example. A file:// URL is a local path.
"""

import contextlib
import errno
import fcntl
import functools
import hashlib
import json
import logging
import os
import re
import shutil
import urllib.parse
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from textpipe.errors import DataError, NetworkError, ResourceError
from textpipe.runtime import extras

URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://.+")  # a scheme has two letters or more: C:// is a drive
FOLDER = Path("data/downloads/storage")
VERSION, COPY, LOCK = "version.json", "copy", "lock"  # beside each other, so that a file may have any name
STAMPS = ("ETag", "etag", "Content-MD5", "Digest", "md5Hash", "crc32c", "checksum", "sha", "generation", "Last-Modified",
          "LastModified", "last_modified", "modified", "modify", "mtime", "updated", "created")  # fmt: skip
# Without them, fsspec waits 5 minutes for a server that says nothing.
HTTP_SECONDS = {"sock_connect": 30, "sock_read": 30}
ABSENT = (404, 410)  # of HTTP
MAX_NAME = 100  # characters of a copy's name; the end, as suffixes say what is in it

log = logging.getLogger(__name__)


def is_url(text: str) -> bool:
    """Whether a text is a URL of storage, not a path."""
    return URL.fullmatch(text) is not None


def library() -> Any:
    """fsspec. Raises ResourceError if it is not installed."""
    return extras.load("fsspec", "URLs of storage need fsspec", "storage")


def connect(url: str) -> tuple[Any, str]:
    """(the file system of a URL, the path in it). Raises DataError for an unknown protocol or one whose package is missing."""
    try:
        return library().core.url_to_fs(url, **options_of(url))
    except (ImportError, ValueError) as error:
        raise DataError(f"{url}: {error}") from None
    except Exception as error:
        raise unreachable(url, error) from None


def options_of(url: str) -> dict[str, Any]:
    """Options of a protocol's package: for HTTP, limits of each wait, and none of a whole transfer, which would be 5 minutes."""
    if not url.lower().startswith(("http://", "https://")):
        return {}
    try:
        from aiohttp import ClientTimeout
    except ImportError:  # which fsspec explains
        return {}
    return {"client_kwargs": {"timeout": ClientTimeout(total=None, **HTTP_SECONDS)}}


def unreachable(url: str, error: Exception) -> NetworkError:
    """The error of a protocol's package, each of which has classes of its own, as one line."""
    reason = str(error).strip().partition("\n")[0] or type(error).__name__
    return NetworkError(f"{url}: cannot be reached: {reason}")


@contextlib.contextmanager
def explained(url: str) -> Iterator[None]:
    """Raise a missing file as DataError, and every other error of storage as NetworkError; that of a full disk passes."""
    try:
        yield
    except FileNotFoundError as error:
        cause = error.__cause__  # of HTTP, whatever happened
        if isinstance(cause, Exception) and getattr(cause, "status", None) not in ABSENT:
            raise unreachable(url, cause) from None
        raise DataError(f"{url}: no such file") from None
    except (DataError, NetworkError, ResourceError):
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise unreachable(url, error) from None
    except Exception as error:
        raise unreachable(url, error) from None


@functools.cache
def fetch(url: str) -> Path:
    """The local copy of a file or folder, downloaded if there is none or storage has another version; once per process.

    Raises DataError if nothing is there, NetworkError if storage does not answer and no copy was made before.
    """
    if url.lower().startswith("file://"):
        return Path(urllib.parse.unquote(re.sub("^file://[^/]*", "", url, flags=re.IGNORECASE)))
    folder = FOLDER / hashlib.sha256(url.encode()).hexdigest()[:16]
    target = folder / COPY / name_of(url)
    try:
        with explained(url):
            system, path = connect(url)
            current = versions(system, path)
    except NetworkError as error:
        if not target.exists():
            raise
        log.warning("%s; the copy of an earlier run is used: %s", error, target)
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with open(folder / LOCK, "a", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another run may fetch it, too
        if not target.exists() or not is_dated(current) or read_version(folder / VERSION) != current:
            replace(url, system, path, current, folder, target)
    return target


def replace(url: str, system: Any, path: str, current: dict[str, dict[str, str]], folder: Path, target: Path) -> None:
    """Fetch a file or folder and put it in the place of an earlier copy."""
    part, version = folder / "part", folder / VERSION
    log.info("%s: %d file%s fetched to %s", url, len(current), "" if len(current) == 1 else "s", target)
    try:
        remove(part)  # of a run that was killed
        with explained(url):
            download(system, path, current, part)
        version.unlink(missing_ok=True)
        remove(target)
        os.replace(part, target)
        version.write_text(json.dumps(current, sort_keys=True), encoding="utf-8")
    finally:
        remove(part)


def name_of(url: str) -> str:
    """The name of a copy: the last part of the URL's path, or else its host."""
    path, host = re.match(r"[^:]+://([^/?#]*)([^?#]*)", url).group(2, 1)  # type: ignore[union-attr]  # is_url
    name = PurePosixPath(path).name or host
    return name[-MAX_NAME:] if name.strip(".") else COPY


def versions(system: Any, path: str) -> dict[str, dict[str, str]]:
    """{file: size and stamps} of a file, "" alone, or of the files below a folder. Raises FileNotFoundError."""
    info = system.info(path)
    if info["type"] != "directory":
        return {"": stamps(info)}
    entries = system.find(path, detail=True)
    if not entries:
        raise FileNotFoundError(path)
    return {name.removeprefix(path.rstrip("/")).lstrip("/"): stamps(entry) for name, entry in sorted(entries.items())}


def stamps(info: dict[str, Any]) -> dict[str, str]:
    """What tells two versions of a file apart."""
    return {name: str(info[name]) for name in ("size", *STAMPS) if info.get(name) is not None}


def is_dated(version: dict[str, dict[str, str]]) -> bool:
    """Whether every file has a stamp besides its size, which a changed file may have as well."""
    return all(set(entry) - {"size"} for entry in version.values())


def read_version(path: Path) -> Any:
    """The versions of a copy; None if it is incomplete."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def download(system: Any, path: str, files: dict[str, Any], target: Path) -> None:
    """Copy a file, or the files of a folder, to a local path."""
    for name in files:
        local = target / name if name else target
        if not local.resolve().is_relative_to(target.resolve()):
            raise DataError(f"{path}/{name}: a file outside its folder")
        local.parent.mkdir(parents=True, exist_ok=True)
        system.get_file(f"{path.rstrip('/')}/{name}" if name else path, str(local))


def remove(path: Path) -> None:
    """Delete a file or folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
