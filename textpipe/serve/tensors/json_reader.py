"""RapidJSON's iterative parser as TensorFlow Serving uses it: the same documents accepted, the same error messages."""

import math
import re
import sys
import time
from typing import Any

from textpipe.serve.engine.errors import ServingError, invalid_argument
from textpipe.serve.engine.search_limits import deadline_exceeded

DIGITS, HEX = re.compile(rb"[0-9]*"), re.compile(rb"[0-9a-fA-F]{4}")
BLANKS = re.compile(rb"[ \n\r\t]*")
PLAIN = re.compile(rb'[^"\\\x00-\x1f]+')
ESCAPES = {name: bytes([value]) for name, value in zip(b'"\\/bfnrt', b'"\\/\b\f\n\r\t', strict=True)}
LITERALS = {ord("n"): (b"null", None), ord("t"): (b"true", True), ord("f"): (b"false", False)}
QUOTE, BACKSLASH = ord('"'), ord("\\")
NO_VALUE = b"\0]},:"  # bytes that cannot begin a value; the end reads as 0
MAX_DOUBLE, MAX_EXPONENT = sys.float_info.max, 308
CLOCK_INTERVAL = 4096  # values and escapes between two checks of the deadline
MAX_DEPTH = 10_000  # a body of brackets alone takes 100 times its size in memory


class RepeatedNames(dict[str, Any]):
    """An object with a repeated name: the first value counts, but all pairs are kept."""

    pairs: list[tuple[str, Any]]


def members(value: dict[str, Any]) -> Any:
    """All (name, value) pairs of an object in document order, including repeated names."""
    return value.pairs if isinstance(value, RepeatedNames) else value.items()


def keep_first(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) == len(pairs):
        return value
    repeated = RepeatedNames()
    for name, value in pairs:
        repeated.setdefault(name, value)
    repeated.pairs = pairs
    return repeated


class OpenObject(list[tuple[str, Any]]):
    """Members of an object that is still being read."""


