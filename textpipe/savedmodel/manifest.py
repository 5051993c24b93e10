"""The manifest of a saved model: its files and their SHA-256, written last, so a directory without one is incomplete."""

from pathlib import Path
from typing import Any

from textpipe.cache import checksummed_json
from textpipe.cache.integrity import LEGACY_MODEL_KEYS, file_digest, is_file_table, list_files
from textpipe.cache.store import write_atomically
from textpipe.errors import ModelError

NAME = "manifest.json"


def write(folder: Path) -> None:
    """List every file below `folder` in folder/manifest.json: {"sum": ..., "files": {name: {"sha256": ..., "bytes": ...}}}."""
    files = {
        path.relative_to(folder).as_posix(): {"sha256": file_digest(path), "bytes": path.stat().st_size}
        for path in list_files(folder)
    }
    write_atomically(folder / NAME, checksummed_json.dumps({"files": files}))


def read(folder: Path) -> dict[str, dict[str, Any]]:
    """The files listed in the manifest. Raises ModelError when it is missing or cannot be read."""
    try:
        files = checksummed_json.loads((folder / NAME).read_bytes(), older=LEGACY_MODEL_KEYS)[0].get("files")
    except FileNotFoundError:
        raise ModelError(f"{folder}: no {NAME}, so the copy may be incomplete; export the model again") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ModelError(f"{folder / NAME}: cannot be read: {reason}; export or copy the model again") from None
    if files is None or not is_file_table(files):
        raise ModelError(f"{folder / NAME}: cannot be read: its content was changed; export the model again")
    return files


def verify(folder: Path) -> None:
    """Compare every file with the manifest. Raises ModelError with the first that differs, is missing or is not listed."""
    fault = find_damage(folder, sums=True)
    if fault:
        raise ModelError(f"{folder / fault}; export or copy the model again")


def find_damage(folder: Path, *, sums: bool) -> str | None:
    """The first difference, for example 'variables/variables.index: is missing', or None. Without `sums` only names and sizes
    are compared."""
    files = read(folder)
    for name, entry in files.items():
        path = folder / name
        if not path.is_file():
            return f"{name}: is missing"
        size = path.stat().st_size
        if size != entry["bytes"]:
            return f"{name}: has {size} bytes where the manifest says {entry['bytes']}"
        if sums and file_digest(path) != entry["sha256"]:
            return f"{name}: is not the file that was exported (its SHA-256 differs from the manifest's)"
    for path in list_files(folder):
        if path.relative_to(folder).as_posix() not in files:
            return f"{path.relative_to(folder).as_posix()}: is not in the manifest"
    return None
