"""Reads the folder of models, NAME/VERSION/saved_model.pb, and reports why some of it cannot be read.

Links may point anywhere inside the folder, and links inside a version to its own model's directory; links that point
outside are not followed.
"""

import errno
import os
import re
import stat
from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

VERSION_NAME = re.compile(r"[0-9]{1,19}")
MAX_VERSION = 2**63 - 1  # TensorFlow Serving's versions are int64
GRAPH_FILE = "saved_model.pb"


@dataclass
class Listing:
    """A model's directory: its versions; `error`: why it cannot be listed; `errors`: why a version cannot be read."""

    versions: dict[int, Path] = field(default_factory=dict)
    errors: dict[int, str] = field(default_factory=dict)
    error: str = ""


def scan(folder: Path, known: Container[str] = ()) -> dict[str, Listing]:
    """The models of a folder by name. Raises OSError when the folder itself cannot be listed.

    known: names of earlier models; something else under one of these names is reported as an error.
    """
    listings: dict[str, Listing] = {}
    for name in sorted(os.listdir(folder)):
        if name.startswith(".") or not is_utf8(name):
            continue
        path = folder / name
        try:
            directory = is_directory(path) and is_inside(path, folder)
            if directory:
                listings[name] = list_versions(path, folder)
            elif name in known and os.path.lexists(path):
                listings[name] = Listing(error="the model's folder was replaced by something that is not a folder")
        except OSError as error:
            listings[name] = Listing(error=f"the model's folder cannot be read ({error_text(error)})")
    return listings


def list_versions(model: Path, folder: Path) -> Listing:
    """The versions in a model's directory. Raises OSError when it cannot be listed."""
    listing = Listing()
    for name in sorted(os.listdir(model), key=lambda name: (len(name), name)):
        if not VERSION_NAME.fullmatch(name) or int(name) > MAX_VERSION:
            continue
        path, number = model / name, int(name)
        if number in {*listing.versions, *listing.errors}:
            continue
        try:
            if not is_directory(path):
                if path.exists():
                    listing.errors[number] = "is a file where a version's folder was expected"
            elif is_inside(path, folder):
                mode = file_mode(path / GRAPH_FILE)
                if mode is not None and stat.S_ISREG(mode):
                    listing.versions[number] = path
                elif mode is not None:
                    listing.errors[number] = f"{GRAPH_FILE} is not a file"
        except OSError as error:
            listing.errors[number] = f"cannot be read ({error_text(error)})"
    return listing


def is_utf8(name: str) -> bool:
    """Whether a name can be encoded in UTF-8, as every message that contains it must be."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def file_mode(path: Path) -> int | None:
    """The mode of the file a path leads to, None when there is none. Raises OSError when it cannot be read."""
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None


def is_directory(path: Path) -> bool:
    mode = file_mode(path)
    return mode is not None and stat.S_ISDIR(mode)


def is_inside(path: Path, folder: Path) -> bool:
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def error_text(error: OSError) -> str:
    """The error's message without its path."""
    return os.strerror(error.errno) if error.errno else type(error).__name__


def find_unsafe_file(version: Path) -> str:
    """Why a version must not be opened: it has a link that points outside the model's directory, or something that is
    neither a file nor a directory; '' when it is safe. Raises OSError."""
    root = Path(os.path.realpath(version))
    allowed = (root, root.parent)
    for name, path in walk(version):
        real = Path(os.path.realpath(path))
        if not any(real.is_relative_to(folder) for folder in allowed):
            return f"{name}: is a link that points outside the model's folder; put a copy in its place"
        mode = file_mode(path)
        if mode is not None and not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            return f"{name}: is neither a file nor a folder"
    return ""


def walk(version: Path) -> Iterator[tuple[str, Path]]:
    """(name relative to the version, path) of everything below it, each directory entered once."""
    pending, entered = [version], set()
    while pending:
        directory = pending.pop()
        real = os.path.realpath(directory)
        if real in entered:
            continue
        entered.add(real)
        for name in sorted(os.listdir(directory)):
            path = directory / name
            yield path.relative_to(version).as_posix(), path
            if is_directory(path):
                pending.append(path)


def fingerprint(version: Path) -> tuple:
    """Names, sizes and times of a version's files, and which are links: equal as long as nothing has changed."""
    entries: list[tuple[Any, ...]] = []
    for name, path in walk(version):
        try:
            state = path.stat()
        except OSError as error:  # a broken link, or a file that was just deleted
            entries.append((name, -1, error.errno or errno.ENOENT))
        else:
            link = path.is_symlink()
            if link or not stat.S_ISDIR(state.st_mode):
                entries.append((name, state.st_size, state.st_mtime_ns, link))
    return tuple(entries)