class Reader:
    """Parses bytes from left to right without recursion; `pos` is the current offset. Errors are RapidJSON's, and so are the
    malformed numbers it accepts.

    deadline: by time.monotonic(); past it, parsing fails with DEADLINE_EXCEEDED.
    """

    def __init__(self, body: bytes, deadline: float = math.inf):
        self.body, self.pos, self.deadline, self.steps = body, 0, deadline, 0
        for byte in b"\xef\xbb\xbf":  # RapidJSON skips each byte of a byte order mark separately
            self.consume(byte)

    def error(self, message: str, pos: int | None = None) -> ServingError:
        return invalid_argument(f"JSON Parse error: {message} at offset: {self.pos if pos is None else pos}")

    def step(self) -> None:
        """Counts a value or an escape; raises ServingError past the deadline."""
        self.steps += 1
        if self.steps % CLOCK_INTERVAL == 0 and time.monotonic() > self.deadline:
            raise deadline_exceeded()

    def peek(self) -> int:
        """The current byte, 0 at the end."""
        return self.body[self.pos] if self.pos < len(self.body) else 0

    def consume(self, byte: int) -> bool:
        """Skips the byte if it is next; whether it was."""
        is_next = self.peek() == byte
        self.pos += is_next
        return is_next

    def skip_blanks(self) -> int:
        """Skips blanks and returns the byte after them."""
        byte = self.peek()
        if byte in b" \n\r\t":
            self.pos = BLANKS.match(self.body, self.pos).end()  # type: ignore[union-attr]
            byte = self.peek()
        return byte

    def document(self) -> Any:
        if self.skip_blanks() in NO_VALUE:
            raise self.error("The document is empty.")
        containers: list[list] = []  # open lists and objects
        names: list[str] = []  # of the members being read, one for each open object
        while True:
            self.step()
            value, opened = self.value()
            if opened:
                containers.append(value)
                if len(containers) > MAX_DEPTH:
                    raise self.error(f"Nested deeper than {MAX_DEPTH}.")
                if isinstance(value, OpenObject):
                    names.append(self.name())
                continue
            while containers:
                container = containers[-1]
                container.append((names.pop(), value) if isinstance(container, OpenObject) else value)
                if self.has_more(container):
                    if isinstance(container, OpenObject):
                        names.append(self.name())
                    break
                value = keep_first(containers.pop()) if isinstance(container, OpenObject) else containers.pop()
            else:
                return value

    def value(self) -> tuple[Any, bool]:
        """(a scalar or an empty container, False) or (an opened container, True)."""
        byte = self.skip_blanks()
        if byte in NO_VALUE:
            raise self.error("Invalid value.")
        if byte == QUOTE:
            return self.string(), False
        if byte in b"[{":
            self.pos += 1
            if self.skip_blanks() == (ord("]") if byte == ord("[") else ord("}")):
                self.pos += 1
                return ([] if byte == ord("[") else {}), False
            return ([] if byte == ord("[") else OpenObject()), True
        if byte in LITERALS:
            word, value = LITERALS[byte]
            for letter in word:
                if not self.consume(letter):
                    raise self.error("Invalid value.")
            return value, False
        return self.number(), False

    def has_more(self, container: list) -> bool:
        """After a value: whether another one follows in the container."""
        byte, end = self.skip_blanks(), "}" if isinstance(container, OpenObject) else "]"
        if byte in (ord(","), ord(end)):
            self.pos += 1
            return byte == ord(",")
        element = "array element" if end == "]" else "object member"
        raise self.error(f"Missing a comma or '{end}' after an {element}.")

    def name(self) -> str:
        if self.skip_blanks() != QUOTE:
            raise self.error("Missing a name for object member.")
        name = self.string()
        if self.skip_blanks() != ord(":"):
            raise self.error("Missing a colon after a name of object member.")
        self.pos += 1
        return name

    def digits(self) -> bytes:
        """Reads digits."""
        digits = DIGITS.match(self.body, self.pos).group()  # type: ignore[union-attr]
        self.pos += len(digits)
        return digits

    def number(self) -> int | float:
        start = self.pos
        minus, word, integer = self.consume(ord("-")), None, b""
        if self.consume(ord("0")):
            integer = b"0"
        elif self.peek() in b"123456789":
            integer = self.digits()
        else:
            word = self.parse_nan_or_inf(minus)
        large = len(integer) >= 19 and int(integer[:400]) > (2**63 if minus else 2**64 - 1)
        if large and not fits_double(integer):
            raise self.error("Number too big to be stored in double.", start)
        fraction, exponent = None, None
        if self.consume(ord(".")):
            fraction = self.digits()
            if not fraction:
                raise self.error("Miss fraction part in number.")
        if self.consume(ord("e")) or self.consume(ord("E")):
            negative = not self.consume(ord("+")) and self.consume(ord("-"))
            exponent = self.digits()
            if not exponent:
                raise self.error("Miss exponent in number.")
            largest = MAX_EXPONENT + num_fraction_digits(integer, fraction or b"", large)
            if not negative and len(exponent) > 1 and int(exponent.lstrip(b"0")[:9] or b"0") > largest:
                raise self.error("Number too big to be stored in double.", start)
            exponent = b"-" * negative + exponent
        if fraction is None and exponent is None:
            if word is not None:
                return word
            return float(self.body[start : self.pos]) if large else int(self.body[start : self.pos])
        return float(b"%s%s.%se%s" % (b"-" * minus, integer or b"0", fraction or b"0", exponent or b"0"))

    def parse_nan_or_inf(self, minus: bool) -> float:
        """NaN, Inf, Infinity, and others like NInf that RapidJSON accepts because it tries one after the other."""
        pos = self.pos
        if all(map(self.consume, b"NaN")):
            return math.nan
        if self.pos == pos and self.peek() != ord("I"):
            raise self.error("Invalid value.")
        if all(map(self.consume, b"Inf")):
            if self.peek() == ord("i") and not all(map(self.consume, b"inity")):
                raise self.error("Invalid value.")
            return -math.inf if minus else math.inf
        raise self.error("Invalid value.")

    def string(self) -> str:
        self.pos += 1
        text = bytearray()
        while True:
            if plain := PLAIN.match(self.body, self.pos):
                text += plain.group()
                self.pos = plain.end()
            byte = self.peek()
            if byte == QUOTE:
                self.pos += 1
                return text.decode()
            if byte == 0:
                raise self.error("Missing a closing quotation mark in string.")
            if byte != BACKSLASH:
                raise self.error("Invalid escape character in string.")
            text += self.escape()

    def escape(self) -> bytes:
        self.step()
        start = self.pos
        self.pos += 1
        kind = self.peek()
        if kind in ESCAPES:
            self.pos += 1
            return ESCAPES[kind]
        if not self.consume(ord("u")):
            raise self.error("Invalid escape character in string.", start)
        code = self.hex4(start)
        if 0xD800 <= code < 0xDC00:
            low = self.hex4(start) if self.consume(BACKSLASH) and self.consume(ord("u")) else 0
            if not 0xDC00 <= low < 0xE000:
                raise self.error("The surrogate pair in string is invalid.", start)
            code = 0x10000 + ((code - 0xD800) << 10) + low - 0xDC00
        elif 0xDC00 <= code < 0xE000:  # RapidJSON accepts it and returns bytes that are not UTF-8
            raise self.error("The surrogate pair in string is invalid.", start)
        return chr(code).encode()

    def hex4(self, start: int) -> int:
        match = HEX.match(self.body, self.pos)
        if not match:
            raise self.error("Incorrect hex digit after \\u escape in string.", start)
        self.pos += 4
        return int(match.group(), 16)


def fits_double(integer: bytes) -> bool:
    """Whether RapidJSON can store an integer of more than 64 bits, read digit by digit, as a double."""
    value = float(int(integer[:19]))
    for digit in integer[19:]:
        if value >= MAX_DOUBLE / 10:
            return False
        value = value * 10 + digit - ord("0")
    return True


def num_fraction_digits(integer: bytes, fraction: bytes, large: bool) -> int:
    """How many digits of a fraction RapidJSON uses: up to 17 digits in all, or 2^53."""
    num_read, value, used = 0, int(integer[:400] or b"0"), len(integer) - 1 if integer else 0
    if not large:
        for digit in fraction[:400]:
            if value >= 2**53:
                break
            value = value * 10 + digit - ord("0")
            num_read += 1
            used += value != 0
    for digit in fraction[num_read:400]:
        if used >= 17:
            break
        value = value * 10 + digit - ord("0")
        num_read += 1
        used += value != 0
    return num_read
