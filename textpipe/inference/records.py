"""Answers as records of a text file: a JSON object a line, CSV (RFC 4180) or TSV.

TSV has no way to hold its own separators: they are written as \\\\t, \\\\n, \\\\r, and a backslash as two.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

KINDS = ("jsonl", "csv", "tsv")
ENDINGS = {".csv": "csv", ".tsv": "tsv", ".tab": "tsv"}
ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def kind_of(path: Path) -> str:
    """By the ending of a file's name; JSON lines when it tells nothing."""
    return ENDINGS.get(path.suffix.lower(), "jsonl")


def encoded(kind: str, rows: Iterable[dict[str, Any]]) -> bytes:
    """Records in UTF-8. What is no text is written as JSON: 0.93, ["no", "yes"]."""
    if kind == "jsonl":
        lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    else:
        lines = [line(kind, row.values()) for row in rows]
    return b"".join(text.encode("utf-8", "replace") + b"\n" for text in lines)


def header(kind: str, names: Sequence[str]) -> bytes:
    """The first record of a table; nothing for JSON lines."""
    return b"" if kind == "jsonl" else line(kind, names).encode("utf-8", "replace") + b"\n"


def line(kind: str, values: Iterable[Any]) -> str:
    """One record of a table, without its end."""
    texts = [value if isinstance(value, str) else json.dumps(value, ensure_ascii=False) for value in values]
    if kind == "tsv":
        return "\t".join(text.translate(ESCAPES) for text in texts)
    return ",".join('"' + text.replace('"', '""') + '"' if set(text) & set(',"\r\n') else text for text in texts)


def whole(kind: str, file: BinaryIO) -> tuple[int, int]:
    """(records, bytes) of what was written whole: a record that was cut does not count, nor does a table's header."""
    count = end = size = quotes = 0
    for text in file:
        size += len(text)
        if kind == "csv":  # a line end inside of quotation marks ends no record
            quotes += text.count(b'"')
        if text.endswith(b"\n") and quotes % 2 == 0:
            count, end = count + 1, size
    return (count if kind == "jsonl" else max(0, count - 1)), end
