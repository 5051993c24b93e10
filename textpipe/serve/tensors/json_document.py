"""A request's JSON as RapidJSON reads it for TensorFlow Serving: NaN and Inf are numbers, the first of two equal names
counts, and what follows the document is ignored.

Python's own reader does the work where both agree. It is checked for the few spellings on which they do not, and where
it finds a fault, the reader (serve/tensors/json_reader.py) says what RapidJSON would.
"""

import json
import math
import re
from typing import Any

from textpipe.serve.engine.errors import invalid
from textpipe.serve.tensors.json_reader import LARGEST_EXPONENT, Reader, first_of_each

BLANKS = " \n\r\t"
# Python takes half a surrogate pair and any exponent; RapidJSON neither. Both are rare: a false alarm costs little.
HIGH, LOW = r"\\u[dD][89abAB][0-9a-fA-F]{2}", r"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
HALF = re.compile(rf"{HIGH}(?!{LOW})|(?<!{HIGH}){LOW}")
SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")  # found ten times as quickly as half of a pair
LARGE = re.compile(r"[eE]\+?([0-9]{3,})")
LONG = 300  # digits of a number that may be more than a double holds
DIGIT, DIGITS = re.compile(rb"[0-9]"), re.compile(rb"[0-9]*")
# Possessive, and to the end where a text is never closed: what was read is not read again.
STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\Z)', re.DOTALL)
MOST_PARTS = 1 << 20  # lists and objects of a document: each takes up to a hundred bytes, even when it is empty


def parse(body: bytes, until: float = math.inf) -> Any:
    """The document's value; raises a Fault that says what is wrong, and at which byte.

    until: by time.monotonic(), where the slow reader is needed.
    """
    value = quick(body)
    return Reader(body, until).document() if value is None else value


def quick(body: bytes) -> dict[str, Any] | None:
    """A document that Python's own reader reads as RapidJSON does and that is an object; None for one to be read slowly."""
    if not body:
        raise invalid("JSON Parse error: The document is empty")
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise invalid(f"JSON Parse error: Invalid encoding in string. at offset: {error.start}") from None
    if len(body) > MOST_PARTS and parts(body) > MOST_PARTS:
        raise invalid(f"JSON Parse error: more than {MOST_PARTS} lists and objects, which is what this server takes")
    text = text.removeprefix("\ufeff")
    if not (SURROGATE.search(text) and HALF.search(text)) and not has_long_number(body):
        try:
            value = QUICK.raw_decode(text, len(text) - len(text.lstrip(BLANKS)))[0]
        except (ValueError, RecursionError):
            pass
        else:
            if isinstance(value, dict):
                return value
    return None


def parts(body: bytes) -> int:
    """How many lists and objects there are; brackets in texts are counted only when there are few."""
    count = body.count(b"[") + body.count(b"{")
    if count <= MOST_PARTS:
        return count
    bare = STRING.sub(b"", body)
    return bare.count(b"[") + bare.count(b"{")


def has_long_number(body: bytes) -> bool:
    """Whether LONG digits stand together, or a few less: so many cover a place that is a multiple of LONG."""
    if len(body) < LONG:
        return False
    for found in DIGIT.finditer(body[::LONG]):
        at = found.start() * LONG
        behind = DIGITS.match(body, at).end() - at  # type: ignore[union-attr]
        before = DIGITS.match(body[max(0, at - LONG) : at][::-1]).end()  # type: ignore[union-attr]
        if behind + before >= LONG:
            return True
    return False


def number(text: str) -> float:
    """Raises ValueError for an exponent that may be more than RapidJSON takes."""
    if ("e" in text or "E" in text) and (found := LARGE.search(text)) and float(found[1]) > LARGEST_EXPONENT:
        raise ValueError(text)
    return float(text)


QUICK = json.JSONDecoder(object_pairs_hook=first_of_each, parse_float=number)
