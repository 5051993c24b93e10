"""JSON as rows need it: numbers keep their spelling, and names given twice are told."""

import json
import math
from collections.abc import Iterable
from typing import Any

BOM = "\ufeff"


class ObjectWithDuplicateNames(dict):
    """An object some of whose names are given more than once, with unequal values; `names` says which."""

    names: frozenset[str]


def parse_number(text: str) -> str | float:
    """A number with a fraction or an exponent, as it is written; an infinity when no float64 holds it.

    "1.50" -> "1.50";  "1e999" -> inf
    """
    return text if math.isfinite(value := float(text)) else value


def build_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object from its names and values."""
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    names = frozenset(name for name, value in pairs if value != found[name])
    if not names:
        return found
    repeated = ObjectWithDuplicateNames(found)
    repeated.names = names
    return repeated


# Integers as text as well: Python refuses to convert those of more than 4,300 digits.
FAST_DECODER = json.JSONDecoder(parse_int=str, parse_float=parse_number)
STRICT_DECODER = json.JSONDecoder(parse_int=str, parse_float=parse_number, object_pairs_hook=build_object)


def parse(text: str) -> Any:
    """The value of a JSON text; numbers are texts, NaN and infinities floats. Raises ValueError saying what is wrong."""
    return decode(STRICT_DECODER, text)


def parse_row(text: str, names: Iterable[str]) -> Any:
    """As `parse`, quicker, of a text without white space around; names given twice are told of `names` alone, and of the
    outermost object."""
    try:
        value, end = FAST_DECODER.raw_decode(text)
    except (ValueError, RecursionError):
        return decode(STRICT_DECODER, text)  # without the mark, or for its message
    # As many names as there are colons behind them: none is given twice.
    twice = (
        type(value) is dict and text.count('":') != len(value) and any(text.count(f'"{name}"') > 1 for name in names)
    )
    return decode(STRICT_DECODER, text) if twice or end != len(text) else value


def decode(decoder: json.JSONDecoder, text: str) -> Any:
    """decoder.decode, without a byte order mark."""
    try:
        return decoder.decode(text.removeprefix(BOM))
    except RecursionError:
        raise ValueError("lists or objects are nested too deep") from None
