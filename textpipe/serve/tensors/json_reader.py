"""RapidJSON's iterative parser, as TensorFlow Serving uses it: what it takes, what it refuses, and in which words."""

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
NO_VALUE = b"\0]},:"  # what a value cannot begin with; the end reads as 0
MAX_DOUBLE, MAX_EXPONENT = sys.float_info.max, 308
CLOCK_INTERVAL = 4096  # values and escapes that are read between two looks at the clock
MAX_DEPTH = 10_000  # a body of nothing but brackets would take a hundred times its size in memory


class RepeatedNames(dict[str, Any]):
    """An object in which a name stands twice: the first counts, but its list of pairs is kept."""

    pairs: list[tuple[str, Any]]


def members(value: dict[str, Any]) -> Any:
    """All (name, value) of an object in the order of the document, repeated names included."""
    return value.pairs if isinstance(value, RepeatedNames) else value.items()


def keep_first(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    made = RepeatedNames()
    for name, value in pairs:
        made.setdefault(name, value)
    made.pairs = pairs
    return made


class OpenObject(list[tuple[str, Any]]):
    """Members of an object that is being read."""


class Reader:
    """Reads bytes from the left without recursion; `at` is the place. What it refuses, and how, is RapidJSON's
    (its iterative parser), and so are the odd numbers that it lets through.

    until: by time.monotonic(); what is not read by then is DEADLINE_EXCEEDED.
    """

    def __init__(self, body: bytes, until: float = math.inf):
        self.body, self.at, self.until, self.steps = body, 0, until, 0
        for byte in b"\xef\xbb\xbf":  # RapidJSON skips each of a byte order mark's three bytes by itself
            self.consume(byte)

    def fail(self, message: str, at: int | None = None) -> ServingError:
        return invalid_argument(f"JSON Parse error: {message} at offset: {self.at if at is None else at}")

    def step(self) -> None:
        """Counts a value or an escape; raises Fault past the deadline."""
        self.steps += 1
        if self.steps % CLOCK_INTERVAL == 0 and time.monotonic() > self.until:
            raise deadline_exceeded()

    def peek(self) -> int:
        """The byte here, 0 at the end."""
        return self.body[self.at] if self.at < len(self.body) else 0

    def consume(self, byte: int) -> bool:
        """Passes a byte if it is here."""
        same = self.peek() == byte
        self.at += same
        return same

    def skip(self) -> int:
        """Passes blanks; the byte there."""
        byte = self.peek()
        if byte in b" \n\r\t":
            self.at = BLANKS.match(self.body, self.at).end()  # type: ignore[union-attr]
            byte = self.peek()
        return byte

    def document(self) -> Any:
        if self.skip() in NO_VALUE:
            raise self.fail("The document is empty.")
        holders: list[list] = []  # containers that are open
        names: list[str] = []  # of the members whose values come next, one for each object that is open
        while True:
            self.step()
            value, opened = self.value()
            if opened:
                holders.append(value)
                if len(holders) > MAX_DEPTH:
                    raise self.fail(f"Nested deeper than {MAX_DEPTH}.")
                if isinstance(value, OpenObject):
                    names.append(self.name())
                continue
            while holders:
                holder = holders[-1]
                holder.append((names.pop(), value) if isinstance(holder, OpenObject) else value)
                if self.more(holder):
                    if isinstance(holder, OpenObject):
                        names.append(self.name())
                    break
                value = keep_first(holders.pop()) if isinstance(holder, OpenObject) else holders.pop()
            else:
                return value

    def value(self) -> tuple[Any, bool]:
        """A scalar or an empty container; or a container that was opened, and True."""
        byte = self.skip()
        if byte in NO_VALUE:
            raise self.fail("Invalid value.")
        if byte == QUOTE:
            return self.string(), False
        if byte in b"[{":
            self.at += 1
            if self.skip() == (ord("]") if byte == ord("[") else ord("}")):
                self.at += 1
                return ([] if byte == ord("[") else {}), False
            return ([] if byte == ord("[") else OpenObject()), True
        if byte in LITERALS:
            word, value = LITERALS[byte]
            for letter in word:
                if not self.consume(letter):
                    raise self.fail("Invalid value.")
            return value, False
        return self.number(), False

    def more(self, holder: list) -> bool:
        """After a value: whether another follows."""
        byte, end = self.skip(), "}" if isinstance(holder, OpenObject) else "]"
        if byte in (ord(","), ord(end)):
            self.at += 1
            return byte == ord(",")
        what = "array element" if end == "]" else "object member"
        raise self.fail(f"Missing a comma or '{end}' after an {what}.")

    def name(self) -> str:
        if self.skip() != QUOTE:
            raise self.fail("Missing a name for object member.")
        name = self.string()
        if self.skip() != ord(":"):
            raise self.fail("Missing a colon after a name of object member.")
        self.at += 1
        return name

    def digits(self) -> bytes:
        """Passes digits."""
        found = DIGITS.match(self.body, self.at).group()  # type: ignore[union-attr]
        self.at += len(found)
        return found

    def number(self) -> int | float:
        start = self.at
        minus, word, whole = self.consume(ord("-")), None, b""
        if self.consume(ord("0")):
            whole = b"0"
        elif self.peek() in b"123456789":
            whole = self.digits()
        else:
            word = self.infinite(minus)
        large = len(whole) >= 19 and int(whole[:400]) > (2**63 if minus else 2**64 - 1)
        if large and not fits_double(whole):
            raise self.fail("Number too big to be stored in double.", start)
        fraction, exponent = None, None
        if self.consume(ord(".")):
            fraction = self.digits()
            if not fraction:
                raise self.fail("Miss fraction part in number.")
        if self.consume(ord("e")) or self.consume(ord("E")):
            below = not self.consume(ord("+")) and self.consume(ord("-"))
            exponent = self.digits()
            if not exponent:
                raise self.fail("Miss exponent in number.")
            most = MAX_EXPONENT + num_fraction_digits(whole, fraction or b"", large)
            if not below and len(exponent) > 1 and int(exponent.lstrip(b"0")[:9] or b"0") > most:
                raise self.fail("Number too big to be stored in double.", start)
            exponent = b"-" * below + exponent
        if fraction is None and exponent is None:
            if word is not None:
                return word
            return float(self.body[start : self.at]) if large else int(self.body[start : self.at])
        return float(b"%s%s.%se%s" % (b"-" * minus, whole or b"0", fraction or b"0", exponent or b"0"))

    def infinite(self, minus: bool) -> float:
        """NaN, Inf, Infinity; and what RapidJSON takes for them because it tries one after the other, like NInf."""
        at = self.at
        if all(map(self.consume, b"NaN")):
            return math.nan
        if self.at == at and self.peek() != ord("I"):
            raise self.fail("Invalid value.")
        if all(map(self.consume, b"Inf")):
            if self.peek() == ord("i") and not all(map(self.consume, b"inity")):
                raise self.fail("Invalid value.")
            return -math.inf if minus else math.inf
        raise self.fail("Invalid value.")

    def string(self) -> str:
        self.at += 1
        found = bytearray()
        while True:
            if plain := PLAIN.match(self.body, self.at):
                found += plain.group()
                self.at = plain.end()
            byte = self.peek()
            if byte == QUOTE:
                self.at += 1
                return found.decode()
            if byte == 0:
                raise self.fail("Missing a closing quotation mark in string.")
            if byte != BACKSLASH:
                raise self.fail("Invalid escape character in string.")
            found += self.escaped()

    def escaped(self) -> bytes:
        self.step()
        start = self.at
        self.at += 1
        kind = self.peek()
        if kind in ESCAPES:
            self.at += 1
            return ESCAPES[kind]
        if not self.consume(ord("u")):
            raise self.fail("Invalid escape character in string.", start)
        code = self.four(start)
        if 0xD800 <= code < 0xDC00:
            low = self.four(start) if self.consume(BACKSLASH) and self.consume(ord("u")) else 0
            if not 0xDC00 <= low < 0xE000:
                raise self.fail("The surrogate pair in string is invalid.", start)
            code = 0x10000 + ((code - 0xD800) << 10) + low - 0xDC00
        elif 0xDC00 <= code < 0xE000:  # RapidJSON lets it through as bytes that are not UTF-8
            raise self.fail("The surrogate pair in string is invalid.", start)
        return chr(code).encode()

    def four(self, start: int) -> int:
        found = HEX.match(self.body, self.at)
        if not found:
            raise self.fail("Incorrect hex digit after \\u escape in string.", start)
        self.at += 4
        return int(found.group(), 16)


def fits_double(whole: bytes) -> bool:
    """Whether RapidJSON stores an integer of more than 64 bits as a double, which it reads digit by digit."""
    value = float(int(whole[:19]))
    for digit in whole[19:]:
        if value >= MAX_DOUBLE / 10:
            return False
        value = value * 10 + digit - ord("0")
    return True


def num_fraction_digits(whole: bytes, fraction: bytes, large: bool) -> int:
    """How many digits of a fraction RapidJSON reads into the number: as far as 17 digits, or 2^53, go."""
    read, value, used = 0, int(whole[:400] or b"0"), len(whole) - 1 if whole else 0
    if not large:
        for digit in fraction[:400]:
            if value >= 2**53:
                break
            value = value * 10 + digit - ord("0")
            read += 1
            used += value != 0
    for digit in fraction[read:400]:
        if used >= 17:
            break
        value = value * 10 + digit - ord("0")
        read += 1
        used += value != 0
    return read
