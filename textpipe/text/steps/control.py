"""Remove control characters."""

from typing import Literal

from textpipe.config.sections import Section


class Config(Section):
    kind: Literal["control"] = "control"


def apply(text, config):
    """[N] string -> [N] string without C0 and C1 control characters and byte order marks. Idempotent.

    Tab and the line breaks (\\n, vertical tab, form feed, \\r, U+0085) stay, as white space.

    "a\\x00b\\x1b[1m\\tc" -> "ab[1m\\tc"
    """
    import tensorflow as tf

    return tf.strings.regex_replace(text, r"[\x{00}-\x{08}\x{0e}-\x{1f}\x{7f}-\x{84}\x{86}-\x{9f}\x{feff}]+", "")
