"""A saved model's files and their SHA-256 sums, written last: a directory without a true list is not complete."""

import json
from pathlib import Path
from typing import Any

from textpipe.errors import ModelError
from textpipe.store import file_digest, files_below, write_atomically

NAME = "manifest.json"


def write(folder: Path) -> None:
    """List every file below folder in folder/manifest.json: {"files": {name: {"sha256": ..., "bytes": ...}}}."""
    files = {
        path.relative_to(folder).as_posix(): {"sha256": file_digest(path), "bytes": path.stat().st_size}
        for path in files_below(folder)
    }
    write_atomically(folder / NAME, json.dumps({"files": files}, indent=1, sort_keys=True) + "\n")


def read(folder: Path) -> dict[str, dict[str, Any]]:
    """The files a manifest lists; raises ModelError when there is none or it cannot be read."""
    try:
        return dict(json.loads((folder / NAME).read_text(encoding="utf-8"))["files"])
    except FileNotFoundError:
        raise ModelError(f"{folder}: no {NAME}, so the copy may be incomplete; export the model again") from None
    except (OSError, ValueError, KeyError, TypeError):
        raise ModelError(f"{folder / NAME}: cannot be read; export the model again") from None


def verify(folder: Path) -> None:
    """Compare every file with the manifest; raises ModelError naming the first that differs, lacks or is new."""
    fault = damage(folder, sums=True)
    if fault:
        raise ModelError(f"{folder / fault}; export the model again or copy it anew")


def damage(folder: Path, *, sums: bool) -> str | None:
    """'variables/variables.index: is missing' or the like, or None; without sums only names and sizes are compared."""
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
    for path in files_below(folder):
        if path.relative_to(folder).as_posix() not in files:
            return f"{path.relative_to(folder).as_posix()}: is not in the manifest"
    return None
