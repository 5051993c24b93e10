"""Character classes shared by the steps, in RE2's syntax.

RE2's \\s, \\w and \\d match only ASCII, so the Unicode sets are listed here.
"""

# White space without line breaks: tab, the four information separators, all of Zs, and two invisible characters that
# are used as spaces (zero width space, byte order mark).
UNUSUAL_SPACE = r"\t\x{1c}-\x{1f}\x{a0}\x{1680}\x{2000}-\x{200b}\x{202f}\x{205f}\x{3000}\x{feff}"
SPACE = " " + UNUSUAL_SPACE
# Line feed, vertical tab, form feed, carriage return, next line, line separator, paragraph separator.
LINE_BREAK = r"\n\x{0b}\x{0c}\r\x{85}\x{2028}\x{2029}"
# Letters, marks, digits and other numbers, underscore.
WORD_CHARACTER = r"\p{L}\p{M}\p{N}_"


def escape_replacement(token: str) -> str:
    """A replacement string that yields `token` literally: RE2 would read a backslash in it as a group reference."""
    return token.replace("\\", "\\\\")
