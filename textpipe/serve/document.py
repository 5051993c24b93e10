"""A request's JSON as RapidJSON reads it for TensorFlow Serving: NaN and Inf are numbers, the first of two equal names
counts, and what follows the document is ignored.

Python's own reader does the work where both agree. It is checked for the few spellings on which they do not, and where
it finds a fault, the reader below says what RapidJSON would.
"""

import json
import re
from typing import Any

from textpipe.serve.faults import invalid

BLANKS = " \n\r\t"
# Python takes half a surrogate pair and any exponent; RapidJSON neither. Both are rare: a false alarm costs little.
HIGH, LOW = r"\\u[dD][89abAB][0-9a-fA-F]{2}", r"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
HALF = re.compile(rf"{HIGH}(?!{LOW})|(?<!{HIGH}){LOW}")
SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")  # found ten times as quickly as half of a pair
LARGE = re.compile(r"[eE]\+?[0-9]{3}")
NUMBER = re.compile(r"(-?)(?:(0|[1-9][0-9]*)(\.[0-9]*)?([eE][+-]?[0-9]*)?|(NaN|Infinity|Inf))")
ESCAPED = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
PLAIN = re.compile(r'[^"\\\x00-\x1f]+')
LITERALS = {"n": ("null", None), "t": ("true", True), "f": ("false", False)}
LARGEST_EXPONENT = 308
DEEPEST = 10_000  # a body of nothing but brackets would take a hundred times its size in memory


def parse(body: bytes) -> Any:
    """The document's value; raises a Fault that says what is wrong, and at which character."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise invalid(f"JSON Parse error: The body is not UTF-8. at offset: {error.start}") from None
    text = text.removeprefix("\ufeff")
    if not (SURROGATE.search(text) and HALF.search(text)):
        try:
            return QUICK.raw_decode(text, len(text) - len(text.lstrip(BLANKS)))[0]
        except (ValueError, RecursionError):
            pass
    return Reader(text).document()


def first_of_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    return found if len(found) == len(pairs) else dict(reversed(pairs))


def number(text: str) -> float:
    """Raises ValueError for an exponent that may be more than RapidJSON takes."""
    if ("e" in text or "E" in text) and LARGE.search(text):
        raise ValueError(text)
    return float(text)


QUICK = json.JSONDecoder(object_pairs_hook=first_of_each, parse_float=number)


class Reader:
    """Reads a text from the left without recursion; `at` is the place."""

    def __init__(self, text: str):
        self.text, self.at = text, 0

    def fail(self, message: str, at: int | None = None) -> Exception:
        return invalid(f"JSON Parse error: {message} at offset: {self.at if at is None else at}")

    def skip(self) -> str:
        """Passes blanks; the character there, "" at the end."""
        while self.text[self.at : self.at + 1] in (" ", "\n", "\r", "\t"):
            self.at += 1
        return self.text[self.at : self.at + 1]

    def document(self) -> Any:
        if not self.skip():
            raise self.fail("The document is empty.")
        stack: list[tuple[Any, str | None]] = []  # containers that are open, and the name the next value gets
        while True:
            value, name = self.value(), None
            if isinstance(value, (list, dict)) and not self.closed:
                if isinstance(value, dict):
                    name = self.name()
                stack.append((value, name))
                if len(stack) > DEEPEST:
                    raise self.fail(f"Nested deeper than {DEEPEST}.")
                continue
            while stack:
                holder, name = stack.pop()
                if name is None:
                    holder.append(value)
                else:
                    holder.setdefault(name, value)
                if self.more(holder):
                    stack.append((holder, None if name is None else self.name()))
                    break
                value = holder
            else:
                return value

    def value(self) -> Any:
        """A scalar, or a container that was opened; `closed` says whether it is empty and over."""
        found, self.closed = self.skip(), True
        if found == '"':
            return self.string()
        if found in ("[", "{"):
            self.at += 1
            end = "]" if found == "[" else "}"
            self.closed = self.skip() == end
            self.at += self.closed
            return [] if found == "[" else {}
        if found in LITERALS:
            word, value = LITERALS[found]
            if self.text.startswith(word, self.at):
                self.at += len(word)
                return value
            raise self.fail("Invalid value.", self.at + 1)
        return self.number()

    def more(self, holder: Any) -> bool:
        """After a value: whether another follows."""
        found = self.skip()
        end = "]" if isinstance(holder, list) else "}"
        if found == ",":
            self.at += 1
            return True
        if found == end:
            self.at += 1
            return False
        what = "array element" if end == "]" else "object member"
        raise self.fail(f"Missing a comma or '{end}' after an {what}.")

    def name(self) -> str:
        if self.skip() != '"':
            raise self.fail("Missing a name for object member.")
        name = self.string()
        if self.skip() != ":":
            raise self.fail("Missing a colon after a name of object member.")
        self.at += 1
        return name

    def number(self) -> int | float:
        found, start = NUMBER.match(self.text, self.at), self.at
        if not found:
            raise self.fail("Invalid value.")
        minus, whole, fraction, exponent, word = found.groups()
        self.at = found.end()
        if word:
            value = float(word)
            return -value if minus else value
        if fraction == ".":
            raise self.fail("Miss fraction part in number.")
        if exponent and not exponent[-1].isdigit():
            raise self.fail("Miss exponent in number.")
        if fraction is None and exponent is None:
            return int(minus + whole) if len(whole) < 310 else self.too_big(start)
        digits = int(exponent[1:]) if exponent and len(exponent) < 300 else 0
        if digits > LARGEST_EXPONENT + len((fraction or ".")[1:]) or len(whole) > LARGEST_EXPONENT:
            return self.too_big(start)
        return float(found.group())

    def too_big(self, start: int) -> Any:
        raise self.fail("Number too big to be stored in double.", start)

    def string(self) -> str:
        start, parts = self.at, []
        self.at += 1
        while True:
            if plain := PLAIN.match(self.text, self.at):
                parts.append(plain.group())
                self.at = plain.end()
            found = self.text[self.at : self.at + 1]
            if found == '"':
                self.at += 1
                return "".join(parts)
            if found in ("", "\0"):
                raise self.fail("Missing a closing quotation mark in string.", start)
            if found != "\\":
                raise self.fail("Invalid escape character in string.")
            parts.append(self.escaped(start))

    def escaped(self, start: int) -> str:
        kind = self.text[self.at + 1 : self.at + 2]
        if kind in ESCAPED and kind:
            self.at += 2
            return ESCAPED[kind]
        if kind != "u":
            raise self.fail("Invalid escape character in string.")
        high = self.four()
        if 0xD800 <= high < 0xDC00:
            low = self.four() if self.text.startswith("\\u", self.at) else 0
            if not 0xDC00 <= low < 0xE000:
                raise self.fail("The surrogate pair in string is invalid.", start)
            return chr(0x10000 + ((high - 0xD800) << 10) + low - 0xDC00)
        if 0xDC00 <= high < 0xE000:  # RapidJSON lets it through as bytes that are not UTF-8
            raise self.fail("The surrogate pair in string is invalid.", start)
        return chr(high)

    def four(self) -> int:
        digits = self.text[self.at + 2 : self.at + 6]
        if not re.fullmatch(r"[0-9a-fA-F]{4}", digits):
            raise self.fail("Incorrect hex digit after \\u escape in string.")
        self.at += 6
        return int(digits, 16)
