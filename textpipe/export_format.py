"""textpipe.json of an exported model: what it is, and the format that says how to read it.

Format 1: saved_model.pb and variables/ with the signatures that textpipe.json lists; assets.extra/ with golden.jsonl,
model.json and vocabulary.json; manifest.json. A change that an earlier textpipe would misread is another number.
"""

import json
import sys
from collections.abc import Callable
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
    """Raise ModelError when a textpipe.json is of a format that this version does not read, or a key of it is not of its
    shape; {} is another tool's model."""
    if not about:
        return
    found = about.get("format")
    if type(found) is int and found in READ:
        shapes(place, about)
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


def shapes(place: Path, about: dict[str, Any]) -> None:
    """Raise ModelError for a key whose value is of another shape than is written; null is as if the key were left out."""
    for key, (right, expected) in SHAPES.items():
        value = about.get(key)
        if value is None:
            continue
        if not right(value):
            raise misshapen(place, key, expected, value)
        right, expected = VALUES.get(key, (anything, ""))
        for name, one in value.items() if isinstance(value, dict) else ():
            if not right(one):
                raise misshapen(place, f"{key}.{name}", expected, one)


def misshapen(place: Path, key: str, expected: str, value: Any) -> ModelError:
    found = json.dumps(value, ensure_ascii=False)
    found = found if len(found) <= SHOWN else f"{found[:SHOWN]}..."
    return ModelError(f"{place / NAME}: {key}: expected {expected}, found {found}; export the model again")


def anything(value: Any) -> bool:
    return True


def text(value: Any) -> bool:
    return isinstance(value, str)


def texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(text, value))


def table(value: Any) -> bool:
    return isinstance(value, dict)


def fields(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(one, dict) and all(text(one.get(key)) for key in ("name", "side", "kind")) for one in value
    )


def bound(value: Any) -> bool:
    if not isinstance(value, list) or len(value) != 2:
        return False
    return all(type(one) in (int, float) and abs(one) <= sys.float_info.max for one in value) and value[0] <= value[1]


def way(value: Any) -> bool:
    """How a signature is made of another's outputs, as serve/limits.py reads it."""
    if not isinstance(value, dict) or not isinstance(value.get("outputs"), dict):
        return False
    one = value.get("n_best", 0)
    return all(map(text, value["outputs"].values())) and (one is None or (type(one) is int and one == 1))


Shape = tuple[Callable[[Any], bool], str]
SHAPES: dict[str, Shape] = {
    "task": (text, "a string"),
    "inputs": (texts, "a list of strings"),
    "labels": (texts, "a list of strings"),
    "fields": (fields, 'a list of {"name": string, "side": string, "kind": string}'),
    "signatures": (table, "an object"),
    "bounds": (table, "an object {option: [low, high]}"),
    "from_options": (table, "an object {signature: {outputs, n_best}}"),
}
VALUES: dict[str, Shape] = {  # of an object, each
    "signatures": (table, 'an object {"inputs", "outputs"}'),
    "bounds": (bound, "[low, high], two numbers of which the first is not the greater"),
    "from_options": (way, '{"outputs": {output: its name there}, "n_best": 1 or null}'),
}
SHOWN = 80  # characters of a value in a message
