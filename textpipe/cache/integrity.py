"""Check stored results: their files against the checksums in the manifest, and the manifest against its own.

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
# Keys of manifests written before manifests had checksums: of a result, and of an exported model.
LEGACY_KEYS, LEGACY_MODEL_KEYS = frozenset({"digest", "stage", "ingredients", "files"}), frozenset({"files"})


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def list_files(folder: Path) -> list[Path]:
    """Every file below a folder in a fixed order, except the manifest at its top."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / MANIFEST)


def artifact_digest(files: dict[str, dict[str, Any]]) -> str:
    """The digest of an artifact, from the names and checksums of its files; logs do not count."""
    counted = {name: entry["sha256"] for name, entry in files.items() if not name.startswith(LOGS + "/")}
    return hashlib.sha256(json.dumps(counted, sort_keys=True).encode()).hexdigest()


def read_manifest(folder: Path) -> tuple[dict[str, Any], bool]:
    """A result's manifest, and whether it carries its own checksum (manifests of older versions do not).

    Raises FileNotFoundError when there is none, and ValueError with a description when it is damaged.
    """
    try:
        raw = (folder / MANIFEST).read_bytes()
    except (IsADirectoryError, NotADirectoryError):
        raise ValueError("is not a file") from None
    return parse_manifest(raw)


def parse_manifest(raw: bytes) -> tuple[dict[str, Any], bool]:
    """The manifest in a file's bytes, as read_manifest gives it; raises ValueError when it is damaged."""
    manifest, has_sum = checksummed_json.loads(raw, older=LEGACY_KEYS)
    if not isinstance(manifest.get("ingredients"), dict) or not is_file_table(manifest.get("files")):
        raise ValueError("is corrupt")
    if manifest.get("digest") != artifact_digest(manifest["files"]):
        raise ValueError("is corrupt")
    return manifest, has_sum


def is_file_table(files: Any) -> bool:
    """Whether a manifest's "files" is {name: {"sha256": text, "bytes": number, "mtime_ns": time if known}}."""
    return isinstance(files, dict) and all(
        isinstance(entry, dict)
        and isinstance(entry.get("sha256"), str)
        and isinstance(entry.get("bytes"), int)
        and isinstance(entry.get("mtime_ns", 0), int)
        and abs(entry.get("mtime_ns", 0)) < 2**63  # what a file system can store
        for entry in files.values()
    )


def find_damage(folder: Path, files: dict[str, dict[str, Any]], *, contents: bool = False) -> str | None:
    """A description of the first damaged file of a result, or None.

    contents: compare the checksum of every file, not only of those whose modification time has changed.
    """
    for name, entry in files.items():
        path = folder / name
        try:
            status = path.stat()
            if not stat.S_ISREG(status.st_mode):
                return f"{name} is not a file"
            if status.st_size != entry["bytes"]:
                return f"{name} has {status.st_size} bytes where the manifest says {entry['bytes']}"
            if (contents or status.st_mtime_ns != entry.get("mtime_ns")) and file_digest(path) != entry["sha256"]:
                return f"{name} is not the file that was written"
        except (FileNotFoundError, NotADirectoryError):
            return f"{name} is missing"
        except OSError as error:
            return f"{name} cannot be read ({error.strerror})"
    return None


def move_aside(folder: Path) -> Path | None:
    """Move a damaged result to NAME.damaged, replacing an earlier one; None when the result no longer exists."""
    target = folder.with_name(folder.name + ".damaged")
    try:
        if target.is_dir() and not target.is_symlink():
            shutil.rmtree(target)
        os.replace(folder, target)
    except FileNotFoundError:  # another run was faster
        return None
    except OSError as error:
        raise ResourceError(
            f"{folder}: is damaged and cannot be set aside ({error.strerror}); make {folder.parent} writable"
        ) from None
    return target


def check(folder: Path) -> None:
    """Compare a finished result's files with their checksums; for callers that read it outside a pipeline run.

    A damaged result is set aside, so that the next run of its pipeline rebuilds it, and ArtifactError describes the
    damage. A folder without a manifest is not a result and passes.
    """
    try:
        problem = find_damage(folder, read_manifest(folder)[0]["files"], contents=True)
    except FileNotFoundError:
        return
    except ValueError as error:
        problem = f"its {MANIFEST} {error}"
    if problem:
        target = move_aside(folder)
        moved = f"; set aside as {target.name}" if target else ""
        raise ArtifactError(f"{folder}: {problem}{moved}; run its pipeline again")


def check_model_files(folder: Path, paths: Iterable[Path]) -> None:
    """Compare files of an exported model with its manifest, if it has one; raises ArtifactError when they differ."""
    try:
        files = checksummed_json.loads((folder / MANIFEST).read_bytes(), older=LEGACY_MODEL_KEYS)[0]["files"]
        names = [path.relative_to(folder).as_posix() for path in paths]
        problem = find_damage(folder, {name: files[name] for name in names}, contents=True)
    except FileNotFoundError:
        return
    except (ValueError, KeyError, TypeError):
        problem = f"its {MANIFEST} is corrupt"
    if problem:
        raise ArtifactError(f"{folder}: {problem}; export the model again or copy it again")
