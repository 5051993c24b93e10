"""Content-addressed results: one directory per (stage, key), either complete or absent.

    data/artifacts/tokenize/3f9a.../          finished: manifest.json is written last, then the directory is renamed into place
    data/artifacts/tokenize/3f9a....work/     being built, or interrupted; a restart keeps only its resume/
    data/artifacts/tokenize/3f9a....lock      held during a build, so that two runs never build the same result at once
    data/artifacts/tokenize/3f9a....damaged/  a damaged result, kept for inspection until the next one replaces it

A manifest lists the SHA-256 of every file and carries its own (cache/checksummed_json.py). A manifest without its own
was written by an older version: its result counts as absent.
"""

import contextlib
import errno
import fcntl
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from textpipe.cache import checksummed_json
from textpipe.cache.integrity import (
    MANIFEST,
    artifact_digest,
    file_digest,
    find_damage,
    list_files,
    move_aside,
    read_manifest,
)
from textpipe.errors import ResourceError

RESUME = "resume"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Artifact:
    """A finished result: its directory, the digest of its bytes, and the fingerprint that its key hashes."""

    stage: str
    path: Path
    digest: str
    fingerprint: dict[str, Any]


class Store:
    """Finished results below one root directory; open_store gives one with a mirror on shared storage, if one is set."""

    def __init__(self, root: Path):
        self.root = root

    def path(self, stage: str, key: str) -> Path:
        """The directory of a key's result, whether it exists or not."""
        return self.root / stage / key[:32]

    def find(self, stage: str, key: str, *, contents: bool = False) -> Artifact | None:
        """The finished result of a key, or None. A damaged result is set aside with a warning and counts as absent.

        Each call compares file sizes and modification times, and checksums only where a time has changed, which keeps a
        cached run fast. contents: compare every checksum, before something is built from the result.
        """
        path = self.path(stage, key)
        try:
            manifest, has_sum = read_manifest(path)
        except FileNotFoundError:
            return None
        except ValueError as error:
            self.set_aside(path, f"its {MANIFEST} {error}")
            return None
        if not has_sum:
            log.info("%s: written by an older version; rebuilding it", path)
            return None
        problem = find_damage(path, manifest["files"], contents=contents)
        if problem:
            self.set_aside(path, problem)
            return None
        return Artifact(stage, path, manifest["digest"], manifest["ingredients"])

    def look(self, stage: str, key: str, *, contents: bool = False) -> Artifact | None:
        """As `find`, but without fetching anything: its path may not exist."""
        return self.find(stage, key, contents=contents)

    def set_aside(self, path: Path, problem: str) -> None:
        """Move a damaged result out of the way with a warning; the run rebuilds it."""
        target = move_aside(path)
        if target:
            log.warning("%s: %s; set aside as %s and rebuilt", path, problem, target.name)

    def build(
        self, stage: str, key: str, fingerprint: dict[str, Any], work: Callable[[Path], None], *, force: bool = False
    ) -> Artifact:
        """Run `work` on an empty directory and store the files it writes; an error or a kill leaves no result.

        A second process with the same key waits for the first and returns its result. Raises ResourceError when the
        disk is full or the store is not writable.
        """
        path = self.path(stage, key)
        with explain_disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with self.lock(path):
                existing = None if force else self.find(stage, key)
                return existing or self.fill(stage, path, fingerprint, work)

    @contextlib.contextmanager
    def lock(self, path: Path) -> Iterator[None]:
        """Hold the lock of one result while it is built."""
        with open(path.with_name(path.name + ".lock"), "a", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                log.warning("%s: another run is building this; waiting for it", path)
                fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def fill(self, stage: str, path: Path, fingerprint: dict[str, Any], work: Callable[[Path], None]) -> Artifact:
        """Build into <key>.work, write the manifest last, rename into place."""
        work_folder = path.with_name(path.name + ".work")
        clear_folder(work_folder, keep=RESUME)
        work_folder.mkdir(exist_ok=True)
        try:
            work(work_folder)
            shutil.rmtree(work_folder / RESUME, ignore_errors=True)
            files: dict[str, Any] = {}
            for file in list_files(work_folder):
                status = file.stat()
                name = file.relative_to(work_folder).as_posix()
                files[name] = {"sha256": file_digest(file), "bytes": status.st_size, "mtime_ns": status.st_mtime_ns}
            digest = artifact_digest(files)
            manifest = {"digest": digest, "stage": stage, "ingredients": fingerprint, "files": files}
            write_atomically(work_folder / MANIFEST, checksummed_json.dumps(manifest))
            if path.exists():
                shutil.rmtree(path)
            os.replace(work_folder, path)
        except BaseException:
            clear_folder(work_folder, keep=RESUME)
            raise
        return Artifact(stage, path, digest, fingerprint)

    def latest(self, stage: str, pipeline: str) -> dict[str, Any] | None:
        """The fingerprint of the newest result that a pipeline used for a stage; None if unknown."""
        try:
            table = json.loads((self.root / "latest" / pipeline / f"{stage}.json").read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return None
        return table if isinstance(table, dict) else None

    def remember(self, pipeline: str, artifact: Artifact) -> None:
        """Record which result a pipeline used for a stage."""
        path = self.root / "latest" / pipeline / f"{artifact.stage}.json"
        text = json.dumps({"path": artifact.path.name, **artifact.fingerprint}, indent=1, sort_keys=True) + "\n"
        try:
            if path.read_text(encoding="utf-8") == text:
                return
        except OSError:
            pass
        with explain_disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, text)


def latest_result(folder: Path, stage: str) -> Path | None:
    """The newest result of a stage if `folder` is data/artifacts/latest/PIPELINE and has one, else None.

    The folder of the result may be gone. Raises ValueError for a damaged file.
    """
    file = folder / f"{stage}.json"
    if not file.is_file():
        return None
    return folder.parent.parent / stage / result_name(file)


def result_name(file: Path) -> str:
    """The folder name in data/artifacts/latest/PIPELINE/STAGE.json; raises ValueError if the file is damaged."""
    try:
        return str(json.loads(file.read_text(encoding="utf-8"))["path"])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ValueError(f"{file}: is damaged; run that pipeline again") from None


def clear_folder(folder: Path, *, keep: str) -> None:
    """Delete everything in a directory except `keep`; remove the directory when it is empty."""
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        if path.name == keep:
            continue
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    if not any(folder.iterdir()):
        folder.rmdir()


def write_atomically(path: Path, text: str) -> None:
    """Write a small file so that readers see either the old text or the new one, never a part."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def explain_disk_errors(path: Path) -> Iterator[None]:
    """Turn errors of a full or read-only disk into a ResourceError that names the path and the cure."""
    full = f"{path}: the disk is full, so this was not kept; earlier results are; free some space and run again"
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT) or is_disk_full(error):
            raise ResourceError(full) from None
        if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM) and str(error.filename or "").startswith(
            str(path.parent)
        ):
            raise ResourceError(f"{path}: cannot be written ({error.strerror}); make {path.parent} writable") from None
        raise
    except Exception as error:
        # TensorFlow, HDF5 and Arrow raise their own errors for a full disk.
        if is_disk_full(error):
            raise ResourceError(full) from None
        raise


def is_disk_full(error: Exception) -> bool:
    """Whether a library's error means that the disk is full."""
    return any(words in str(error) for words in (os.strerror(errno.ENOSPC), f"errno = {errno.ENOSPC}"))
