"""A request's JSON as RapidJSON reads it for TensorFlow Serving: NaN and Inf are numbers, the first of two equal names
counts, and what follows the document is ignored.

Python's own reader does the work where both agree. It is checked for the few spellings on which they do not, and where
it finds a fault, the reader (serve/tensors/json_reader.py) says what RapidJSON would.
"""

import json
import math
import re
from typing import Any

from textpipe.serve.engine.errors import invalid_argument
from textpipe.serve.tensors.json_reader import MAX_EXPONENT, Reader, keep_first

BLANKS = " \n\r\t"
# Python takes half a surrogate pair and any exponent; RapidJSON neither. Both are rare: a false alarm costs little.
HIGH, LOW = r"\\u[dD][89abAB][0-9a-fA-F]{2}", r"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
LONE_SURROGATE = re.compile(rf"{HIGH}(?!{LOW})|(?<!{HIGH}){LOW}")
SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")  # found ten times as quickly as half of a pair
LARGE_EXPONENT = re.compile(r"[eE]\+?([0-9]{3,})")
LONG_NUMBER = 300  # digits of a number that may be more than a double holds
DIGIT, DIGITS = re.compile(rb"[0-9]"), re.compile(rb"[0-9]*")
# Possessive, and to the end where a text is never closed: what was read is not read again.
STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\Z)', re.DOTALL)
MAX_CONTAINERS = 1 << 20  # lists and objects of a document: each takes up to a hundred bytes, even when it is empty


def parse(body: bytes, until: float = math.inf) -> Any:
    """The document's value; raises a Fault that says what is wrong, and at which byte.

    until: by time.monotonic(), where the slow reader is needed.
    """
    value = parse_fast(body)
    return Reader(body, until).document() if value is None else value


def parse_fast(body: bytes) -> dict[str, Any] | None:
    """A document that Python's own reader reads as RapidJSON does and that is an object; None for one to be read slowly."""
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
    """How many lists and objects there are; brackets in texts are counted only when there are few."""
    count = body.count(b"[") + body.count(b"{")
    if count <= MAX_CONTAINERS:
        return count
    bare = STRING.sub(b"", body)
    return bare.count(b"[") + bare.count(b"{")


def has_long_number(body: bytes) -> bool:
    """Whether LONG digits stand together, or a few less: so many cover a place that is a multiple of LONG."""
    if len(body) < LONG_NUMBER:
        return False
    for found in DIGIT.finditer(body[::LONG_NUMBER]):
        at = found.start() * LONG_NUMBER
        behind = DIGITS.match(body, at).end() - at  # type: ignore[union-attr]
        before = DIGITS.match(body[max(0, at - LONG_NUMBER) : at][::-1]).end()  # type: ignore[union-attr]
        if behind + before >= LONG_NUMBER:
            return True
    return False


def parse_float(text: str) -> float:
    """Raises ValueError for an exponent that may be more than RapidJSON takes."""
    if ("e" in text or "E" in text) and (found := LARGE_EXPONENT.search(text)) and float(found[1]) > MAX_EXPONENT:
        raise ValueError(text)
    return float(text)


FAST_DECODER = json.JSONDecoder(object_pairs_hook=keep_first, parse_float=parse_float)
