"""JSON values in error messages, formatted as by RapidJSON's PrettyWriter in TensorFlow Serving."""

import math
import re
from decimal import Decimal
from json.encoder import encode_basestring as in_quotes
from typing import Any

from textpipe.serve.engine.errors import ServingError, invalid_argument
from textpipe.serve.tensors.json_reader import members

MAX_SHOWN = 256  # bytes of a value after which no further part of it is started
MAX_TEXT = 1 << 14  # characters of one text; TensorFlow Serving has no such limit
MIN_INTEGER, MAX_INTEGER = -(2**63), 2**64 - 1  # integers outside are doubles
ESCAPE = re.compile(r"\\(?:u([0-9a-f]{4})|.)")


def format_value(value: Any) -> str:
    """A value for an error message: members of objects on separate lines, lists on one line, cut when it is long.

    {"a": [1, 2.50]} -> '{\\n    "a": [1, 2.5]\\n}'
    """
    writer = Writer()
    writer.write(value)
    return "".join(writer.chunks)


def malformed(value: Any, message: str) -> ServingError:
    """INVALID_ARGUMENT with a message that begins with the value."""
    return invalid_argument(f"JSON Value: {format_value(value)} {message}")


class Writer:
    """Writes until MAX_SHOWN bytes are reached, or until a number that is not finite, which JSON cannot express."""

    def __init__(self) -> None:
        self.chunks: list[str] = []
        self.size = 0
        self.levels: list[list] = []  # of each open list or object: whether it is a list, number of items

    def write(self, value: Any) -> bool:
        """Returns whether to continue."""
        if isinstance(value, dict):
            if not self.begin("{", False):
                return False
            for name, member in members(value):
                if not self.add(quote(name[:MAX_TEXT])) or not self.write(member):
                    return False
            return self.end("}")
        if isinstance(value, list):
            return self.begin("[", True) and all(map(self.write, value)) and self.end("]")
        return self.add(format_scalar(value)) and not (isinstance(value, float) and not math.isfinite(value))

    def begin(self, bracket: str, is_list: bool) -> bool:
        written = self.add(bracket)
        self.levels.append([is_list, 0])
        return written

    def end(self, bracket: str) -> bool:
        if self.size >= MAX_SHOWN:
            return False
        is_list, count = self.levels.pop()
        self.put(bracket if is_list or not count else "\n" + self.indent() + bracket)
        return True

    def add(self, text: str) -> bool:
        """Adds a value, a name or an opening bracket, after its separator."""
        if self.size >= MAX_SHOWN:
            return False
        separator = ""
        if self.levels:
            is_list, count = self.levels[-1]
            if is_list:
                separator = ", " if count else ""
            elif count % 2:
                separator = ": "
            else:
                separator = (",\n" if count else "\n") + self.indent()
            self.levels[-1][1] += 1
        self.put(separator + text)
        return True

    def indent(self) -> str:
        return "    " * len(self.levels)

    def put(self, text: str) -> None:
        self.chunks.append(text)
        self.size += len(text.encode())


def format_scalar(value: Any) -> str:
    """A scalar; empty for numbers that are not finite."""
    if isinstance(value, str):
        return quote(value[:MAX_TEXT])
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return format_double(float(value)) if is_double(value) else str(value)


def format_double(value: float) -> str:
    """2.50 -> "2.5", 1e+30 -> "1e30", 1e21 -> "1e21", 1e20 -> "100000000000000000000.0"."""
    if not math.isfinite(value):
        return ""
    if not value:
        return "-0.0" if math.copysign(1, value) < 0 else "0.0"
    sign, figures, exponent = Decimal(repr(value)).as_tuple()
    digits = "".join(map(str, figures)).rstrip("0")
    point = len(figures) + int(exponent)  # 10^(point - 1) <= value < 10^point
    if len(digits) <= point <= 21:
        text = digits.ljust(point, "0") + ".0"
    elif 0 < point <= 21:
        text = f"{digits[:point]}.{digits[point:]}"
    elif -6 < point <= 0:
        text = f"0.{'0' * -point}{digits}"
    else:
        text = f"{digits[0]}{'.' if digits[1:] else ''}{digits[1:]}e{point - 1}"
    return "-" * sign + text


def quote(text: str) -> str:
    """A JSON string as RapidJSON writes it, with hexadecimal digits in upper case."""
    quoted = in_quotes(text)
    if r"\u" not in quoted:
        return quoted
    return ESCAPE.sub(lambda match: rf"\u{match[1].upper()}" if match[1] else match[0], quoted)


def is_double(value: Any) -> bool:
    """Whether RapidJSON stores a number as a double, as it does integers of more than 64 bits."""
    return type(value) is float or (type(value) is int and not MIN_INTEGER <= value <= MAX_INTEGER)


def type_of(value: Any) -> str:
    """RapidJSON's name of a value's type."""
    if value is None or isinstance(value, bool):
        return {None: "Null", True: "True", False: "False"}[value]
    if isinstance(value, dict):
        return "Object"
    names: dict[type, str] = {list: "Array", str: "String"}
    return names.get(type(value), "Number")
