"""The fields of an exported model that answers inside the graph of another pipeline."""

from pathlib import Path
from typing import Any


def check_fields(name: str, folder: Path, about: dict[str, Any], fields: dict[str, str]) -> None:
    """Raises ValueError if an exported model reads a field that the task does not have, or has with another kind."""
    kinds = {field["name"]: field["kind"] for field in about.get("fields") or ()}
    inputs = about.get("inputs") or ()
    if not inputs or not kinds.keys() >= set(inputs):
        raise ValueError(
            f"{name}: {folder}: textpipe.json: expected the model's inputs and their fields, found inputs {', '.join(inputs) or 'none'} and "
            f"fields {', '.join(kinds) or 'none'}; export the model again"
        )
    for field in inputs:
        if fields.get(field) != kinds[field]:
            available = f"one of kind {fields[field]!r}" if field in fields else f"only {', '.join(fields)}"
            raise ValueError(
                f"{name}: {folder}: reads a field {field!r} of kind {kinds[field]!r}, but this pipeline has {available}; give both "
                "pipelines the same fields: task = { kind = ..., fields = { ... } }"
            )
