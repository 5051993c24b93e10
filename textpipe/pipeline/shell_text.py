"""Words of a command line, for commands in messages and comments."""

import re
import shlex

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
SPECIAL = re.compile(r'["$`\\!]')


def word(text: str) -> str:
    """A word as bash reads it, on one line.

    "a b.csv" -> "'a b.csv'";  "a\\nb.csv" -> "$'a\\\\nb.csv'"
    """
    if not CONTROL.search(text):
        return shlex.quote(text)
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return "$'" + CONTROL.sub(escape, escaped) + "'"


def escape(character: re.Match[str]) -> str:
    """A control character as bash writes it within $'...': \\n, \\u001B."""
    return {"\n": "\\n", "\t": "\\t", "\r": "\\r"}.get(character[0], f"\\u{ord(character[0]):04X}")


def quoted(text: str) -> str:
    """A word in double quotes where these change nothing, which Windows reads as well, else as `word`."""
    return word(text) if SPECIAL.search(text) or CONTROL.search(text) else f'"{text}"'
