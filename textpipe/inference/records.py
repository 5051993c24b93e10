"""Answers as records of a text file: JSON lines, CSV (RFC 4180) or TSV.

TSV cannot quote its separators, so they are escaped as \\\\t, \\\\n, \\\\r, and a backslash as two.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

FORMATS = ("jsonl", "csv", "tsv")
FORMATS_BY_SUFFIX = {".csv": "csv", ".tsv": "tsv", ".tab": "tsv"}
ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def format_of(path: Path) -> str:
    """The format by file suffix; JSON lines if it is unknown."""
    return FORMATS_BY_SUFFIX.get(path.suffix.lower(), "jsonl")


def encode(file_format: str, rows: Iterable[dict[str, Any]]) -> bytes:
    """Records as UTF-8. Cells that are not texts are written as JSON: 0.93, ["no", "yes"]."""
    if file_format == "jsonl":
        lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    else:
        lines = [format_record(file_format, row.values()) for row in rows]
    return b"".join(text.encode("utf-8", "replace") + b"\n" for text in lines)


def encode_header(file_format: str, names: Sequence[str]) -> bytes:
    """The header row of a table; empty for JSON lines."""
    return b"" if file_format == "jsonl" else format_record(file_format, names).encode("utf-8", "replace") + b"\n"


def format_record(file_format: str, values: Iterable[Any]) -> str:
    """One row of a table, without its line end."""
    texts = [value if isinstance(value, str) else json.dumps(value, ensure_ascii=False) for value in values]
    if file_format == "tsv":
        return "\t".join(text.translate(ESCAPES) for text in texts)
    return ",".join('"' + text.replace('"', '""') + '"' if set(text) & set(',"\r\n') else text for text in texts)


def count_complete(file_format: str, file: BinaryIO, multiple: int = 1) -> tuple[int, int]:
    """(records, bytes) of the complete records, the largest multiple of them; a truncated last record and a table's header do not count."""
    header = file_format != "jsonl"
    count = end = size = quotes = num_complete = 0
    for text in file:
        size += len(text)
        if file_format == "csv":  # a line end inside quotes does not end the record
            quotes += text.count(b'"')
        if text.endswith(b"\n") and quotes % 2 == 0:
            count += 1
            if (count - header) % multiple == 0 or count == header:
                num_complete, end = count, size
    return max(0, num_complete - header), end
