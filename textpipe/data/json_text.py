"""JSON parsing for rows: keeps the spelling of numbers and reports duplicate names."""

import json
import math
from collections.abc import Iterable
from typing import Any

BOM = "\ufeff"


class ObjectWithDuplicateNames(dict):
    """An object with duplicate names that have different values; `names` are those names."""

    names: frozenset[str]


class Number(str):
    """A number as it is written in JSON: equal to its text, but no text."""


def parse_number(text: str) -> Number | float:
    """Keep a number with a fraction or an exponent as written; return infinity if it overflows float64.

    "1.50" -> "1.50";  "1e999" -> inf
    """
    return Number(text) if math.isfinite(value := float(text)) else value


def build_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build an object from its (name, value) pairs."""
    values = dict(pairs)
    if len(values) == len(pairs):
        return values
    names = frozenset(name for name, value in pairs if value != values[name])
    if not names:
        return values
    duplicates = ObjectWithDuplicateNames(values)
    duplicates.names = names
    return duplicates


# Integers stay as written too, because Python refuses to convert more than 4,300 digits.
FAST_DECODER = json.JSONDecoder(parse_int=Number, parse_float=parse_number)
STRICT_DECODER = json.JSONDecoder(parse_int=Number, parse_float=parse_number, object_pairs_hook=build_object)


def parse(text: str) -> Any:
    """Parse a JSON text; numbers become `Number`s, NaN and infinities floats. Raises ValueError with the reason."""
    return decode(STRICT_DECODER, text)


def parse_row(text: str, names: Iterable[str]) -> Any:
    """Like `parse`, but faster. Expects stripped text; reports duplicates only for `names` in the outermost object."""
    try:
        value, end = FAST_DECODER.raw_decode(text)
    except (ValueError, RecursionError):
        return decode(STRICT_DECODER, text)  # strips a byte order mark, or raises with a better message
    # If the number of names equals the number of '":', no name is duplicated.
    duplicates = (
        type(value) is dict and text.count('":') != len(value) and any(text.count(f'"{name}"') > 1 for name in names)
    )
    return decode(STRICT_DECODER, text) if duplicates or end != len(text) else value


def write(value: Any) -> str:
    """A value as JSON; a `Number` stays a number as written. Raises ValueError for what JSON does not have, as dates, and for deep nesting.

    ["a", Number("1.50"), None] -> '["a", 1.50, null]'
    """
    try:
        return written(value)
    except RecursionError:
        raise ValueError("lists or objects are nested too deeply") from None
    except TypeError as error:
        raise ValueError(str(error)) from None


def written(value: Any) -> str:
    """`write`, with Python's own errors."""
    if isinstance(value, list):
        return f"[{', '.join(map(written, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{json.dumps(name)}: {written(item)}' for name, item in value.items())}}}"
    return str(value) if isinstance(value, Number) else json.dumps(value, ensure_ascii=False)


def decode(decoder: json.JSONDecoder, text: str) -> Any:
    """Decode text, without its byte order mark."""
    try:
        return decoder.decode(text.removeprefix(BOM))
    except RecursionError:
        raise ValueError("lists or objects are nested too deeply") from None
