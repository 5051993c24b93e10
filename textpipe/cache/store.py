"""Content-addressed results: a directory per (stage, key), complete or absent.

    data/artifacts/tokenize/3f9a.../          finished: manifest.json was written last, then the directory renamed into place
    data/artifacts/tokenize/3f9a....work/     being built, or interrupted; only its resume/ outlives a new start
    data/artifacts/tokenize/3f9a....lock      held while someone builds, so that two runs never build one result at once
    data/artifacts/tokenize/3f9a....damaged/  found damaged, kept for whoever wants to know why, until the next one

A manifest lists the SHA-256 of every file and carries its own (cache/checksummed_json.py). One without was written by an older version:
its result counts as absent.
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
    move_aside,
    find_damage,
    artifact_digest,
    file_digest,
    files_below,
    read_manifest,
)
from textpipe.errors import ResourceError

RESUME = "resume"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Artifact:
    """A finished result: its directory, the digest of its bytes, and the ingredients of its key."""

    stage: str
    path: Path
    digest: str
    ingredients: dict[str, Any]


class Store:
    """Finished results below one root directory."""

    def __init__(self, root: Path):
        self.root = root

    def place(self, stage: str, key: str) -> Path:
        """Where the result of a key stands, or would."""
        return self.root / stage / key[:32]

    def find(self, stage: str, key: str, *, contents: bool = False) -> Artifact | None:
        """The finished result of a key, or None. A damaged one is set aside with a warning and counts as absent.

        Sizes and times of files are compared on each call, sums only where a time has changed, so that a cached run stays
        quick. contents: compare every sum, for whoever builds something from the result.
        """
        place = self.place(stage, key)
        try:
            manifest, has_sum = read_manifest(place)
        except FileNotFoundError:
            return None
        except ValueError as error:
            self.set_aside(place, f"its {MANIFEST} {error}")
            return None
        if not has_sum:
            log.info("%s: of an older version; built again", place)
            return None
        fault = find_damage(place, manifest["files"], contents=contents)
        if fault:
            self.set_aside(place, fault)
            return None
        return Artifact(stage, place, manifest["digest"], manifest["ingredients"])

    def set_aside(self, place: Path, fault: str) -> None:
        """Move a damaged result out of the way and say so; it will be built again."""
        target = move_aside(place)
        if target:
            log.warning("%s: %s; set aside as %s and built again", place, fault, target.name)

    def build(
        self, stage: str, key: str, ingredients: dict[str, Any], work: Callable[[Path], None], *, force: bool = False
    ) -> Artifact:
        """Run `work` on an empty directory and keep what it leaves there; an error or a kill leaves nothing.

        A second process that wants the same key waits for the first and takes its result. Raises ArtifactError when
        the disk is full or the store cannot be written.
        """
        place = self.place(stage, key)
        with out_of_space(place):
            place.parent.mkdir(parents=True, exist_ok=True)
            with self.lock(place):
                done = None if force else self.find(stage, key)
                return done or self.fill(stage, place, ingredients, work)

    @contextlib.contextmanager
    def lock(self, place: Path) -> Iterator[None]:
        """Hold the right to build one result."""
        with open(place.with_name(place.name + ".lock"), "a", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                log.warning("%s: another run is building this; waiting for it", place)
                fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def fill(self, stage: str, place: Path, ingredients: dict[str, Any], work: Callable[[Path], None]) -> Artifact:
        """Build into <key>.work, write the manifest last, rename into place."""
        building = place.with_name(place.name + ".work")
        clear_folder(building, keep=RESUME)
        building.mkdir(exist_ok=True)
        try:
            work(building)
            shutil.rmtree(building / RESUME, ignore_errors=True)
            files: dict[str, Any] = {}
            for path in files_below(building):
                status = path.stat()
                name = path.relative_to(building).as_posix()
                files[name] = {"sha256": file_digest(path), "bytes": status.st_size, "mtime_ns": status.st_mtime_ns}
            digest = artifact_digest(files)
            manifest = {"digest": digest, "stage": stage, "ingredients": ingredients, "files": files}
            write_atomically(building / MANIFEST, checksummed_json.dumps(manifest))
            if place.exists():
                shutil.rmtree(place)
            os.replace(building, place)
        except BaseException:
            clear_folder(building, keep=RESUME)
            raise
        return Artifact(stage, place, digest, ingredients)

    def latest(self, stage: str, pipeline: str) -> dict[str, Any] | None:
        """Ingredients of the newest result a pipeline used for a stage; `plan` compares with them."""
        try:
            found = json.loads((self.root / "latest" / pipeline / f"{stage}.json").read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return None
        return found if isinstance(found, dict) else None

    def remember(self, pipeline: str, artifact: Artifact) -> None:
        """Note what a pipeline used for a stage."""
        path = self.root / "latest" / pipeline / f"{artifact.stage}.json"
        text = json.dumps({"path": artifact.path.name, **artifact.ingredients}, indent=1, sort_keys=True) + "\n"
        try:
            if path.read_text(encoding="utf-8") == text:
                return
        except OSError:
            pass
        with out_of_space(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, text)


def clear_folder(folder: Path, *, keep: str) -> None:
    """Empty a work directory but for one name; remove it when nothing is left."""
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        if path.name == keep:
            continue
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    if not any(folder.iterdir()):
        folder.rmdir()


def write_atomically(path: Path, text: str) -> None:
    """Write a small file so that a reader sees the old one or the new one, never half."""
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
def out_of_space(place: Path) -> Iterator[None]:
    """Turn a full disk or a store that cannot be written into an error with a cure."""
    full = (
        f"{place}: the disk is full, so this was not kept; what was finished before is; free some space and run again"
    )
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT) or is_disk_full(error):
            raise ResourceError(full) from None
        if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM) and str(error.filename or "").startswith(
            str(place.parent)
        ):
            raise ResourceError(
                f"{place}: cannot be written ({error.strerror}); make {place.parent} writable"
            ) from None
        raise
    except Exception as error:
        # TensorFlow, HDF5 and Arrow report a full disk in words of their own.
        if is_disk_full(error):
            raise ResourceError(full) from None
        raise


def is_disk_full(error: Exception) -> bool:
    """Whether an error of some library means ENOSPC."""
    return any(words in str(error) for words in (os.strerror(errno.ENOSPC), f"errno = {errno.ENOSPC}"))
