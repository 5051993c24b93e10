"""Values as TOML text."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def toml(value: Any) -> str:
    """A value as TOML, on one line."""
    if isinstance(value, Mapping):
        inside = ", ".join(f"{key(name)} = {toml(item)}" for name, item in value.items())
        return f"{{ {inside} }}" if inside else "{}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, str | Path):
        # JSON's escapes are TOML's, but for surrogate pairs and DEL, which must be written as they are or as \\u007F.
        return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007F")
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # inf and nan are TOML's words too
    return json.dumps(value)


def key(name: str) -> str:
    """A TOML key, bare where allowed."""
    return name if name.isascii() and name.replace("_", "").replace("-", "").isalnum() else toml(name)
