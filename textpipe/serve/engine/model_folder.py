"""What lies below the folder of models, NAME/VERSION/saved_model.pb, and why some of it cannot be read.

Links may lead from one place of the folder to another, and inside a version to its own model's directory; those that
lead out are not followed.
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
    """A model's directory: its versions; `fault` why it cannot be listed, `faults` why a version cannot be looked at."""

    versions: dict[int, Path] = field(default_factory=dict)
    faults: dict[int, str] = field(default_factory=dict)
    fault: str = ""


def scan(folder: Path, known: Container[str] = ()) -> dict[str, Listing]:
    """The models of a folder by name. Raises OSError when the folder itself cannot be listed.

    known: names that were models before; what now stands in their place is told, and not taken for something else.
    """
    found: dict[str, Listing] = {}
    for name in sorted(os.listdir(folder)):
        if name.startswith(".") or not is_utf8(name):
            continue
        place = folder / name
        try:
            directory = is_directory(place) and is_inside(place, folder)
            if directory:
                found[name] = list_versions(place, folder)
            elif name in known and os.path.lexists(place):
                found[name] = Listing(fault="the model's folder was replaced by something that is none")
        except OSError as error:
            found[name] = Listing(fault=f"the model's folder cannot be read ({error_text(error)})")
    return found


def list_versions(model: Path, folder: Path) -> Listing:
    """The versions of a model's directory. Raises OSError when it cannot be listed."""
    found = Listing()
    for name in sorted(os.listdir(model), key=lambda name: (len(name), name)):
        if not VERSION_NAME.fullmatch(name) or int(name) > MAX_VERSION or int(name) in {*found.versions, *found.faults}:
            continue
        place, number = model / name, int(name)
        try:
            if not is_directory(place):
                if place.exists():
                    found.faults[number] = "is a file where a version's folder was expected"
            elif is_inside(place, folder):
                mode = file_mode(place / GRAPH_FILE)
                if mode is not None and stat.S_ISREG(mode):
                    found.versions[number] = place
                elif mode is not None:
                    found.faults[number] = f"{GRAPH_FILE} is no file"
        except OSError as error:
            found.faults[number] = f"cannot be read ({error_text(error)})"
    return found


def is_utf8(name: str) -> bool:
    """Whether a name can be said in UTF-8, as everything that names it must."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def file_mode(place: Path) -> int | None:
    """What a path leads to; None for nothing. Raises OSError when that cannot be found out."""
    try:
        return place.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None


def is_directory(place: Path) -> bool:
    mode = file_mode(place)
    return mode is not None and stat.S_ISDIR(mode)


def is_inside(place: Path, folder: Path) -> bool:
    return Path(os.path.realpath(place)).is_relative_to(os.path.realpath(folder))


def error_text(error: OSError) -> str:
    """What went wrong, without the path it went wrong with."""
    return os.strerror(error.errno) if error.errno else type(error).__name__


def find_unsafe_file(version: Path) -> str:
    """Why the files of a version are not to be opened: a link that leads out of the model's directory, or something that
    is neither a file nor a directory; '' when all are its own. Raises OSError."""
    own = Path(os.path.realpath(version))
    allowed = (own, own.parent)
    for name, place in walk(version):
        real = Path(os.path.realpath(place))
        if not any(real.is_relative_to(root) for root in allowed):
            return f"{name}: is a link that leads out of the model's folder; put a copy in its place"
        mode = file_mode(place)
        if mode is not None and not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            return f"{name}: is neither a file nor a folder"
    return ""


def walk(version: Path) -> Iterator[tuple[str, Path]]:
    """(name in the version, path) of all that lies below it, each directory entered once."""
    waiting, entered = [version], set()
    while waiting:
        directory = waiting.pop()
        real = os.path.realpath(directory)
        if real in entered:
            continue
        entered.add(real)
        for name in sorted(os.listdir(directory)):
            place = directory / name
            yield place.relative_to(version).as_posix(), place
            if is_directory(place):
                waiting.append(place)


def fingerprint(version: Path) -> tuple:
    """Names, sizes and times of a version's files, and which are links: whether anything has changed since."""
    found: list[tuple[Any, ...]] = []
    for name, place in walk(version):
        try:
            state = place.stat()
        except OSError as error:  # a link to nothing, or a file that has just gone
            found.append((name, -1, error.errno or errno.ENOENT))
        else:
            link = place.is_symlink()
            if link or not stat.S_ISDIR(state.st_mode):
                found.append((name, state.st_size, state.st_mtime_ns, link))
    return tuple(found)
