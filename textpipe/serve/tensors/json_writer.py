"""JSON values in messages, as RapidJSON's PrettyWriter spells them for TensorFlow Serving."""

import math
import re
from decimal import Decimal
from json.encoder import encode_basestring as in_quotes
from typing import Any

from textpipe.serve.engine.errors import ServingError, invalid_argument
from textpipe.serve.tensors.json_reader import members

MAX_SHOWN = 256  # bytes of a value after which nothing more of it is begun; what is begun is written out
MAX_TEXT = 1 << 14  # characters of one text, which TensorFlow Serving writes out whatever its length
MIN_INTEGER, MAX_INTEGER = -(2**63), 2**64 - 1  # integers beyond these are doubles
ESCAPE = re.compile(r"\\(?:u([0-9a-f]{4})|.)")


def format_value(value: Any) -> str:
    """A value as a message shows it: members of objects in lines of their own, lists in one line, cut where it is long.

    {"a": [1, 2.50]} -> '{\\n    "a": [1, 2.5]\\n}'
    """
    writer = Writer()
    writer.write(value)
    return "".join(writer.pieces)


def malformed(value: Any, message: str) -> ServingError:
    """The client's mistake in a value, which the message begins with."""
    return invalid_argument(f"JSON Value: {format_value(value)} {message}")


class Writer:
    """Writes until SHOWN bytes are there, or a number is not finite: JSON has no spelling for that."""

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self.size = 0
        self.levels: list[list] = []  # of each list or object that is open: whether it is a list, how much it has

    def write(self, value: Any) -> bool:
        """Whether to go on."""
        if isinstance(value, dict):
            if not self.begin("{", False):
                return False
            for name, inner in members(value):
                if not self.add(quote(name[:MAX_TEXT])) or not self.write(inner):
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
        """A value, a name or an opening bracket, with what must stand before it."""
        if self.size >= MAX_SHOWN:
            return False
        before = ""
        if self.levels:
            is_list, count = self.levels[-1]
            if is_list:
                before = ", " if count else ""
            elif count % 2:
                before = ": "
            else:
                before = (",\n" if count else "\n") + self.indent()
            self.levels[-1][1] += 1
        self.put(before + text)
        return True

    def indent(self) -> str:
        return "    " * len(self.levels)

    def put(self, text: str) -> None:
        self.pieces.append(text)
        self.size += len(text.encode())


def format_scalar(value: Any) -> str:
    """What is neither list nor object; nothing for numbers that are not finite."""
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
    """A JSON string as RapidJSON writes it: its hexadecimal digits are capitals."""
    found = in_quotes(text)
    if r"\u" not in found:
        return found
    return ESCAPE.sub(lambda match: rf"\u{match[1].upper()}" if match[1] else match[0], found)


def is_double(value: Any) -> bool:
    """Whether RapidJSON holds a number as a double: integers of more than 64 bits too."""
    return type(value) is float or (type(value) is int and not MIN_INTEGER <= value <= MAX_INTEGER)


def type_of(value: Any) -> str:
    """RapidJSON's name for what a value is."""
    if value is None or isinstance(value, bool):
        return {None: "Null", True: "True", False: "False"}[value]
    if isinstance(value, dict):
        return "Object"
    names: dict[type, str] = {list: "Array", str: "String"}
    return names.get(type(value), "Number")
