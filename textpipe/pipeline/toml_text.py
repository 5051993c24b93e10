"""Values as TOML text."""

import json
from collections.abc import Mapping
from typing import Any


def toml(value: Any) -> str:
    """A value as TOML, on one line."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key(name)} = {toml(item)}" for name, item in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f") if isinstance(value, str) else str(value)


def key(name: str) -> str:
    """A TOML key, bare where allowed."""
    return name if name.isascii() and name.replace("_", "").replace("-", "").isalnum() else toml(name)
