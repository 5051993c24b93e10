"""Collapse white space into single spaces."""

from typing import Literal

from textpipe.config.sections import Section
from textpipe.text.patterns import LINE_BREAK, SPACE, UNUSUAL_SPACE


class Config(Section):
    """breaks: "join" turns line breaks into spaces; "keep" keeps them as \\n, with at most one empty line in a row."""

    kind: Literal["whitespace"] = "whitespace"
    breaks: Literal["join", "keep"] = "join"


def apply(text, config):
    """[N] string -> [N] string, stripped at both ends. Idempotent.

    White space is Unicode's (no-break space, U+2028, ideographic space, ...), the zero width space U+200B and the byte
    order mark U+FEFF. Put the mail steps before "join": they need line breaks.

    "join":  " a\\u00a0\\u00a0b\\t\\u2028c " -> "a b c";  "keep":  "a \\r\\n\\r\\n\\r\\n b" -> "a\\n\\nb"
    """
    import tensorflow as tf

    if config.breaks == "join":
        # Single spaces do not match, so ordinary text is searched once and not rebuilt at every word.
        return tf.strings.strip(
            tf.strings.regex_replace(text, f"[{SPACE}{LINE_BREAK}]{{2,}}|[{UNUSUAL_SPACE}{LINE_BREAK}]", " ")
        )
    text = tf.strings.regex_replace(text, f"\r\n|[{LINE_BREAK}]", "\n")
    text = tf.strings.regex_replace(text, f"[{SPACE}]+", " ")
    text = tf.strings.regex_replace(text, " ?\n ?", "\n")
    return tf.strings.strip(tf.strings.regex_replace(text, "\n{3,}", "\n\n"))
