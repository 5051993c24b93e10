"""What the masks of dates, times, amounts and names share.

RE2 has no look-around: what must stand beside a match is matched with it, put back, and, as two matches may share it, looked for again.
Words that would be taken wrongly get a noncharacter in front of them while a step runs.
"""

from textpipe.text.patterns import escape_replacement

GAP = r"(?:[ \t\n\x{a0}\x{202f}]{1,2})"  # between words, also where a line was wrapped
# Neither within a word, a version, an IP address or a path, nor before the decimals of a number.
BEFORE = r"\A|[^\p{L}\p{M}\p{N}_.,:/\-@]"
AFTER = r"\z|[^\p{L}\p{M}\p{N}_./,:\-@%]|[.,:/\-]\B"  # \B leaves the next character to the next match
PROTECTED = "\ufdd8"


def check_token(token: str) -> str:
    """Return the token of a mask; raises ValueError for one with digits, which the mask of numbers would replace."""
    if any(character.isdecimal() for character in token):
        raise ValueError(f"{token!r} contains a digit, which would itself be masked; choose a token without digits")
    return token


def replace(text, pattern, token, *, before=BEFORE, after=AFTER):
    """[N] string -> [N] string: each match between `before` and `after` becomes the token.

    Whether a pattern, `before` or `after` minds the case, it says itself.
    """
    import tensorflow as tf

    whole, rewrite = rf"({before})(?:{pattern})({after})", rf"\1{escape_replacement(token)}\2"
    return tf.strings.regex_replace(tf.strings.regex_replace(text, whole, rewrite), whole, rewrite)


def protect(text, pattern, *, before=""):
    """[N] string -> [N] string: no other pattern matches across the beginning of what this one matches behind `before`."""
    import tensorflow as tf

    return tf.strings.regex_replace(text, rf"({before})({pattern})", rf"\1{PROTECTED}\2")


def unprotect(text):
    """[N] string -> [N] string without the marks of `protect`."""
    import tensorflow as tf

    return tf.strings.regex_replace(text, PROTECTED, "")
