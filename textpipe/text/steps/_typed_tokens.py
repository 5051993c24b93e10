"""Shared by the steps mask_dates, mask_times, mask_amounts and mask_names.

RE2 has no look-around, so the context of a match is matched with it and written back; because two matches may share their context, each
replacement runs twice. A noncharacter is inserted before words that must not match, and removed at the end of the step.
"""

from textpipe.text.patterns import escape_replacement

GAP = r"(?:[ \t\n\x{a0}\x{202f}]{1,2})"  # between words, also at a line wrap
# Not inside a word, a version, an IP address or a path, and not before the decimals of a number.
BEFORE = r"\A|[^\p{L}\p{M}\p{N}_.,:/\-@]"
AFTER = r"\z|[^\p{L}\p{M}\p{N}_./,:\-@%]|[.,:/\-]\B"  # \B leaves the next character to the next match
PROTECTED = "\ufdd8"


def check_token(token: str) -> str:
    """Return the token of a mask; raises ValueError if it contains digits, which mask_numbers would replace."""
    if any(character.isdecimal() for character in token):
        raise ValueError(f"{token!r} contains a digit, which would itself be masked; choose a token without digits")
    return token


def replace(text, pattern, token, *, before=BEFORE, after=AFTER):
    """[N] string -> [N] string: each match of `pattern` between `before` and `after` is replaced by the token.

    Patterns are case-sensitive unless they contain (?i:...).
    """
    import tensorflow as tf

    bounded_pattern, rewrite = rf"({before})(?:{pattern})({after})", rf"\1{escape_replacement(token)}\2"
    return tf.strings.regex_replace(tf.strings.regex_replace(text, bounded_pattern, rewrite), bounded_pattern, rewrite)


def protect(text, pattern, *, before=""):
    """[N] string -> [N] string: inserts PROTECTED before each match of `pattern` that follows `before`, so no other pattern matches there."""
    import tensorflow as tf

    return tf.strings.regex_replace(text, rf"({before})({pattern})", rf"\1{PROTECTED}\2")


def unprotect(text):
    """[N] string -> [N] string without the noncharacters that `protect` inserted."""
    import tensorflow as tf

    return tf.strings.regex_replace(text, PROTECTED, "")
