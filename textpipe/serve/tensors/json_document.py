"""Parses a request's JSON as RapidJSON does for TensorFlow Serving: NaN and Inf are numbers, the first of two equal names
counts, and text after the document is ignored.

Python's json module parses what both read the same way. Documents with one of the few differences, and those it rejects, go to
serve/tensors/json_reader.py, which gives RapidJSON's result or error.
"""

import json
import math
import re
from typing import Any

from textpipe.serve.engine.errors import invalid_argument
from textpipe.serve.tensors.json_reader import MAX_EXPONENT, Reader, keep_first

BLANKS = " \n\r\t"
# Python accepts half a surrogate pair and any exponent, RapidJSON neither. Both are rare: a false positive costs little.
HIGH, LOW = r"\\u[dD][89abAB][0-9a-fA-F]{2}", r"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
LONE_SURROGATE = re.compile(rf"{HIGH}(?!{LOW})|(?<!{HIGH}){LOW}")
SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")  # ten times as fast to find as a lone surrogate
LARGE_EXPONENT = re.compile(r"[eE]\+?([0-9]{3,})")
LONG_NUMBER = 300  # digits of a number that may overflow a double
DIGIT, DIGITS = re.compile(rb"[0-9]"), re.compile(rb"[0-9]*")
# Possessive, and matches an unclosed string to the end, so that nothing is scanned twice.
STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\Z)', re.DOTALL)
MAX_CONTAINERS = 1 << 20  # lists and objects of a document: each takes up to 100 bytes of memory, even if empty


def parse(body: bytes, deadline: float = math.inf) -> Any:
    """The document's value; raises ServingError with the problem and its byte offset.

    deadline: by time.monotonic(), for documents that need json_reader.
    """
    value = parse_fast(body)
    return Reader(body, deadline).document() if value is None else value


def parse_fast(body: bytes) -> dict[str, Any] | None:
    """An object that Python's json module reads as RapidJSON does; None for documents that need json_reader."""
    if not body:
        raise invalid_argument("JSON Parse error: The document is empty")
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise invalid_argument(f"JSON Parse error: Invalid encoding in string. at offset: {error.start}") from None
    if len(body) > MAX_CONTAINERS and count_containers(body) > MAX_CONTAINERS:
        raise invalid_argument(
            f"JSON Parse error: more than {MAX_CONTAINERS} lists and objects, which is what this server takes"
        )
    text = text.removeprefix("\ufeff")
    if not (SURROGATE.search(text) and LONE_SURROGATE.search(text)) and not has_long_number(body):
        try:
            value = FAST_DECODER.raw_decode(text, len(text) - len(text.lstrip(BLANKS)))[0]
        except (ValueError, RecursionError):
            pass
        else:
            if isinstance(value, dict):
                return value
    return None


def count_containers(body: bytes) -> int:
    """The number of lists and objects; when there are at most MAX_CONTAINERS, brackets in strings are counted too."""
    count = body.count(b"[") + body.count(b"{")
    if count <= MAX_CONTAINERS:
        return count
    structure = STRING.sub(b"", body)
    return structure.count(b"[") + structure.count(b"{")


def has_long_number(body: bytes) -> bool:
    """Whether there are about LONG_NUMBER digits in a row: these cover a position that is a multiple of LONG_NUMBER."""
    if len(body) < LONG_NUMBER:
        return False
    for match in DIGIT.finditer(body[::LONG_NUMBER]):
        start = match.start() * LONG_NUMBER
        after = DIGITS.match(body, start).end() - start  # type: ignore[union-attr]
        before = DIGITS.match(body[max(0, start - LONG_NUMBER) : start][::-1]).end()  # type: ignore[union-attr]
        if after + before >= LONG_NUMBER:
            return True
    return False


def parse_float(text: str) -> float:
    """Raises ValueError for an exponent that may be too large for RapidJSON."""
    if ("e" in text or "E" in text) and (match := LARGE_EXPONENT.search(text)) and float(match[1]) > MAX_EXPONENT:
        raise ValueError(text)
    return float(text)


FAST_DECODER = json.JSONDecoder(object_pairs_hook=keep_first, parse_float=parse_float)
