"""textpipe.json of an exported model: what it is, and the format that says how to read it.

Format 1: saved_model.pb and variables/ with the signatures that textpipe.json lists; assets.extra/ with golden.jsonl,
model.json and vocabulary.json; manifest.json. A change that an earlier textpipe would misread is another number.
"""

import json
from pathlib import Path
from typing import Any

from textpipe.errors import ModelError
from textpipe.version import __version__

NAME = "textpipe.json"
FORMAT = 1  # what is written
READ = (1,)  # what can be read


def read(place: Path) -> dict[str, Any]:
    """What textpipe.json says of a model; {} when there is none."""
    try:
        about = json.loads((place / NAME).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{place / NAME}: cannot be read ({error}); export the model again or copy it anew") from None
    if not isinstance(about, dict):
        raise ModelError(f"{place / NAME}: expected an object, found {type(about).__name__}; export the model again")
    return about


def check(place: Path, about: dict[str, Any]) -> None:
    """Raise ModelError when a textpipe.json is of a format that this version does not read; {} is another tool's model."""
    if not about:
        return
    found = about.get("format")
    if type(found) is int and found in READ:
        return
    versions = about.get("versions")
    writer = versions.get("textpipe") if isinstance(versions, dict) else None
    by = f", written by textpipe {writer}" if isinstance(writer, str) else ""
    expected = " or ".join(map(str, READ))
    raise ModelError(
        f"{place / NAME}: expected format {expected}, which textpipe {__version__} reads, found "
        f"{'no format' if found is None else json.dumps(found)}{by}; "
        + (
            f"install textpipe {writer or 'of the version that wrote it'}, or export the model again with this one"
            if type(found) is int and found > max(READ)
            else "export the model again"
        )
    )
