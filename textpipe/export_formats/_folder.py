"""Write a folder atomically."""

import os
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from textpipe.errors import ModelError
from textpipe.savedmodel import loader


def write_folder(place: Path, work: Callable[[Path], Any]) -> Any:
    """Run `work` on an empty folder, then move it to `place`; returns the result of `work`.

    Replaces an earlier export. Raises ModelError when something else is there.
    """
    if place.exists() and not (place.is_dir() and "format" in loader.read_about(place)):
        raise ModelError(f"{place}: exists and is not an export of textpipe; give another folder with --output")
    place.parent.mkdir(parents=True, exist_ok=True)
    part = place.with_name(f".{place.name}.{secrets.token_hex(8)}.part")
    part.mkdir()
    try:
        result = work(part)
        if place.exists():
            old = place.with_name(f"{part.name}.old")
            os.replace(place, old)
            os.replace(part, place)
            shutil.rmtree(old)
        else:
            os.replace(part, place)
        return result
    finally:
        shutil.rmtree(part, ignore_errors=True)
