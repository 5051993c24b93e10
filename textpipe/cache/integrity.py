"""Whether stored results are what was written: their files against the sums in a manifest, and that against its own.

manifest.json   {"sum": ..., "digest": ..., "stage": ..., "ingredients": {...}, "files": {name: {"sha256", "bytes", "mtime_ns"}}}
"""

import hashlib
import json
import os
import shutil
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from textpipe.cache import checksummed_json
from textpipe.errors import ArtifactError, ResourceError

MANIFEST = "manifest.json"
LOGS = "logs"
# Keys of a manifest from before manifests had sums: of a result, and of an exported model.
LEGACY_KEYS, OLDER_MODEL = frozenset({"digest", "stage", "ingredients", "files"}), frozenset({"files"})


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def files_below(folder: Path) -> list[Path]:
    """Every file below a folder, in a fixed order, the manifest at its top left out."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / MANIFEST)


def artifact_digest(files: dict[str, dict[str, Any]]) -> str:
    """The digest of an artifact: names and sums of its files, logs left out."""
    counted = {name: entry["sha256"] for name, entry in files.items() if not name.startswith(LOGS + "/")}
    return hashlib.sha256(json.dumps(counted, sort_keys=True).encode()).hexdigest()


def read_manifest(place: Path) -> tuple[dict[str, Any], bool]:
    """A result's manifest, and whether it carries its own sum (those of older versions do not).

    Raises FileNotFoundError when there is none, ValueError saying what is wrong with it.
    """
    try:
        manifest, has_sum = checksummed_json.loads((place / MANIFEST).read_bytes(), older=LEGACY_KEYS)
    except (IsADirectoryError, NotADirectoryError):
        raise ValueError("is no file") from None
    if not isinstance(manifest.get("ingredients"), dict) or not lists_files(manifest.get("files")):
        raise ValueError("is not what was written")
    if manifest.get("digest") != artifact_digest(manifest["files"]):
        raise ValueError("is not what was written")
    return manifest, has_sum


def lists_files(files: Any) -> bool:
    """Whether a manifest's "files" is {name: {"sha256": text, "bytes": number, ...}}."""
    return isinstance(files, dict) and all(
        isinstance(entry, dict) and isinstance(entry.get("sha256"), str) and isinstance(entry.get("bytes"), int)
        for entry in files.values()
    )


def find_damage(place: Path, files: dict[str, dict[str, Any]], *, contents: bool = False) -> str | None:
    """What is wrong with a result's files, or None; contents: compare every sum, not only where a time has changed."""
    for name, entry in files.items():
        path = place / name
        try:
            status = path.stat()
            if not stat.S_ISREG(status.st_mode):
                return f"{name} is no file"
            if status.st_size != entry["bytes"]:
                return f"{name} has {status.st_size} bytes where the manifest says {entry['bytes']}"
            if (contents or status.st_mtime_ns != entry.get("mtime_ns")) and file_digest(path) != entry["sha256"]:
                return f"{name} is not the file that was written"
        except (FileNotFoundError, NotADirectoryError):
            return f"{name} is missing"
        except OSError as error:
            return f"{name} cannot be read ({error.strerror})"
    return None


def move_aside(place: Path) -> Path | None:
    """Move a result that was found damaged to NAME.damaged, over an earlier one; None when it is gone already."""
    target = place.with_name(place.name + ".damaged")
    try:
        if target.is_dir() and not target.is_symlink():
            shutil.rmtree(target)
        os.replace(place, target)
    except FileNotFoundError:  # another run was quicker
        return None
    except OSError as error:
        raise ResourceError(
            f"{place}: is damaged and cannot be set aside ({error.strerror}); make {place.parent} writable"
        ) from None
    return target


def check(place: Path) -> None:
    """Compare a finished result's files with their sums, for whoever reads it outside of a run.

    A damaged one is set aside, so that the next run of its pipeline builds it again; raises ArtifactError naming what is
    wrong. A folder without a manifest is nobody's result, and passes.
    """
    try:
        fault = find_damage(place, read_manifest(place)[0]["files"], contents=True)
    except FileNotFoundError:
        return
    except ValueError as error:
        fault = f"its {MANIFEST} {error}"
    if fault:
        target = move_aside(place)
        moved = f"; set aside as {target.name}" if target else ""
        raise ArtifactError(f"{place}: {fault}{moved}; run its pipeline again")


def check_listed(folder: Path, paths: Iterable[Path]) -> None:
    """Compare files of an exported model with the sums in its manifest, if it has one; raises ArtifactError."""
    try:
        files = checksummed_json.loads((folder / MANIFEST).read_bytes(), older=OLDER_MODEL)[0]["files"]
        names = [path.relative_to(folder).as_posix() for path in paths]
        fault = find_damage(folder, {name: files[name] for name in names}, contents=True)
    except FileNotFoundError:
        return
    except (ValueError, KeyError, TypeError):
        fault = f"its {MANIFEST} is not what was written"
    if fault:
        raise ArtifactError(f"{folder}: {fault}; export the model again or copy it anew")
