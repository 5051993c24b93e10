"""Publish an exported model to saved_models/NAME/VERSION, TensorFlow Serving's layout.

A version is created by renaming a complete copy and never modified, so a server that polls the folder cannot read half
of one. Versions are increasing integers; entries with other names are ignored.
"""

import contextlib
import errno
import fcntl
import logging
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from textpipe.errors import ModelError, ResourceError
from textpipe.savedmodel import description, manifest

PARTIAL_COPY = re.compile(r"\.[0-9a-f]{16}\.part")

log = logging.getLogger(__name__)


def publish(model: Path, base: Path) -> Path:
    """Copy a complete model directory to base/<next integer>; returns the version's path.

    If the latest version has the same files, returns it and writes nothing. Concurrent processes take turns: equal models
    share a version. Raises ModelError when the model differs from its manifest, and ResourceError when the copy cannot be
    written; then no new version is visible.
    """
    before = latest_version(base)
    if latest := reusable_version(model, before):
        return latest
    manifest.verify(model)
    description.check(model, description.read(model))
    copy = base / f".{secrets.token_hex(8)}.part"
    try:
        with explain_write_errors(base):
            base.mkdir(parents=True, exist_ok=True)
            with publish_lock(base):
                latest = latest_version(base)
                if latest is not None and latest != before and reusable_version(model, latest):
                    return latest
                remove_partial_copies(base)
                shutil.copytree(model, copy)
                manifest.verify(copy)
                fsync_tree(copy)
                return rename_to_next_version(copy, base)
    finally:
        shutil.rmtree(copy, ignore_errors=True)


@contextlib.contextmanager
def publish_lock(base: Path) -> Iterator[None]:
    """Hold an exclusive lock on publishing below `base`; other processes wait."""
    descriptor = os.open(base, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def remove_partial_copies(base: Path) -> None:
    """Remove the copies of processes that were killed; whoever holds the lock is alone in writing one."""
    for entry in base.iterdir():
        if PARTIAL_COPY.fullmatch(entry.name):
            shutil.rmtree(entry, ignore_errors=True)


def rename_to_next_version(copy: Path, base: Path) -> Path:
    """Rename a copy to the next free version; retries if another tool takes the number first."""
    while True:
        target = base / str(max(version_numbers(base), default=0) + 1)
        try:
            os.rename(copy, target)
            return target
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise


def version_numbers(base: Path) -> list[int]:
    """Version numbers among the entries of `base`, complete or not."""
    return [int(name) for name in os.listdir(base) if name.isascii() and name.isdigit()] if base.is_dir() else []


def latest_version(base: Path) -> Path | None:
    """The directory of the highest version with a saved_model.pb, or None."""
    for number in sorted(version_numbers(base), reverse=True):
        folder = base / str(number)
        if (folder / "saved_model.pb").is_file():
            return folder
    return None


def reusable_version(model: Path, latest: Path | None) -> Path | None:
    """The latest version if it is undamaged and has the same files, else None."""
    try:
        if latest is None or manifest.read(model) != manifest.read(latest):
            return None
        fault = manifest.find_damage(latest, sums=True)
    except ModelError:
        return None
    if fault:
        log.warning("%s; publishing the model again", latest / fault)
    return None if fault else latest


def fsync_tree(folder: Path) -> None:
    """Sync files to disk before the directory is renamed, so that after a power cut a version is complete or absent."""
    for path in (*folder.rglob("*"), folder):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def explain_write_errors(base: Path):
    """Raise ResourceError with a cure for a full disk or a folder that is not writable."""
    try:
        yield
    except (OSError, shutil.Error) as error:
        number = getattr(error, "errno", None)
        if number in (errno.ENOSPC, errno.EDQUOT) or "No space left" in str(error):
            raise ResourceError(
                f"{base}: the disk is full and nothing was published; free some space and run again"
            ) from None
        raise ResourceError(f"{base}: cannot be published to ({error}); make the folder writable") from None
