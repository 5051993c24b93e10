"""JSON files that carry the SHA-256 of their own text, so that a single flipped bit is detected.

{
 "sum": "9f86d081...",     of everything below this line
 "files": ...
"""

import hashlib
import json
import re
from typing import Any

HEAD = re.compile(rb'\{\n "sum": "([0-9a-f]{64})",\n')


def dumps(table: dict[str, Any]) -> str:
    """The text of a file. The table has at least one key, and none called "sum"."""
    assert table and "sum" not in table
    rest = json.dumps(table, indent=1, sort_keys=True)[2:] + "\n"
    return f'{{\n "sum": "{hashlib.sha256(rest.encode()).hexdigest()}",\n{rest}'


def loads(raw: bytes, *, older: frozenset[str] = frozenset()) -> tuple[dict[str, Any], bool]:
    """The table in a file's bytes, and whether the file has a checksum. Raises ValueError for a corrupt file.

    older: the keys of files written before checksums existed; a file with exactly these keys needs no checksum.
    """
    head = HEAD.match(raw)
    if head:
        rest = raw[head.end() :]
        if hashlib.sha256(rest).hexdigest() != head[1].decode():
            raise ValueError("is corrupt (its checksum differs)")
        return json.loads(b"{\n" + rest), True
    try:
        table = json.loads(raw)
    except (ValueError, RecursionError):
        raise ValueError("is corrupt") from None
    if not older or not isinstance(table, dict) or set(table) != older:
        raise ValueError("is corrupt")
    return table, False
